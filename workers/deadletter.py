"""A record that cannot be processed, kept byte for byte. The value depends on the source record alone, so that every
redelivery yields the same bytes; `failed_at` and `attempts` travel as headers."""

import base64
from collections.abc import Sequence

from workers.codec import encode
from workers.errors import BadRecord
from workers.events import DeadError, DeadLetter, DeadSource, Topic
from workers.state import Output


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


def _b64(raw: bytes | None) -> str | None:
    return None if raw is None else base64.b64encode(raw).decode()
