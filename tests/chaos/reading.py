"""Kafka → snapshot, with a plain client; and samples of the group's commits while a run goes on.

Nothing here uses librdkafka's admin requests for offsets: with leaders that come and go they end the process (an
assertion in rd_kafka_enq_once_del_source_return, librdkafka 2.16).
"""

import threading
import time
from collections.abc import Iterable
from typing import Any, Final

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition

from tests.chaos.snapshot import OUTPUTS, POSTS, Record, Sample, Snapshot

ANSWER_SECONDS: Final = 5.0
PERIOD_SECONDS: Final = 0.15
WHOLE_SECONDS: Final = 240.0  # for one topic


class Reader:
    """One group's commits and the topics of one prefix. For one thread."""

    def __init__(self, bootstrap: str, prefix: str, group: str) -> None:
        self._bootstrap, self.prefix, self._group = bootstrap, prefix, group
        self._consumer = self._client(group)  # never subscribes, so it is no member
        self._partitions: dict[str, list[int]] = {}

    def _client(self, group: str) -> Any:
        return Consumer(
            {"bootstrap.servers": self._bootstrap, "group.id": group, "enable.auto.commit": False, "log_level": 0}
        )

    def partitions(self, topic: str) -> list[int]:
        """Of a topic; asked once, they do not change in a run."""
        if topic not in self._partitions:
            name = self.prefix + topic
            self._partitions[topic] = sorted(self._consumer.list_topics(name, timeout=30).topics[name].partitions)
        return self._partitions[topic]

    def committed(self) -> dict[int, int]:
        """Offsets committed on `posts`; KafkaException where nobody answers."""
        wanted = [TopicPartition(self.prefix + POSTS, partition) for partition in self.partitions(POSTS)]
        return {tp.partition: max(0, tp.offset) for tp in _answered(self._consumer.committed(wanted, ANSWER_SECONDS))}

    def ends(self, topics: Iterable[str] = OUTPUTS) -> dict[tuple[str, int], int]:
        """High watermarks; KafkaException where a partition has no leader."""
        # As a time, OFFSET_END is the protocol's "latest": one request a broker instead of one a partition.
        wanted = [
            TopicPartition(self.prefix + topic, p, OFFSET_END) for topic in topics for p in self.partitions(topic)
        ]
        found = _answered(self._consumer.offsets_for_times(wanted, ANSWER_SECONDS))
        if any(tp.offset < 0 for tp in found):
            raise KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE))
        return {(tp.topic.removeprefix(self.prefix), tp.partition): tp.offset for tp in found}

    def sample(self) -> Sample:
        """The commits, and after them the ends: what was committed must stand before these."""
        committed = self.committed()
        return Sample(committed, self.ends())

    def lag(self) -> int:
        """Records of `posts` that are not committed."""
        committed = self.committed()
        return sum(end - committed.get(partition, 0) for (_, partition), end in self.ends([POSTS]).items())

    def snapshot(self, samples: list[Sample], accepted: list[tuple[int, int, str]]) -> Snapshot:
        """Everything, once no worker runs any more."""
        records = {topic: self._read(topic) for topic in (POSTS, *OUTPUTS)}
        now_ms = int(time.time() * 1000)
        return Snapshot(self.prefix + POSTS, records, samples, self.committed(), accepted, now_ms)

    def _read(self, topic: str) -> list[Record]:
        ends = {partition: end for (_, partition), end in self.ends([topic]).items() if end}
        consumer = self._client(f"{self._group}-checker")
        found: list[Record] = []
        try:
            consumer.assign([TopicPartition(self.prefix + topic, partition, 0) for partition in ends])
            until = time.monotonic() + WHOLE_SECONDS
            left = dict(ends)
            while left:
                if time.monotonic() > until:
                    raise TimeoutError(f"{topic}: not read to its end within {WHOLE_SECONDS:g} s, {left} are missing")
                for message in consumer.consume(1_000, timeout=1):
                    if message.error() is not None:
                        raise KafkaException(message.error())
                    record = _record(topic, message)
                    found.append(record)
                    if record.offset >= ends[record.partition] - 1:
                        left.pop(record.partition, None)
        finally:
            consumer.close()
        return found


def _answered(found: list[Any]) -> list[Any]:
    """Partitions as asked for; the first error of one is raised."""
    for tp in found:
        if tp.error is not None:
            raise KafkaException(tp.error)
    return found


def _record(topic: str, message: Message) -> Record:
    offset, partition = message.offset(), message.partition()
    assert offset is not None
    assert partition is not None
    headers: Any = message.headers() or []
    return Record(
        topic, partition, offset, message.timestamp()[1], message.key(), message.value(), tuple(map(tuple, headers))
    )


class Sampler(threading.Thread):
    """Takes samples until `finish`; a moment at which Kafka does not answer gives none."""

    def __init__(self, reader: Reader) -> None:
        super().__init__(name="sampler", daemon=True)
        self._reader = reader
        self._finished = threading.Event()
        self.samples: list[Sample] = []
        self.unanswered = 0

    def run(self) -> None:
        while not self._finished.wait(PERIOD_SECONDS):
            try:
                sample = self._reader.sample()
            except KafkaException:
                self.unanswered += 1
                continue
            if not self.samples or sample != self.samples[-1]:
                self.samples.append(sample)

    def finish(self) -> list[Sample]:
        """Stop, and what was taken."""
        self._finished.set()
        self.join(ANSWER_SECONDS * 3)
        return self.samples
