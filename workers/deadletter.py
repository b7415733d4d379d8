"""A record that cannot be processed, kept byte for byte. The value depends on the source record alone, so that every
redelivery yields the same bytes; `failed_at` and `attempts` travel as headers.

A record that was sent back (`mimamori redrive`) carries two headers more than the original, by which its dead letter,
should it die again, tells whose child it is and how often it was tried.
"""

import base64
import re
from collections.abc import Sequence
from typing import Final

import msgspec

from workers.codec import encode
from workers.errors import BadRecord
from workers.events import DeadError, DeadLetter, DeadSource, Topic
from workers.state import Output

ORIGIN_HEADER: Final = "mimamori-redrive"  # topic/partition/offset of the source record whose dead letter was sent back
TRIED_HEADER: Final = "mimamori-attempts"  # how often it had been tried before, in decimal


class _Headers(msgspec.Struct):
    """The one field of a dead letter that is looked at here."""

    headers: list[tuple[str, str | None]] = []


_HEADERS: Final = msgspec.json.Decoder(_Headers)


def dead_letter(
    topic: str,
    partition: int,
    offset: int,
    timestamp_ms: int,
    key: bytes | None,
    value: bytes | None,
    headers: Sequence[tuple[str, bytes | None]],
    error: BadRecord,
) -> Output:
    """The dead letter of one source record; its own key is the source's."""
    record = DeadLetter(
        source=DeadSource(topic=topic, partition=partition, offset=offset, timestamp=timestamp_ms),
        key_b64=_b64(key),
        value_b64=_b64(value),
        headers=[(name, _b64(content)) for name, content in headers],
        error=DeadError(type=error.fault.value, message=error.message),
    )
    return Output(topic=Topic.DEAD_LETTERS, key=key or b"", value=encode(record))


def attempts(value: bytes) -> int:
    """How often a dead letter's record was tried, by its own encoded value: once, and what it carries from before."""
    return 1 + tried(_HEADERS.decode(value).headers)


def tried(headers: Sequence[tuple[str, str | None]]) -> int:
    """How often a record had been tried before it came to its source topic; 0 for one that was never sent back.

    Anyone may send a header of that name: what is no small number counts as none.
    """
    found = dict(headers).get(TRIED_HEADER)
    try:
        told = base64.b64decode(found or "", validate=True).decode("ascii")
    except ValueError:
        return 0
    return int(told) if re.fullmatch(r"[0-9]{1,6}", told) else 0


def origin(headers: Sequence[tuple[str, str | None]]) -> str | None:
    """The source record that a dead letter's record is a copy of (topic/partition/offset); None for an original."""
    found = dict(headers).get(ORIGIN_HEADER)
    try:
        return base64.b64decode(found or "", validate=True).decode() or None
    except ValueError:
        return None


def _b64(raw: bytes | None) -> str | None:
    return None if raw is None else base64.b64encode(raw).decode()
