"""Kafka as `mimamori redrive` needs it: reads dead letters, looks for their copies in the source topics, sends copies.

The source topic itself is the record of what was sent: a copy carries the id of its letter as a header, and before
anything is sent the log behind each letter is read. So nothing else has to be written, kept, or agree with the log
after a crash. It decides nothing (workers.letters does) and shows no content.
"""

import base64
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Final, Self

import msgspec
from aiokafka.partitioner import murmur2
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from workers.deadletter import ORIGIN_HEADER, TRIED_HEADER
from workers.errors import AccessError, Fault, MimamoriError, Unavailable, UsageError
from workers.events import DeadLetter
from workers.letters import Letter, Seen, letter

ANSWER_SECONDS: Final = 30.0  # without any progress
SESSION_SECONDS: Final = 10.0  # how long a killed redrive keeps others out
RETRY_SECONDS: Final = 0.2
DELIVERY_SECONDS: Final = 60.0
LOOK: Final = 1_000  # records taken from the client at once
MANY: Final = 100_000  # records whose reading takes long enough to say so
MAX_REQUEST_BYTES: Final = 64 << 20  # before compression, as the worker's: the broker's limit is on compressed batches

_DECODER: Final = msgspec.json.Decoder(DeadLetter)  # without codec's limit: a letter may hold more than a post may
_REFUSED: Final = (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG_SIZE)
_MOVING: Final = (
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._TRANSPORT,
)
_DENIED: Final = (
    KafkaError._AUTHENTICATION,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
)
Config = Mapping[str, Any]


def partition_of(key: bytes, partitions: int) -> int:
    """Where Java's producer (murmur2) puts a key."""
    return (int(murmur2(key)) & 0x7FFFFFFF) % partitions


def reader(config: Config, group: str) -> Any:
    """A consumer that commits nothing and sees what workers see (uncommitted records too)."""
    return Consumer(
        {
            **config,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "isolation.level": "read_uncommitted",
            "session.timeout.ms": int(SESSION_SECONDS * 1000),
            "log_level": 0,
        }
    )


def failed(error: Any, doing: str) -> MimamoriError:
    """librdkafka's error in our words."""
    kind = AccessError if error.code() in _DENIED else Unavailable
    return kind(f"{doing}: Kafka says {error.name()}")


def ends(consumer: Any, topic: str, partitions: Iterable[int]) -> dict[int, tuple[int, int]]:
    """Partition → (first offset that is there, offset that comes next)."""
    until = time.monotonic() + ANSWER_SECONDS
    while True:
        try:
            return {p: consumer.get_watermark_offsets(TopicPartition(topic, p), ANSWER_SECONDS) for p in partitions}
        except KafkaException as error:  # a leader may be changing, which librdkafka leaves to its user here
            if error.args[0].code() not in _MOVING or time.monotonic() > until:
                raise failed(error.args[0], f"asking for the ends of {topic}") from None
        time.sleep(RETRY_SECONDS)


