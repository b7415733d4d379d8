"""Settings from the environment, `MIMAMORI_*` and nothing else; a misspelt or invalid one stops the start.

Each setting is a name, a default and a line of help; docs/operations.md is tested against this table.
"""

import difflib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from workers import security
from workers.errors import SettingsError

PREFIX: Final = "MIMAMORI_"


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a process. Paths are as given; nothing is opened here."""

    bootstrap_servers: str = "localhost:9092"
    group: str = "mimamori"
    instance_id: str | None = None
    session_timeout_seconds: float = 45.0
    topic_prefix: str = ""
    topics_file: Path | None = None
    policy_file: Path | None = None
    model: Path | None = None
    datadir: Path = Path("mimamori-data")
    web_port: int = 8080
    shadow: bool = False
    torch_threads: int = 1
    database_url: str | None = field(default=None, repr=False)  # may hold a password
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = "SCRAM-SHA-512"
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    sasl_password_file: Path | None = None
    ssl_cafile: Path | None = None
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    ssl_key_password_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table."""

    field: str
    help: str
    parse: Callable[[str], Any]

    @property
    def name(self) -> str:
        """The environment variable."""
        return PREFIX + self.field.upper()


def _servers(raw: str) -> str:
    for server in raw.split(","):
        if (
            not re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[^:\s\[\]]+):[0-9]{1,5}", server)
            or not 0 < int(server.rpartition(":")[2]) <= 65535
        ):
            raise ValueError("must be host:port, or several with commas between")
    return raw


def _name(raw: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,200}", raw):
        raise ValueError("may hold letters, digits, '.', '_' and '-' only")
    return raw


def _prefix(raw: str) -> str:
    return _name(raw) if raw else ""


def _file(raw: str) -> Path:
    path = Path(raw)
    if not path.is_file():
        raise ValueError(f"{raw}: no such file")
    return path


def _directory(raw: str) -> Path:
    path = Path(raw)
    if not path.is_dir():
        raise ValueError(f"{raw}: no such directory")
    return path


def _to_be_made(raw: str) -> Path:
    path = Path(raw)
    there = next((p for p in (path, *path.parents) if p.exists()), path)
    if there.exists() and not there.is_dir():
        raise ValueError(f"{there} is no directory")
    return path


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(raw: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", raw) or not low <= int(raw) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(raw)

    return parse


def _seconds(raw: str) -> float:
    if not re.fullmatch(r"[0-9]{1,4}(\.[0-9]+)?", raw) or not 6 <= float(raw) <= 1800:
        raise ValueError("must be seconds from 6 to 1800")
    return float(raw)


def _switch(raw: str) -> bool:
    if raw not in ("0", "1"):
        raise ValueError("must be 0 or 1")
    return raw == "1"


def _one_of(*known: str) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        if raw not in known:
            raise ValueError(f"must be one of {', '.join(known)}")
        return raw

    return parse


def _secret(raw: str) -> str:
    """Taken as it is; a message never repeats it."""
    if "\n" in raw:
        raise ValueError("must be one line")
    return raw


TABLE: Final[tuple[Setting, ...]] = (
    Setting("bootstrap_servers", "Kafka brokers, host:port with commas between", _servers),
    Setting("group", "consumer group; also names the authors' changelog", _name),
    Setting("instance_id", "static membership: one stable id per replica, so that a restart needs no rebalance", _name),
    Setting("session_timeout_seconds", "how long a silent replica keeps its partitions", _seconds),
    Setting("topic_prefix", "put before every physical topic name", _prefix),
    Setting("topics_file", "topics.yml to use; else ./topics.yml, else the packaged copy", _file),
    Setting("policy_file", "policy to use; else the packaged default", _file),
    Setting("model", "checkpoint directory; else the shipped one", _directory),
    Setting("datadir", "where this process keeps its store; one per process", _to_be_made),
    Setting("web_port", "serves /healthz/live, /healthz/ready and /metrics; 0 takes a free one", _whole(0, 65535)),
    Setting("shadow", "1: write decisions with shadow=true and nothing else", _switch),
    Setting("torch_threads", "threads of the classifier", _whole(1, 256)),
    Setting("database_url", "database of the staff's console", str),
    Setting("security_protocol", "how to connect to Kafka", _one_of(*security.PROTOCOLS)),
    Setting("sasl_mechanism", "how the password is shown to Kafka", _one_of(*security.MECHANISMS)),
    Setting("sasl_username", "the user known to Kafka", _secret),
    Setting("sasl_password", "its password; a file is safer", _secret),
    Setting("sasl_password_file", "file that holds the password", _file),
    Setting("ssl_cafile", "PEM of the authority that signed the brokers' certificates; else the system's", _file),
    Setting("ssl_certfile", "PEM of this client's certificate, where the brokers ask for one", _file),
    Setting("ssl_keyfile", "PEM of its key; else the key is in the certificate's file", _file),
    Setting("ssl_key_password_file", "file that holds the key's password", _file),
)
NAMES: Final = frozenset(setting.name for setting in TABLE)
_BARE_NAMES: Final = tuple(setting.field.upper() for setting in TABLE)


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the environment; every problem is named in one error."""
    problems = []
    values: dict[str, Any] = {}
    for setting in TABLE:
        raw = environ.get(setting.name)
        if raw is None or (raw == "" and setting.field != "topic_prefix"):
            continue
        try:
            values[setting.field] = setting.parse(raw)
        except ValueError as error:
            problems.append(f"{setting.name}: {error}")
        except OSError as error:
            problems.append(f"{setting.name}: {error.strerror}")
    for name in environ:
        if name.startswith(PREFIX) and name not in NAMES:
            # Without the prefix, which alone makes any two names alike.
            near = difflib.get_close_matches(name.removeprefix(PREFIX).upper(), _BARE_NAMES, n=1)
            problems.append(f"{name}: no such setting" + (f"; did you mean {PREFIX}{near[0]}?" if near else ""))
    if not problems:  # what the settings say together means something only once each is right
        problems += security.contradictions(values.get("security_protocol", security.PLAINTEXT.protocol), values)
    if problems:
        raise SettingsError("; ".join(problems))
    return Settings(**values)


def topics_file(settings: Settings) -> Path | None:
    """The file of the settings, ./topics.yml if there, else None for the packaged copy."""
    if settings.topics_file is not None:
        return settings.topics_file
    here = Path("topics.yml")
    return here if here.is_file() else None
