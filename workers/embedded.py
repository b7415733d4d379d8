"""An in-memory Kafka for the demo and quick tests: librdkafka's mock cluster, on a TCP port of this machine.

It keeps 5 MB a partition, makes four partitions of every topic that is asked for, and has no compaction, SASL or
topic creation by request. Nothing that promises delivery is proved on it.
"""

from collections.abc import Iterable
from typing import Final

from confluent_kafka import Producer

from workers.errors import Unavailable

PARTITIONS: Final = 4
_ANSWER_SECONDS: Final = 10.0


class EmbeddedKafka:
    """Runs as long as this object lives; `producer` is a client of it that partitions as Java's does."""

    def __init__(self) -> None:
        self.producer = Producer(
            {"test.mock.num.brokers": 1, "partitioner": "murmur2_random", "linger.ms": 5, "log_level": 0}
        )
        brokers = self.producer.list_topics(timeout=_ANSWER_SECONDS).brokers.values()
        self.bootstrap = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)

    def make(self, topics: Iterable[str]) -> None:
        """Ask for each topic once: that creates it."""
        for topic in topics:
            found = self.producer.list_topics(topic, timeout=_ANSWER_SECONDS).topics[topic]
            if found.error is not None:
                raise Unavailable(f"the embedded Kafka made no topic {topic}: {found.error}")
