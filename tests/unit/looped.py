"""A Loop over memory: a broker that notes in which order it was asked, whose acknowledgements can be held back."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from types import SimpleNamespace
from typing import Any

from tests.unit.memory import CONTEXT, EXECUTOR, MemoryRows, ScriptedClassifier
from workers.admin import Health
from workers.agents import Loop
from workers.events import Topic
from workers.ledger import Ledger
from workers.pipeline import Incoming, Pipeline
from workers.table import BrokerClock
from workers.telemetry import Metrics

POSTS = f"test-{Topic.POSTS.value}"
GENERATION = 1


class Hands:
    """Both clocks of a host, moved by hand; seconds."""

    def __init__(self, wall: float = 0.0) -> None:
        self.wall, self.monotonic = wall, 0.0

    def clock(self) -> BrokerClock:
        """A BrokerClock on them."""
        return BrokerClock(lambda: self.wall, lambda: self.monotonic)


class Store(MemoryRows):
    """workers.table.TableStore without Kafka: `flush` notes itself and, where `broker_ms` is set, tells that time."""

    def __init__(self, told: list[str]) -> None:
        super().__init__()
        self.told = told
        self.clock = Hands().clock()
        self.broker_ms: int | None = None
        self.fails: Exception | None = None

    async def flush(self) -> None:
        await asyncio.sleep(0)
        self.told.append("changelog")
        if self.fails is not None:
            raise self.fails
        kind = 0 if self.broker_ms is None else 1
        self.clock.note(SimpleNamespace(timestamp=self.broker_ms, timestamp_type=kind))


class _Later:
    """What `send` gives: awaited for the acknowledgement, or not at all where another one failed."""

    def __init__(self, wait: Callable[[], Awaitable[None]]) -> None:
        self._wait = wait

    def __await__(self) -> Any:
        return self._wait().__await__()


class Broker:
    """What a Loop asks of Faust's app."""

    def __init__(self, told: list[str]) -> None:
        self.told = told
        self.consumer_generation_id = self.sought_generation = GENERATION
        self.rebalancing = False
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.stamps: list[float] = []
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.refuses: Exception | None = None
        self.ends: dict[tuple[str, int], int] = {}
        self.consumer: Any = self
        self.starts: dict[Any, int] = {}
        self._committed_offset: dict[Any, int | None] = defaultdict(lambda: None)
        self.commits = 0

    def topic(self, name: str, **_: Any) -> Any:
        """An output: `send` takes, and what it gives waits for the broker."""

        async def send(*, value: bytes, timestamp: float, **_: Any) -> Any:
            self.told.append(f"sent {name}")
            self.sent.append((name, json.loads(value)))
            self.stamps.append(timestamp)
            return _Later(lambda: self._acknowledged(name))

        return SimpleNamespace(send=send)

    async def _acknowledged(self, name: str) -> None:
        await self.go_on.wait()
        if self.refuses is not None:
            raise self.refuses
        self.told.append(f"acknowledged {name}")

    def assignment(self) -> list[Any]:
        return [self._new_topicpartition(topic, partition) for topic, partition in self.ends]

    async def highwaters(self, *wanted: Any) -> dict[Any, int]:
        self.told.append("ends")
        return {tp: self.ends[tp.topic, tp.partition] for tp in wanted}

    async def commit(self) -> None:
        self.commits += 1

    @staticmethod
    def _new_topicpartition(topic: str, partition: int) -> Any:
        from faust.types import TP

        return TP(topic, partition)


class Stage:
    """One life of a worker, from the moment it owns partition 0 of `posts`."""

    def __init__(self, classifier: ScriptedClassifier | None = None, rows: Store | None = None) -> None:
        self.told: list[str] = []
        self.store = rows or Store(self.told)
        self.store.told = self.told
        self.broker = Broker(self.told)
        self.broker.ends[POSTS, 0] = 0
        self.ledger = Ledger()
        self.ledger.finish(POSTS, 0, -1)
        self.failed: list[BaseException] = []
        self.health, self.metrics = Health(), Metrics()
        self.health.recovered = True
        store: Any = self.store
        self.line = Pipeline(CONTEXT, classifier or ScriptedClassifier(), store, EXECUTOR)
        sources = (Topic.POSTS, Topic.STAFF_REVIEWS)
        outputs: dict[Topic, str] = {topic: topic.value for topic in Topic if topic not in sources}
        self.loop = Loop(
            self.broker, store, self.line, self.ledger, {POSTS: Topic.POSTS}, outputs, self.health, self.metrics,
            self.failed.append, "nowhere:1",
        )  # fmt: skip

    def events(self, records: Sequence[Incoming], generation: int = GENERATION) -> list[Any]:
        """As Faust hands them out."""
        return [self._event(record, generation) for record in records]

    def _event(self, record: Incoming, generation: int) -> Any:
        message = SimpleNamespace(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            timestamp=record.timestamp_ms / 1000,
            key=record.key,
            value=record.value,
            headers=record.headers,
            generation_id=generation,
        )
        return SimpleNamespace(message=message, ack=lambda: self.told.append(f"ack {record.offset}"))

    async def run(self, *batches: Sequence[Any]) -> None:
        """The agent's body over these takes."""

        async def takes(*_: Any, **__: Any) -> Any:
            for batch in batches:
                yield batch

        await self.loop.run(SimpleNamespace(noack_take=takes))

    @property
    def finished(self) -> int | None:
        """What a commit would cover."""
        return self.ledger.next(POSTS, 0)
