"""What tests see of the product from outside: a worker as a subprocess, and a plain Kafka client.

Nothing here imports the worker's own code paths; records are plain dictionaries.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from confluent_kafka import Consumer, Message, Producer, TopicPartition

START_SECONDS: Final = 120.0
ANSWER_SECONDS: Final = 120.0
OUTPUTS: Final = (
    "moderation-decisions",
    "moderation-actions",
    "consultation-escalations",
    "care-outreach",
    "dead-letters",
)


def clean_environment(**settings: str) -> dict[str, str]:
    """This process's environment without any MIMAMORI_* but those given."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MIMAMORI_")}
    return {**environment, "OMP_NUM_THREADS": "1", **settings}


def mimamori(
    *arguments: str, timeout: float = 120, settings: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run one command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "workers.cli", *arguments],
        env=clean_environment(**(settings or {})),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


class WorkerProcess:
    """One replica. `with` waits until it is ready and ends it for sure."""

    module = "workers.cli"  # tests/broker/faulty.py puts another before it

    def __init__(self, bootstrap: str, **settings: str) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="mimamori-worker-")
        self.log = Path(self._home.name) / "worker.log"
        defaults = {
            "MIMAMORI_BOOTSTRAP_SERVERS": bootstrap,
            "MIMAMORI_DATADIR": str(Path(self._home.name) / "data"),
            "MIMAMORI_WEB_PORT": "0",
            "MIMAMORI_SESSION_TIMEOUT_SECONDS": "10",
        }
        self._environment = clean_environment(**{**defaults, **settings})
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "WorkerProcess":
        with self.log.open("ab") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.module, "worker"],
                env=self._environment,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        return self

    @property
    def port(self) -> int:
        """Where /healthz answers, once the log has said so."""
        found = re.search(r'"port": (\d+)', self.log.read_text("utf-8"))
        if found is None:
            raise AssertionError(f"no port in the log yet:\n{self.tail()}")
        return int(found[1])

    def probe(self, path: str) -> tuple[int, str]:
        """Status and body of an HTTP GET."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the worker ended with {self.process.returncode}:\n{self.tail()}")
        try:
            return self.probe("/healthz/ready")[0] == 200
        except (AssertionError, OSError):
            return False

    def wait_ready(self) -> "WorkerProcess":
        wait_until(self.ready, START_SECONDS, lambda: f"the worker is not ready:\n{self.tail()}")
        return self

    def terminate(self, timeout: float = 60) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(30)

    def tail(self) -> str:
        return self.log.read_text("utf-8")[-6_000:] if self.log.exists() else "(no log)"

    def __enter__(self) -> "WorkerProcess":
        return self if self.process is not None else self.start().wait_ready()

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._home.cleanup()


def wait_until(done: Callable[[], bool], seconds: float, otherwise: Callable[[], str]) -> None:
    """Poll; AssertionError with `otherwise()` when time is up."""
    until = time.monotonic() + seconds
    while not done():
        if time.monotonic() > until:
            raise AssertionError(otherwise())
        time.sleep(0.2)


@dataclass
class Outside:
    """A platform and its staff: a plain client that feeds topics and reads them back."""

    bootstrap: str
    prefix: str = ""
    sent: list[tuple[str, int, int, bytes | None, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "partitioner": "murmur2_random",
                "acks": "all",
                "linger.ms": 5,
                "log_level": 0,
            }
        )

    def send_raw(
        self, topic: str, key: bytes | None, value: bytes, timestamp_ms: int | None = None, **more: Any
    ) -> None:
        """Queue bytes as they are; `flush` waits."""
        if timestamp_ms is not None:
            more["timestamp"] = timestamp_ms
        self._producer.produce(self.prefix + topic, key=key, value=value, on_delivery=self._delivered, **more)
        self._producer.poll(0)

    def _delivered(self, error: object, message: Message) -> None:
        assert error is None, error
        topic = str(message.topic()).removeprefix(self.prefix)
        offset, partition = message.offset(), message.partition()
        assert offset is not None
        assert partition is not None
        self.sent.append((topic, partition, offset, message.key(), message.value() or b""))

    def flush(self) -> None:
        assert self._producer.flush(60) == 0

    def send(self, posts: Iterable[Mapping[str, Any]], topic: str = "posts", timestamp_ms: int | None = None) -> None:
        """Records keyed by their author_id, acknowledged on return."""
        for post in posts:
            key = str(post["author_id"]).encode()
            self.send_raw(topic, key, json.dumps(post, ensure_ascii=False).encode(), timestamp_ms)
        self.flush()

    def read(self, topic: str) -> list[Message]:
        """Everything in a topic now."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "outside", "enable.auto.commit": False})
        try:
            name = self.prefix + topic
            partitions = consumer.list_topics(name, timeout=30).topics[name].partitions
            found: list[Message] = []
            for partition in partitions:
                low, high = consumer.get_watermark_offsets(TopicPartition(name, partition), timeout=30)
                if low == high:
                    continue
                consumer.assign([TopicPartition(name, partition, low)])
                last = low - 1
                while last < high - 1:
                    for message in consumer.consume(high - 1 - last, timeout=5):
                        assert message.error() is None, message.error()
                        found.append(message)
                        last = int(message.offset())
            return found
        finally:
            consumer.close()

    def records(self, topic: str) -> list[dict[str, Any]]:
        """Everything in a topic now, decoded."""
        return [json.loads(message.value() or b"null") for message in self.read(topic)]

    def counts(self, *topics: str) -> dict[str, int]:
        """Records in each topic, by watermarks."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "outside", "enable.auto.commit": False})
        try:
            found = {}
            for topic in topics:
                name = self.prefix + topic
                partitions = consumer.list_topics(name, timeout=30).topics[name].partitions
                marks = [consumer.get_watermark_offsets(TopicPartition(name, p), timeout=30) for p in partitions]
                found[topic] = sum(high - low for low, high in marks)
            return found
        finally:
            consumer.close()

    def committed(self, group: str, topic: str) -> int:
        """Sum of a group's committed offsets."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": group, "enable.auto.commit": False})
        try:
            name = self.prefix + topic
            partitions = consumer.list_topics(name, timeout=30).topics[name].partitions
            offsets = consumer.committed([TopicPartition(name, p) for p in partitions], timeout=30)
            return sum(max(0, tp.offset) for tp in offsets)
        finally:
            consumer.close()

    def wait_for(self, wanted: Mapping[str, int], seconds: float = ANSWER_SECONDS, tail: Any = None) -> None:
        """Until each topic holds at least so many records."""

        def there() -> bool:
            found = self.counts(*wanted)
            return all(found[topic] >= count for topic, count in wanted.items())

        wait_until(there, seconds, lambda: f"{self.counts(*wanted)} of {wanted}\n{tail() if tail else ''}")

    def wait_for_distinct(self, topic: str, key: str, count: int, seconds: float, tail: Any = None) -> None:
        """Until the topic's records have so many values of `key`; a copy, which a rebalance may leave, counts once."""
        self.wait_for({topic: count}, seconds, tail)

        def there() -> bool:
            return len({repr(record[key]) for record in self.records(topic)}) >= count

        wait_until(there, seconds, lambda: f"{topic}: fewer than {count} {key}\n{tail() if tail else ''}")


def post(author: str, number: int, text: str | None, **more: Any) -> dict[str, Any]:
    """A post/1 as a platform would send it."""
    record = {
        "schema": "post/1",
        "event": "created",
        "post_id": f"{author}-{number}",
        "revision": 1,
        "author_id": author,
        "occurred_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "text": text,
    }
    return {**record, **more}
