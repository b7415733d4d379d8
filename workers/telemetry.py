"""Metrics and logs. Neither carries post text, author ids or keys: labels are topics, actions and faults.

Logs are one JSON object a line. An exception is logged as its type and the places it passed through, not its message,
since a library's message may quote a record; mimamori's own messages never do and are kept.
"""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from workers.errors import MimamoriError

# What may stand beside a message; anything else passed as `extra` is dropped.
_FIELDS: Final = frozenset(
    [
        "topic",
        "partition",
        "offset",
        "fault",
        "posts",
        "error",
        "model",
        "policy",
        "dtype",
        "why",
        "seconds",
        "records",
        "partitions",
        "signal",
        "code",
        "group",
        "threads",
        "stale",
        "port",
    ]  # a list of 20 quoted words reads worse
)
_BATCH_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record without anything that a post could have put into it."""
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage() if record.name.startswith(("workers", "models")) else str(record.msg),
        }
        line |= {name: value for name, value in record.__dict__.items() if name in _FIELDS}
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            line["exception"] = type(error).__name__
            if isinstance(error, MimamoriError):
                line["detail"] = str(error)
            frames = traceback.extract_tb(error.__traceback__)
            line["frames"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[-12:]]
        return json.dumps(line, ensure_ascii=False, default=str)


def configure_logging() -> None:
    """JSON to stderr; libraries from WARNING up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(logging.WARNING)
    for name in ("workers", "models"):
        logging.getLogger(name).setLevel(logging.INFO)


class Metrics:
    """Everything that /metrics shows; one per process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        self.records = Counter("mimamori_records", "source records finished", ["topic"], registry=r)
        self.outputs = Counter(
            "mimamori_outputs", "records acknowledged by all in-sync replicas", ["topic"], registry=r
        )
        self.actions = Counter("mimamori_actions", "moderation actions by kind", ["action"], registry=r)
        self.dead_letters = Counter("mimamori_dead_letters", "dead letters by fault", ["fault"], registry=r)
        self.clocks_fired = Counter("mimamori_clocks_fired", "requests for deletion that ran out", registry=r)
        self.batch_seconds = Histogram(
            "mimamori_batch_seconds", "take to acknowledged", buckets=_BATCH_SECONDS, registry=r
        )
        self.classify_seconds = Histogram(
            "mimamori_classify_seconds", "one sub-batch in the classifier", buckets=_BATCH_SECONDS, registry=r
        )
        self.batch_records = Histogram(
            "mimamori_batch_records", "records per batch", buckets=(1, 4, 16, 64, 128, 256, 512), registry=r
        )
        self.lag = Gauge("mimamori_lag", "records behind the log's end", ["topic", "partition"], registry=r)
        self.ready = Gauge("mimamori_ready", "1 when /healthz/ready answers 200", registry=r)
        self.partitions = Gauge("mimamori_partitions", "source partitions owned", registry=r)
        self.stale_contacts = Gauge(
            "mimamori_stale_contacts", "bodies whose contact was verified too long ago", registry=r
        )
        self.policy_reload_failed = Gauge(
            "mimamori_policy_reload_failed",
            "1 while the last reload was refused and an older policy is in use",
            registry=r,
        )
        self.info = Gauge("mimamori_versions", "1, with the versions in use", ["policy", "model"], registry=r)
