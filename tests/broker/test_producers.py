"""What a platform's producer may do: compress in any codec, and send within transactions."""

import json
import time
from collections.abc import Callable

import pytest
from confluent_kafka import Producer

from tests.broker.conftest import Service
from tests.harness import post, wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
Flags = Callable[..., dict[str, str]]


def send(service: Service, producer: Producer, author: str, number: int, timestamp_ms: int = 0) -> None:
    value = json.dumps(post(author, number, f"今日はいい天気 {number} " + "あ" * 200)).encode()
    producer.produce(service.outside.prefix + "posts", key=author.encode(), value=value, timestamp=timestamp_ms)


def test_posts_compressed_in_any_codec_are_decided(service: Service) -> None:
    for number, codec in enumerate(CODECS):
        producer = Producer({"bootstrap.servers": service.outside.bootstrap, "compression.type": codec, "acks": "all"})
        send(service, producer, f"author-{codec}", number)
        assert producer.flush(30) == 0
    with service.worker() as worker:
        service.outside.wait_for({"moderation-decisions": len(CODECS)}, 120, worker.tail)
    decided = {record["author_id"] for record in service.outside.records("moderation-decisions")}
    assert decided == {f"author-{codec}" for codec in CODECS}


def test_committed_transactions_are_decided_aborted_ones_are_not(service: Service, flags: Flags) -> None:
    """A transaction ends in a marker that is no record: the clock of a request must run out behind it all the same."""
    producer = Producer({"bootstrap.servers": service.outside.bootstrap, "transactional.id": service.group})
    producer.init_transactions(30)
    long_ago = int((time.time() - 25 * 3_600) * 1_000)  # the deadline of a request is 24 hours
    for number, end in enumerate((producer.abort_transaction, producer.commit_transaction)):
        producer.begin_transaction()
        send(service, producer, "author", number, long_ago)
        producer.flush(30)
        end(30)
    outside = service.outside
    with service.worker(**flags("defamation")) as worker:
        outside.wait_for({"moderation-decisions": 1}, 120, worker.tail)
        wait_until(
            lambda: [a["action"] for a in outside.records("moderation-actions")] == ["request_removal", "remove"],
            60,
            worker.tail,
        )
    assert [record["post_id"] for record in outside.records("moderation-decisions")] == [
        post("author", 1, "")["post_id"]
    ]
