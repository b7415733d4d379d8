"""mimamori as a service on a real Kafka: topics of its own, replicas, a platform that sends, and what came of it.

Times are the broker's: the benchmark's broker stamps every record when it appends it (LogAppendTime), so a post's
latency is the decision's timestamp less the post's, and holds everything between the two but the sender's own way.
"""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from confluent_kafka import Consumer, IsolationLevel, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from benchmarks.machine import cpu_seconds, main_thread_seconds, peak_mib
from benchmarks.records import authors, post_record
from tests.harness import WorkerProcess, mimamori
from tests.kafka.cluster import KafkaCluster

BROKER: Final = {"log.message.timestamp.type": "LogAppendTime"}
ANSWER_SECONDS: Final = 600.0
_LOOK_SECONDS: Final = 0.1
_READ_AT_ONCE: Final = 1_000
_SETTLE_SECONDS: Final = 120.0
_POSTS: Final = "posts"
_DECISIONS: Final = "moderation-decisions"
_DEAD: Final = "dead-letters"


@dataclass(frozen=True, slots=True)
class Answer:
    """A post and its first decision. Times are epoch seconds by the broker."""

    post_id: str
    partition: int
    posted: float
    decided: float


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds so far: of all replicas, of their event loops alone, of the broker, of this client."""

    worker: float
    loop: float
    broker: float
    client: float

    def per_post(self, before: "Usage", posts: int) -> dict[str, float]:
        """Milliseconds a post since `before`."""
        return {
            name: round(1000 * (getattr(self, name) - getattr(before, name)) / posts, 4)
            for name in ("worker", "loop", "broker", "client")
        }


class Service:
    """One topic prefix and group. Use as a context manager: its replicas end with it."""

    def __init__(self, cluster: KafkaCluster, name: str) -> None:
        self._cluster, self._prefix = cluster, f"{name}-"
        self._settings = {
            "MIMAMORI_BOOTSTRAP_SERVERS": cluster.bootstrap,
            "MIMAMORI_TOPIC_PREFIX": self._prefix,
            "MIMAMORI_GROUP": name,
        }
        applied = mimamori("topics", "apply", settings=self._settings)
        if applied.returncode != 0:
            raise RuntimeError(f"mimamori topics apply ended with {applied.returncode}:\n{applied.stderr}")
        self._admin = AdminClient({"bootstrap.servers": cluster.bootstrap, "log_level": 0})
        self._producer = Producer(
            {
                "bootstrap.servers": cluster.bootstrap,
                "partitioner": "murmur2_random",
                "acks": "all",
                "linger.ms": 0,
                "log_level": 0,
            }
        )
        self._known: dict[str, list[int]] = {}
        self._authors = authors(len(self._partitions(_POSTS)))
        self._sent = 0
        self._refused: list[str] = []
        self.replicas: list[WorkerProcess] = []

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, *_: object) -> None:
        for replica in self.replicas:
            replica.kill()

    # -- replicas --------------------------------------------------------------------------------------------------

    def start(self, count: int, threads: int, session_seconds: float) -> float:
        """Start `count` more replicas at once; seconds until all were ready."""
        settings = {
            **self._settings,
            "MIMAMORI_TORCH_THREADS": str(threads),
            "OMP_NUM_THREADS": str(threads),
            "MIMAMORI_SESSION_TIMEOUT_SECONDS": f"{session_seconds:g}",
        }
        bootstrap = self._cluster.bootstrap
        started = time.monotonic()
        new = [WorkerProcess(bootstrap, **settings).start() for _ in range(count)]
        self.replicas += new
        for replica in new:
            replica.wait_ready()
        return round(time.monotonic() - started, 2)

    def settled(self) -> None:
        """Wait until each replica owns partitions and together they own all: a start ends with several rebalances."""
        wanted = sum(len(self._partitions(topic)) for topic in (_POSTS, "staff-reviews"))
        until = time.monotonic() + _SETTLE_SECONDS
        while True:
            owned = [metric(replica, "mimamori_partitions") for replica in self.replicas]
            if min(owned) > 0 and sum(owned) == wanted and all(replica.ready() for replica in self.replicas):
                return
            if time.monotonic() > until:
                raise RuntimeError(f"replicas own {owned} of {wanted} partitions after {_SETTLE_SECONDS:g} s")
            time.sleep(_LOOK_SECONDS)

    def usage(self) -> Usage:
        """Of all that runs, now."""
        pids = [replica.process.pid for replica in self.replicas if replica.process is not None]
        return Usage(
            worker=sum(map(cpu_seconds, pids)),
            loop=sum(map(main_thread_seconds, pids)),
            broker=cpu_seconds(self._cluster.pid()),
            client=time.process_time(),
        )

    def peak_mib(self) -> dict[str, float]:
        """The largest replica's peak memory, and the broker's."""
        pids = [replica.process.pid for replica in self.replicas if replica.process is not None]
        return {"worker": max(map(peak_mib, pids)), "broker": peak_mib(self._cluster.pid())}

    # -- the platform ----------------------------------------------------------------------------------------------

    def send(self, texts: Sequence[str], name: str) -> None:
        """All at once; acknowledged on return. Post ids begin with `name`."""
        for number, text in enumerate(texts):
            self._send(text, f"{name}-{number}")
        self._flush()

    def send_paced(self, texts: Iterator[str], name: str, per_second: float, seconds: float) -> int:
        """As many people write: independently, at this rate on average (Poisson, seeded). How many were sent."""
        rng = Random(name)
        due = started = time.monotonic()
        count = 0
        while (due := due + rng.expovariate(per_second)) < started + seconds:
            time.sleep(max(0.0, due - time.monotonic()))
            self._send(next(texts), f"{name}-{count}")
            count += 1
        self._flush()
        return count

    def _send(self, text: str, post_id: str) -> None:
        author = self._authors[self._sent % len(self._authors)]
        key, value = post_record(author, post_id, text, time.time())
        self._producer.produce(self._prefix + _POSTS, key=key, value=value, on_delivery=self._delivered)
        self._producer.poll(0)
        self._sent += 1

    def _delivered(self, error: object, _: object) -> None:
        if error is not None:
            self._refused.append(str(error))

    def _flush(self) -> None:
        if self._producer.flush(60) or self._refused:
            raise RuntimeError(f"posts were not taken: {self._refused[:1] or 'no answer'}")

    # -- what came of it -------------------------------------------------------------------------------------------

    def wait(self) -> None:
        """Until there are as many decisions as posts were sent."""
        until = time.monotonic() + ANSWER_SECONDS
        while (decided := sum(self._ends(_DECISIONS).values())) < self._sent:
            ended = [replica.tail() for replica in self.replicas if not _runs(replica)]
            if len(ended) == len(self.replicas) or time.monotonic() > until:
                raise RuntimeError(f"{decided} decisions of {self._sent} posts\n{''.join(ended)[-3_000:]}")
            time.sleep(_LOOK_SECONDS)
        dead = sum(self._ends(_DEAD).values())
        if dead:
            raise RuntimeError(f"{dead} posts became dead letters")

    def answers(self, name: str) -> list[Answer]:
        """The posts whose ids begin with `name` and their first decisions, in order of decision."""
        posted = {
            (at.partition, at.offset): (json.loads(value)["post_id"], at_seconds)
            for at, at_seconds, value in self._read(_POSTS)
        }
        found: dict[tuple[int, int], Answer] = {}
        for _, decided, value in self._read(_DECISIONS):
            source = json.loads(value)["source"]
            place = source["partition"], source["offset"]
            post_id, at = posted[place]
            if post_id.startswith(f"{name}-") and (place not in found or decided < found[place].decided):
                found[place] = Answer(post_id, place[0], at, decided)
        return sorted(found.values(), key=lambda answer: answer.decided)

    def _partitions(self, topic: str) -> list[int]:
        if topic not in self._known:
            physical = self._prefix + topic
            self._known[topic] = sorted(self._admin.list_topics(physical, timeout=30).topics[physical].partitions)
        return self._known[topic]

    def _ends(self, topic: str) -> dict[int, int]:
        """The next offset of each partition, in one request."""
        wanted = {TopicPartition(self._prefix + topic, p): OffsetSpec.latest() for p in self._partitions(topic)}
        asked = self._admin.list_offsets(wanted, isolation_level=IsolationLevel.READ_UNCOMMITTED)
        return {place.partition: future.result(30).offset for place, future in asked.items()}

    def _read(self, topic: str) -> Iterator[tuple[TopicPartition, float, bytes]]:
        """Everything in a topic now: place, the broker's time, value."""
        ends = {partition: end for partition, end in self._ends(topic).items() if end}
        with _reading(self._cluster.bootstrap) as consumer:
            consumer.assign([TopicPartition(self._prefix + topic, partition, 0) for partition in ends])
            left = sum(ends.values())
            while left > 0:
                batch = consumer.consume(min(left, _READ_AT_ONCE), timeout=30)  # waits until it has so many
                if not batch:
                    raise RuntimeError(f"{topic}: {left} records did not come")
                for message in batch:
                    if message.error() is not None:
                        raise RuntimeError(f"{topic}: {message.error()}")
                    left -= message.offset() < ends[message.partition()]
                    place = TopicPartition(topic, message.partition(), message.offset())
                    yield place, message.timestamp()[1] / 1000, message.value() or b""


@contextmanager
def _reading(bootstrap: str) -> Iterator[Any]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench-reader", "enable.auto.commit": False})
    try:
        yield consumer
    finally:
        consumer.close()


def _runs(replica: WorkerProcess) -> bool:
    return replica.process is not None and replica.process.poll() is None


def metric(replica: WorkerProcess, name: str) -> float:
    """The value of a metric without labels in a replica's /metrics."""
    for line in replica.probe("/metrics")[1].splitlines():
        if line.startswith(f"{name} "):
            return float(line.split()[1])
    raise RuntimeError(f"/metrics has no {name}")