class Cluster:
    """The topics of one prefix. `partitions`: how many each source topic has, by physical name. `beat` is called every
    half second while something is read."""

    def __init__(self, config: Config, dead_letters: str, partitions: Mapping[str, int], lock_group: str) -> None:
        self.config, self.dead_letters, self.partitions = dict(config), dead_letters, partitions
        self.lock_group = lock_group
        self.beat: Callable[[], None] = lambda: None
        self._reader = reader(config, lock_group)

    def letters(
        self, starts: Mapping[int, int], unreadable: Callable[[str, str], None]
    ) -> Iterator[tuple[Letter, DeadLetter]]:
        """Dead letters from these offsets on. What is none is reported with its place, and its content is not."""
        at = {(self.dead_letters, partition): offset for partition, offset in starts.items()}
        for message in self._records(at):
            place = f"{message.topic()}/{message.partition()}/{message.offset()}"
            try:
                record = _DECODER.decode(message.value() or b"")
                key = _raw(record.key_b64)
                _raw(record.value_b64)
            except (msgspec.DecodeError, ValueError):
                unreadable(place, "is no dead-letter/1")
                continue
            count = self.partitions.get(record.source.topic)
            if count is None or not 0 <= record.source.partition < count:
                unreadable(place, "its source is none of the topics that are sent back to")
                continue
            target = record.source.partition
            if key is not None and record.error.type != Fault.WRONG_KEY:
                target = partition_of(key, count)
            yield letter(record, message.headers() or (), target, (message.partition(), message.offset())), record

    def _records(self, starts: Mapping[tuple[str, int], int]) -> Iterator[Message]:
        """Every record from these offsets (by topic and partition) to the end as it is now."""
        consumer = self._reader
        left = {}
        for (topic, partition), start in starts.items():
            low, high = ends(consumer, topic, [partition])[partition]
            if max(low, start) < high:
                left[topic, partition] = high
        consumer.assign([TopicPartition(topic, p, starts[topic, p]) for topic, p in left])
        until = time.monotonic() + ANSWER_SECONDS
        try:
            while left:
                self.beat()
                for message in consumer.consume(LOOK, 0.5):
                    until = time.monotonic() + ANSWER_SECONDS
                    error, at = message.error(), (message.topic(), message.partition())
                    if error is not None and error.code() != KafkaError._PARTITION_EOF:
                        raise failed(error, f"reading {message.topic() or 'Kafka'}")
                    if at not in left:  # beyond the end as it was
                        continue
                    if error is None:
                        yield message
                    if message.offset() + (error is None) >= left[at]:
                        del left[at]
                if time.monotonic() > until:
                    raise Unavailable(f"{next(iter(left))[0]}: no record came for {ANSWER_SECONDS:g} s")
        finally:
            consumer.unassign()

    def beginnings(self) -> dict[int, int]:
        """A place before all dead letters, by partition."""
        try:
            found = self._reader.list_topics(self.dead_letters, ANSWER_SECONDS).topics[self.dead_letters].partitions
        except KafkaException as error:
            raise failed(error.args[0], f"looking at {self.dead_letters}") from None
        return dict.fromkeys(found, OFFSET_BEGINNING)

    def ends(self) -> dict[int, int]:
        """Where the next dead letters will stand, by partition."""
        return {p: high for p, (_, high) in ends(self._reader, self.dead_letters, self.beginnings()).items()}

    def look(self, letters: Collection[Letter], committed: Mapping[tuple[str, int], int]) -> Seen:
        """Reads the source topics from the earliest of these letters on, for copies of them.

        A copy in the letter's own partition stands behind the letter's source. In another one (the source was sent to a
        partition that is not its key's) it can stand anywhere, so that one is read from its beginning.
        """
        starts: dict[tuple[str, int], int] = {}
        for one in letters:
            start = one.offset + 1 if one.target == one.partition else 0
            starts[one.topic, one.target] = min(start, starts.get((one.topic, one.target), start))
        found = {at: ends(self._reader, at[0], [at[1]])[at[1]] for at in starts}
        lows = {at: low for at, (low, _) in found.items()}
        behind = sum(high - max(starts[at], low) for at, (low, high) in found.items())
        if behind > MANY:
            print(f"reading {behind:,} records of the source topics for what was sent before …", file=sys.stderr)
        wanted = {one.id for one in letters}
        copies: dict[str, tuple[int, int]] = {}
        oldest: dict[tuple[str, int], int] = {}  # Kafka timestamp of the first record that is there
        for message in self._records(starts):
            oldest.setdefault((message.topic(), message.partition()), message.timestamp()[1])
            for name, content in message.headers() or ():
                if name == ORIGIN_HEADER and content is not None:
                    id = content.decode("utf-8", "replace")
                    if id in wanted:
                        copies.setdefault(id, (message.partition(), message.offset()))
        unreached = set()
        for one in letters:
            at = one.topic, one.target
            reached = lows[at] == 0 or (
                lows[at] <= one.offset + 1
                if one.target == one.partition
                else one.failed_at_ms is not None and at in oldest and oldest[at] <= one.failed_at_ms
            )
            if not reached:
                unreached.add(one.id)
        return Seen(copies, unreached, committed)

    def committed(self, group: str) -> dict[tuple[str, int], int]:
        """How far the workers' group has finished the source topics."""
        asked = [TopicPartition(topic, p) for topic, count in self.partitions.items() for p in range(count)]
        consumer = reader(self.config, group)
        try:
            found = consumer.committed(asked, ANSWER_SECONDS)
        except KafkaException as error:
            raise failed(error.args[0], f"asking what group {group} has finished") from None
        finally:
            consumer.close()
        return {(tp.topic, tp.partition): tp.offset for tp in found if tp.offset >= 0}

    def close(self) -> None:
        """Ends the connection."""
        self._reader.close()


