"""Where a report gets its figures from: four topics, read once, into workers.transparency_records.

moderation-decisions, moderation-actions, consultation-escalations and staff-reviews; never care-outreach, never posts.
A record that is none is reported with its place and the field at fault, and the rest go on. A review that is none is a
dead letter of the worker's, and counted.
"""

import sys
from collections.abc import Callable
from typing import Final

from workers.codec import decode, decode_review
from workers.days import DAY_MS
from workers.errors import BadRecord
from workers.events import Topic
from workers.reading import Cluster, place_of
from workers.transparency_data import Vocabulary
from workers.transparency_records import ActionSlice, DecisionSlice, EscalationSlice, Records

SOURCES: Final = (Topic.DECISIONS, Topic.ACTIONS, Topic.ESCALATIONS, Topic.STAFF_REVIEWS)
SEGMENT_MS: Final = 7 * DAY_MS  # Kafka deletes whole segments, which last a week at most (topics.yml)
TREND_SOURCES: Final = (Topic.DECISIONS, Topic.ACTIONS)


class Taken:
    """What was read. `newest_ms` is the last Kafka timestamp, 0 where there was no record."""

    def __init__(self, words: Vocabulary, records: Records) -> None:
        self.records = records
        self.bad = self.shadow = self.dead_reviews = self.newest_ms = 0
        self._words = words
        self._begun: set[tuple[Topic, int]] = set()
        self._cut: dict[Topic, list[int]] = {}  # first timestamps of partitions that have lost older records
        self._take: dict[Topic, Callable[[bytes | None, bytes | None, int], None]] = {
            Topic.DECISIONS: self._decision,
            Topic.ACTIONS: self._action,
            Topic.ESCALATIONS: self._escalation,
            Topic.STAFF_REVIEWS: self._review,
        }

    def record(
        self, topic: Topic, partition: int, offset: int, key: bytes | None, raw: bytes | None, written: int, place: str
    ) -> None:
        """One record, each partition's in their order; `written` is its Kafka timestamp in ms."""
        if (topic, partition) not in self._begun:
            self._begun.add((topic, partition))
            if offset > 0:
                self._cut.setdefault(topic, []).append(written)
        self.newest_ms = max(self.newest_ms, written)
        try:
            self._take[topic](key, raw, written)
        except BadRecord as error:
            self.bad += 1
            print(f"{place}: {error.message}", file=sys.stderr)

    @property
    def begins_ms(self) -> int:
        """From here on nothing is missing; 0: the log is whole.

        Retention cuts the partitions of a topic within a segment's time of each other, so that a quiet one, whose first
        record may be recent, does not have to say where.
        """
        return max((min(max(firsts), min(firsts) + SEGMENT_MS) for firsts in self._cut.values()), default=0)

    def _decision(self, _: bytes | None, raw: bytes | None, written: int) -> None:
        one = decode(DecisionSlice, raw)
        if one.shadow:
            self.shadow += 1
        else:
            self.records.decision(one, written)

    def _action(self, _: bytes | None, raw: bytes | None, written: int) -> None:
        self.records.action(decode(ActionSlice, raw), written)

    def _escalation(self, _: bytes | None, raw: bytes | None, written: int) -> None:
        self.records.escalation(decode(EscalationSlice, raw), written)

    def _review(self, key: bytes | None, raw: bytes | None, written: int) -> None:
        try:
            one = decode_review(key, raw)
        except BadRecord:
            self.dead_reviews += 1
        else:
            self.records.review(one, self._words.requester(one.requested_by), written)


def from_cluster(taken: Taken, cluster: Cluster, sources: tuple[Topic, ...]) -> None:
    """All that is in these topics now."""
    for topic in sources:
        for one in cluster.records(topic):
            written = one.timestamp()[1]
            taken.record(topic, one.partition(), one.offset(), one.key(), one.value(), written, place_of(one))
