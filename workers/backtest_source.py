"""Where a backtest gets the past from: the cluster's topics, or files of JSON lines. It fills a workers.spool.

Reads to the ends as they are at the start, commits nothing, joins no group and writes nothing. A record that is none is
reported with its place and the field at fault, and the rest go on.
"""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
from confluent_kafka import KafkaError, Message, TopicPartition
from tqdm import tqdm

from workers import security, topics
from workers.access import Right
from workers.codec import decode, decode_review
from workers.errors import BadRecord, Fault, TopicsError, Unavailable, usable
from workers.events import DeadLetter, Decision, Review, Source, Topic, to_kafka_ms
from workers.redrive_kafka import ANSWER_SECONDS, ends, failed, reader
from workers.settings import Settings, topics_file
from workers.spool import ANYWHERE, Spool

_LOOK: Final = 1_000  # records taken from the client at once
_MOST: Final = 2**63 - 1  # of a place in a log
# The end of a partition; and librdkafka looks for the coordinator of a group, which nobody here joins or commits to.
_HARMLESS: Final = (KafkaError._PARTITION_EOF, KafkaError.GROUP_AUTHORIZATION_FAILED)
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


class Cluster:
    """The topics of one prefix, read once. AccessError, TopicsError and Unavailable come from `check` already."""

    def __init__(self, settings: Settings) -> None:
        wanted = topics.load(topics_file(settings))
        self._settings, self._way = settings, security.of(settings)
        self.names = {topic: wanted.physical(topic, prefix=settings.topic_prefix) for topic in Topic}
        self._config = {
            "bootstrap.servers": settings.bootstrap_servers,
            "client.id": "mimamori-backtest",
            **self._way.librdkafka(),
        }
        self._partitions: Mapping[str, int] = {}

    async def check(self, *used: Topic) -> None:
        """Every reason not to start: the topics are there, and this user may read them."""
        bootstrap, names = self._settings.bootstrap_servers, [self.names[topic] for topic in used]
        with topics.without_client_logs():
            async with topics.connect(bootstrap, self._way) as admin:
                found = (await topics.read_cluster(admin, names, bootstrap=bootstrap, configs=False)).topics
                missing = [name for name in names if name not in found]
                if missing:
                    raise TopicsError(
                        f"{bootstrap}: no topic {', '.join(missing)}, or {self._way.who} may not see it"
                        " (MIMAMORI_TOPIC_PREFIX, MIMAMORI_TOPICS_FILE)"
                    )
                await topics.check_rights(admin, bootstrap, self._way, [(name, Right.READ) for name in names], {})
        self._partitions = {name: found[name].partitions for name in names}

    def past(self, taken: Taken) -> None:
        """Decisions, reviews, and which of the reviews became dead letters."""
        for message in self.records(Topic.DECISIONS):
            taken.decision(_place(message), message.value())
        for message in self.records(Topic.STAFF_REVIEWS):
            raw = message.value()
            try:
                review = decode_review(message.key(), raw)
            except BadRecord:  # a dead letter of the worker's
                continue
            taken.review(_place(message), review, source_of(message), message.timestamp()[1], raw or b"")
        for message in self.records(Topic.DEAD_LETTERS):
            try:
                source = _DEAD.decode(message.value() or b"").source
            except msgspec.DecodeError:  # `redrive` reports these
                continue
            if source.topic == self.names[Topic.STAFF_REVIEWS]:
                taken.spool.put_dead(source.topic, source.partition, source.offset)

    def records(self, topic: Topic, starts: Mapping[int, int] | None = None) -> Iterator[Message]:
        """Every record of a topic up to its end as it is now; `starts`: of these partitions, from these offsets on."""
        name = self.names[topic]
        consumer = reader(self._config, "mimamori-backtest")
        try:
            yield from _records(consumer, name, starts or dict.fromkeys(range(self._partitions[name]), 0))
        finally:
            consumer.close()


def _records(consumer: Any, name: str, starts: Mapping[int, int]) -> Iterator[Message]:
    marks = ends(consumer, name, starts)
    left = {p: high for p, (low, high) in marks.items() if max(low, starts[p]) < high}
    first = {p: max(marks[p][0], starts[p]) for p in left}
    consumer.assign([TopicPartition(name, p, first[p]) for p in left])
    until = time.monotonic() + ANSWER_SECONDS
    with progress(f"reading {name}", sum(left[p] - first[p] for p in left)) as advance:
        while left:
            for message in consumer.consume(_LOOK, 0.5):
                error, partition = message.error(), message.partition()
                if error is not None and error.code() not in _HARMLESS:
                    raise failed(error, f"reading {name}")
                if partition not in left:  # beyond the end as it was, or of no partition
                    continue
                until = time.monotonic() + ANSWER_SECONDS
                if error is None:
                    advance()
                    yield message
                if message.offset() + (error is None) >= left[partition]:
                    del left[partition]
            if time.monotonic() > until:
                raise Unavailable(f"{name}: no record came for {ANSWER_SECONDS:g} s")


class progress:  # reads as a statement
    """A bar on a terminal, nothing elsewhere; gives what to call for each record."""

    def __init__(self, what: str, total: int | None = None) -> None:
        self._bar = tqdm(total=total, desc=what, unit=" records", disable=None, leave=False)

    def __enter__(self) -> Callable[[], object]:
        return self._bar.update

    def __exit__(self, *_: object) -> None:
        self._bar.close()


def batches(messages: Iterable[Message], size: int) -> Iterator[list[Message]]:
    """In the order they come, `size` at a time."""
    batch: list[Message] = []
    for message in messages:
        batch.append(message)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _place(message: Message) -> str:
    return f"{message.topic()}/{message.partition()}/{message.offset()}"


def source_of(message: Message) -> Source:
    """Where a record stands."""
    return Source(topic=str(message.topic()), partition=int(message.partition()), offset=int(message.offset()))