class Lock:
    """One redrive of a topic at a time: a member of a group that must own every partition of it.

    Two that started together would both find nothing sent. `check` raises once another one has joined.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._topic, self._all = cluster.dead_letters, set(cluster.beginnings())
        self._owned: set[int] | None = None
        self._consumer = reader(cluster.config, cluster.lock_group)

    def __enter__(self) -> Self:
        self._consumer.subscribe([self._topic], on_assign=self._assigned, on_revoke=self._revoked)
        until = time.monotonic() + ANSWER_SECONDS
        try:
            while self._owned is None and time.monotonic() < until:
                self._poll(0.2)
            self.check()
        except BaseException:
            self._consumer.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def check(self) -> None:
        """Still the only one; UsageError if not. Has to be called every few seconds."""
        self._poll(0)
        if self._owned is None:
            raise Unavailable(f"{self._topic}: its group did not form within {ANSWER_SECONDS:g} s")
        if self._owned != self._all:
            raise UsageError(f"another redrive of {self._topic} has started; run one at a time")

    def _poll(self, seconds: float) -> None:
        message = self._consumer.poll(seconds)
        if message is not None and message.error() is not None and message.error().code() in _DENIED:
            raise failed(message.error(), f"joining the group that keeps a second redrive of {self._topic} out")

    def _assigned(self, consumer: Any, partitions: list[Any]) -> None:
        consumer.assign(partitions)
        consumer.pause(partitions)
        self._owned = {tp.partition for tp in partitions}

    def _revoked(self, consumer: Any, _: list[Any]) -> None:
        consumer.unassign()
        self._owned = set()


class Sender:
    """Sends copies and keeps what became of them: `copies` (letter id → partition, offset) and `refused` (id → why)."""

    def __init__(self, config: Config) -> None:
        self.copies: dict[str, tuple[int, int]] = {}
        self.refused: dict[str, str] = {}
        self._broken: MimamoriError | None = None
        self._producer = Producer(
            {
                **config,
                "enable.idempotence": True,
                "acks": "all",
                "compression.type": "gzip",
                "message.max.bytes": MAX_REQUEST_BYTES,
                "message.timeout.ms": int(DELIVERY_SECONDS * 1000),
                "linger.ms": 5,
                "log_level": 0,
            }
        )

    def send(self, one: Letter, record: DeadLetter) -> None:
        """Queue one copy: the same key, value and headers, and two headers of ours behind those. Its timestamp is that
        of now: due times count from when a worker could first decide it."""
        ours = (ORIGIN_HEADER, TRIED_HEADER)
        headers = [(name, _raw(content)) for name, content in record.headers if name not in ours]
        headers += [(ORIGIN_HEADER, one.id.encode()), (TRIED_HEADER, str(one.attempts).encode())]
        while True:
            try:
                self._producer.produce(
                    one.topic,
                    value=_raw(record.value_b64),
                    key=_raw(record.key_b64),
                    partition=one.target,
                    headers=headers,
                    on_delivery=lambda error, message: self._delivered(one.id, error, message),
                )
            except BufferError:
                self.poll(0.1)
            except KafkaException as error:
                self._delivered(one.id, error.args[0], None)
                break
            else:
                break
        self.poll(0)

    def poll(self, seconds: float) -> None:
        """Take acknowledgements; raises what ended the sending."""
        self._producer.poll(seconds)
        if self._broken is not None:
            raise self._broken

    def finish(self) -> None:
        """Wait for what is under way."""
        self._producer.flush(DELIVERY_SECONDS + ANSWER_SECONDS)
        self.poll(0)

    def abandon(self) -> None:
        """Drop what is not under way yet."""
        self._producer.purge(in_flight=False)
        self._producer.flush(ANSWER_SECONDS)

    def _delivered(self, id: str, error: Any, message: Any) -> None:
        if error is None:
            self.copies[id] = (message.partition(), message.offset())
        elif error.code() in _REFUSED:
            self.refused[id] = error.name()
        elif error.code() == KafkaError._PURGE_QUEUE:
            return
        else:
            self._broken = self._broken or failed(error, f"sending {id} back")


def _raw(encoded: str | None) -> bytes | None:
    return None if encoded is None else base64.b64decode(encoded, validate=True)
