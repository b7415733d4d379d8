"""Dead letters as redrive sees them: which of them were asked for, and what stands between each and being sent.

Pure: no Kafka, no clock. A letter is known by its source record (`topic/partition/offset`), as readers of
`dead-letters` know it, so that one that was delivered twice is one. Keys and values are not kept here: only what may be
shown.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from workers.deadletter import origin, tried
from workers.errors import Fault
from workers.events import DeadLetter

_NAMES: Final = frozenset(fault.value for fault in Fault)


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter. `place` is where it stands in `dead-letters`: (partition, offset)."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    error: str
    failed_at_ms: int | None
    attempts: int
    origin: str | None
    target: int  # the partition that it would be sent to
    place: tuple[int, int]

    @property
    def id(self) -> str:
        """Its source record."""
        return f"{self.topic}/{self.partition}/{self.offset}"


def letter(
    record: DeadLetter, headers: Sequence[tuple[str, bytes | None]], target: int, place: tuple[int, int]
) -> Letter:
    """`headers` are those of the record in `dead-letters`."""
    failed_at = (dict(headers).get("failed_at") or b"").decode("ascii", "replace")
    source = record.source
    return Letter(
        topic=source.topic,
        partition=source.partition,
        offset=source.offset,
        timestamp_ms=source.timestamp,
        # Whoever can write to the topic could write anything here, and it is shown.
        error=record.error.type if record.error.type in _NAMES else "other",
        failed_at_ms=int(failed_at) if re.fullmatch(r"[0-9]{1,15}", failed_at) else None,
        attempts=1 + tried(record.headers),
        origin=origin(record.headers),
        target=target,
        place=place,
    )


@dataclass(frozen=True, slots=True)
class Span:
    """From `first`, included, to `last`, excluded; None is open."""

    first: int | None = None
    last: int | None = None

    def __contains__(self, value: int | None) -> bool:
        if self == Span():
            return True
        return (
            value is not None
            and (self.first is None or value >= self.first)
            and (self.last is None or value < self.last)
        )


@dataclass(frozen=True, slots=True)
class Filter:
    """Which letters are meant. Times in ms since the epoch; an empty collection lets everything pass."""

    errors: Collection[str] = ()
    topics: Collection[str] = ()  # physical names
    failed_at: Span = Span()
    sent_at: Span = Span()  # the source record's Kafka timestamp
    partition: int | None = None  # of the source
    offsets: Span = Span()  # of the source

    def takes(self, one: Letter) -> bool:
        """Whether a letter is meant."""
        return (
            (not self.errors or one.error in self.errors)
            and (not self.topics or one.topic in self.topics)
            and one.failed_at_ms in self.failed_at
            and one.timestamp_ms in self.sent_at
            and self.partition in (None, one.partition)
            and one.offset in self.offsets
        )


class State(StrEnum):
    """What is known of one letter; each is in exactly one."""

    DONE = "done"  # sent back, and a worker finished it
    DEAD_AGAIN = "dead_again"  # sent back, and its copy became a dead letter
    WAITING = "waiting"  # sent back, and no worker has finished it yet
    HELD = "held"  # died again once already: sent on request only, or a cause that stays would turn it in a circle
    UNSURE = "unsure"  # so old that the source topic cannot tell whether it was sent
    READY = "ready"  # would be sent


@dataclass(frozen=True, slots=True)
class Seen:
    """What the source topics say. `copies`: letter id → (partition, offset) of its copy. `unreached`: ids of letters
    whose copy could have stood in a part of the log that is no more. `committed`: the workers' group's next offsets."""

    copies: Mapping[str, tuple[int, int]]
    unreached: Collection[str]
    committed: Mapping[tuple[str, int], int]


def states(letters: Iterable[Letter], back: Mapping[str, Letter], seen: Seen, *, again: bool) -> dict[str, State]:
    """Letter id → state. `back` maps a letter's id to the letter that its copy became; `again` sends held ones too."""
    found = {}
    for one in letters:
        copy = seen.copies.get(one.id)
        if one.id in back:
            state = State.DEAD_AGAIN
        elif copy is not None:
            state = State.DONE if copy[1] < seen.committed.get((one.topic, copy[0]), 0) else State.WAITING
        elif one.id in seen.unreached:
            state = State.UNSURE
        elif one.attempts > 1 and not again:
            state = State.HELD
        else:
            state = State.READY
        found[one.id] = state
    return found


def table(letters: Iterable[Letter], known: Mapping[str, State]) -> str:
    """Counts by error and source topic, a line each, for a terminal."""
    counts: dict[tuple[str, str], Counter[State]] = {}
    for one in letters:
        counts.setdefault((one.error, one.topic), Counter())[known[one.id]] += 1
    header = ["error", "topic", "letters", *(state.value.replace("_", " ") for state in State)]
    rows = [
        [error, topic, str(counted.total()), *(str(counted[state]) for state in State)]
        for (error, topic), counted in sorted(counts.items())
    ]
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    return "\n".join(
        "  ".join([*map(str.ljust, row[:2], widths), *map(str.rjust, row[2:], widths[2:])]) for row in (header, *rows)
    )
