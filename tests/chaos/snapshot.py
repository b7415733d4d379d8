"""What one run left in Kafka, as plain data that can be saved and checked again. No Kafka, nothing of the product."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

POSTS: Final = "posts"
DECISIONS: Final = "moderation-decisions"
ACTIONS: Final = "moderation-actions"
ESCALATIONS: Final = "consultation-escalations"
CARE: Final = "care-outreach"
DEAD_LETTERS: Final = "dead-letters"
OUTPUTS: Final = (DECISIONS, ACTIONS, ESCALATIONS, CARE, DEAD_LETTERS)

KIND_HEADER: Final = "chaos-kind"
"""The feed writes into each record what it meant: created, edited, deleted, repeated, conflict, malformed-<how>."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a topic; `topic` without the prefix."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()

    @property
    def kind(self) -> str:
        """What the feed meant by it; empty where it says nothing."""
        return next(((value or b"").decode() for name, value in self.headers if name == KIND_HEADER), "")

    @property
    def place(self) -> str:
        """Topic, partition and offset, for messages."""
        return f"{self.topic}/{self.partition}@{self.offset}"


@dataclass(frozen=True, slots=True)
class Sample:
    """Commits of the group on `posts`, and after them, the ends of the output topics."""

    committed: dict[int, int]
    ends: dict[tuple[str, int], int]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that the checker sees. `topic_name` is the physical name of `posts`, as outputs name their source."""

    topic_name: str
    records: dict[str, list[Record]]
    samples: list[Sample] = field(default_factory=list)
    committed: dict[int, int] = field(default_factory=dict)
    accepted: list[tuple[int, int, str]] = field(default_factory=list)  # partition, offset, SHA-256 of the value
    taken_ms: int = 0

    def of(self, topic: str) -> list[Record]:
        """One topic's records by partition and offset."""
        return sorted(self.records.get(topic, []), key=lambda record: (record.partition, record.offset))

    def save(self, path: Path) -> None:
        """As JSON lines."""
        with path.open("w", encoding="utf-8") as stream:
            for line in self._lines():
                stream.write(json.dumps(line) + "\n")

    def _lines(self) -> Iterator[dict[str, Any]]:
        yield {
            "topic_name": self.topic_name,
            "committed": sorted(self.committed.items()),
            "accepted": self.accepted,
            "taken_ms": self.taken_ms,
        }
        for sample in self.samples:
            ends = [[topic, partition, end] for (topic, partition), end in sorted(sample.ends.items())]
            yield {"sample": sorted(sample.committed.items()), "ends": ends}
        for topic in self.records:
            for r in self.of(topic):
                headers = [[name, _b64(value)] for name, value in r.headers]
                yield {
                    "record": [r.topic, r.partition, r.offset, r.timestamp_ms, _b64(r.key), _b64(r.value), headers],
                }


def load(path: Path) -> Snapshot:
    """What `Snapshot.save` wrote."""
    with path.open(encoding="utf-8") as stream:
        head = json.loads(stream.readline())
        records: dict[str, list[Record]] = {topic: [] for topic in (POSTS, *OUTPUTS)}
        samples = []
        for line in stream:
            found = json.loads(line)
            if "sample" in found:
                ends = {(topic, partition): end for topic, partition, end in found["ends"]}
                samples.append(Sample(dict(found["sample"]), ends))
                continue
            topic, partition, offset, timestamp, key, value, headers = found["record"]
            read = tuple((name, _raw(content)) for name, content in headers)
            records[topic].append(Record(topic, partition, offset, timestamp, _raw(key), _raw(value), read))
    return Snapshot(
        head["topic_name"],
        records,
        samples,
        dict(head["committed"]),
        [(partition, offset, digest) for partition, offset, digest in head["accepted"]],
        head["taken_ms"],
    )


def _b64(raw: bytes | None) -> str | None:
    return None if raw is None else base64.b64encode(raw).decode()


def _raw(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)
