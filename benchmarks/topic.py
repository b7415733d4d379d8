"""A topic of posts for the loops by hand, which make none and know nothing of topics.yml."""

import time
from collections.abc import Sequence
from typing import Final

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.records import authors, post_record

_PARTITIONS: Final = 12  # as topics.yml gives `posts`


def make(bootstrap: str, name: str) -> str:
    """Its name again, once it is there."""
    client = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    client.create_topics([NewTopic(name, _PARTITIONS, 1)])[name].result(30)
    return name


def fill(bootstrap: str, name: str, texts: Sequence[str]) -> None:
    """The posts as a platform would send them; acknowledged on return."""
    producer = Producer(
        {"bootstrap.servers": bootstrap, "partitioner": "murmur2_random", "acks": "all", "log_level": 0}
    )
    names = authors(_PARTITIONS)
    for number, text in enumerate(texts):
        key, value = post_record(names[number % len(names)], f"{name}-{number}", text, time.time())
        producer.produce(name, key=key, value=value)
    if producer.flush(60):
        raise RuntimeError(f"{name} did not take the posts")
