"""Where a backtest gets the past from: the cluster's topics, or files of JSON lines. It fills a workers.spool.

A record that is none is reported with its place and the field at fault, and the rest go on.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from workers.codec import decode, decode_review
from workers.errors import BadRecord, Fault, usable
from workers.events import DeadLetter, Decision, Review, Source, Topic, to_kafka_ms
from workers.reading import Cluster, place_of, source_of
from workers.spool import ANYWHERE, Spool

_MOST: Final = 2**63 - 1  # of a place in a log
_DEAD: Final = msgspec.json.Decoder(DeadLetter)  # without codec's limit: a letter may hold more than a post may


@dataclass
class Taken:
    """What was read. `shadow`: take what a shadow worker of this policy version wrote, instead of what acted."""

    spool: Spool
    until_ms: int | None = None
    shadow: str | None = None
    decisions: int = 0
    left_out: Counter[str] = field(default_factory=Counter)  # policy versions of shadow workers; "": of those that act
    bad: int = 0

    def decision(self, place: str, raw: bytes | None) -> None:
        """One record of moderation-decisions."""
        try:
            decision = decode(Decision, raw)
            at_ms = to_kafka_ms(decision.decided_at)
            version = decision.policy_version if decision.shadow else ""
            if self.until_ms is not None and at_ms >= self.until_ms:
                return
            if version != (self.shadow or ""):
                self.left_out[version] += 1
                return
            self._check(decision)
            self.spool.put_decision(decision, at_ms, raw or b"")
            self.decisions += 1
        except BadRecord as error:
            self.report(place, error)

    def review(self, place: str, review: Review, source: Source, at_ms: int, raw: bytes) -> None:
        """One record of staff-reviews."""
        if self.until_ms is None or at_ms < self.until_ms:
            self.spool.put_review(review, source, at_ms, raw)

    def report(self, place: str, error: BadRecord) -> None:
        """Names the place and the field, never what stood there."""
        self.bad += 1
        print(f"{place}: {error.message}", file=sys.stderr)

    @staticmethod
    def _check(decision: Decision) -> None:
        """What only a file that no worker wrote can get wrong."""
        source = decision.source
        if not (0 <= source.partition <= _MOST and 0 <= source.offset <= _MOST):
            raise BadRecord(Fault.INVALID_FIELD, "no place in a log - at `$.source`")
        if decision.event not in ("created", "edited", "deleted"):
            raise BadRecord(Fault.INVALID_FIELD, "Invalid value - at `$.event`")


# -- files ------------------------------------------------------------------------------------------------------------


def from_files(taken: Taken, decisions: Path, reviews: Path | None) -> None:
    """JSON lines of decision/1, and of review/1, whose time is its occurred_at: a file has no Kafka timestamp."""
    for number, raw in _lines(decisions):
        taken.decision(f"{decisions}:{number}", raw)
    for number, raw in _lines(reviews) if reviews is not None else ():
        place = f"{reviews}:{number}"
        try:
            review = decode(Review, raw)
            decode_review(review.author_id.encode(), raw)
        except BadRecord as error:
            taken.report(place, error)
            continue
        at_ms = to_kafka_ms(review.occurred_at)
        taken.review(place, review, Source(topic=str(reviews), partition=ANYWHERE, offset=at_ms), at_ms, raw)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with usable(path), path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                yield number, line


# -- the cluster ------------------------------------------------------------------------------------------------------


def from_cluster(taken: Taken, cluster: Cluster) -> None:
    """Decisions, reviews, and which of the reviews became dead letters."""
    for message in cluster.records(Topic.DECISIONS):
        taken.decision(place_of(message), message.value())
    for message in cluster.records(Topic.STAFF_REVIEWS):
        raw = message.value()
        try:
            review = decode_review(message.key(), raw)
        except BadRecord:  # a dead letter of the worker's
            continue
        taken.review(place_of(message), review, source_of(message), message.timestamp()[1], raw or b"")
    for message in cluster.records(Topic.DEAD_LETTERS):
        try:
            source = _DEAD.decode(message.value() or b"").source
        except msgspec.DecodeError:  # `redrive` reports these
            continue
        if source.topic == cluster.names[Topic.STAFF_REVIEWS]:
            taken.spool.put_dead(source.topic, source.partition, source.offset)
