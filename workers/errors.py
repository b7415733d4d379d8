"""Every error that mimamori raises on purpose, in one tree.

    MimamoriError
    ├── UsageError            wrong use or configuration: exit 2, one line, no traceback
    │   ├── SettingsError     an environment variable
    │   ├── TopicsError       topics.yml, or a cluster that contradicts it
    │   ├── PolicyError       a policy file
    │   └── AccessError       Kafka refuses this user: password, certificate or a missing right
    ├── Unavailable           something outside does not answer: exit 3; starting again can help
    ├── BadRecord             one record is at fault: it becomes a dead letter; a retry cannot help
    ├── Refused               a record that must not be handed to this body: exit 1; says what to do instead
    └── GuaranteeAtRisk       the worker must not run on: exit 4, and the next owner starts from the commit

A checkpoint's errors live in models.checkpoint, since models never imports workers. No message carries post text.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum


class MimamoriError(Exception):
    """Base of all; `exit_code` is what the command line ends with."""

    exit_code = 1


class UsageError(MimamoriError):
    """Wrong use or configuration; a person has to change something."""

    exit_code = 2


class SettingsError(UsageError):
    """An environment variable is misspelt or invalid."""


class TopicsError(UsageError):
    """topics.yml is invalid, or the cluster contradicts it."""


class PolicyError(UsageError):
    """A policy file is invalid."""


class AccessError(UsageError):
    """Kafka does not let this user in, or gives it too few rights."""


class Unavailable(MimamoriError):
    """Kafka (or another outside part) does not answer; trying again can help."""

    exit_code = 3


class Refused(MimamoriError):
    """A record must not be handed to this outside body, or not as it is; says what to do instead."""


class GuaranteeAtRisk(MimamoriError):
    """A guarantee of the contract may not hold any longer: the process ends rather than run on."""

    exit_code = 4


class Fault(StrEnum):
    """Why a record is a dead letter (`error.type` of dead-letter/1)."""

    NOT_JSON = "not_json"
    WRONG_SCHEMA = "wrong_schema"
    INVALID_FIELD = "invalid_field"
    WRONG_KEY = "wrong_key"
    TOO_LARGE = "too_large"
    REVISION_CONFLICT = "revision_conflict"
    UNKNOWN_SUBJECT = "unknown_subject"
    PROCESSING_FAILED = "processing_failed"


class BadRecord(MimamoriError):
    """A record that cannot be processed. `message` names the field and never carries its value."""

    def __init__(self, fault: Fault, message: str) -> None:
        super().__init__(f"{fault}: {message}")
        self.fault = fault
        self.message = message


@contextmanager
def usable(what: object) -> Iterator[None]:
    """A file that the operating system refuses is wrong use: the error names it (`what`) and the reason."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{what}: {error.strerror}") from None
