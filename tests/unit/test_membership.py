"""A replica that may have an heir writes nothing: workers.app.Membership, on aiokafka's own sender and coordinator.

What it prevents on a real cluster is tests/chaos's to show: a replica that was stopped or cut off for longer than its
session undid its heir's rows and sent other bytes under the same ids.
"""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.producer.sender import SendProduceReqHandler
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.produce import ProduceRequest
from faust.tables.base import Collection

from workers import topics
from workers.app import IdempotentProducer, Membership, WatchedConsumerThread, build
from workers.ledger import Ledger
from workers.settings import Settings

pytestmark = pytest.mark.timeout(60)  # what should fail waits for ever where the code is broken

SESSION = 30.0
PRODUCE = ProduceRequest(transactional_id=None, required_acks=-1, timeout=1, topics=[])


class Clock:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Coordinator:
    """What Membership takes hold of, as aiokafka's coordinator calls it on itself."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.known, self.reached, self.answers_after = clock, True, True, 0.0
        self.calls: list[str] = []

    async def _do_heartbeat(self) -> bool:
        self.calls.append("heartbeat")
        self.clock.now += self.answers_after
        if self.reached and not self.known:
            self.reset_generation()
        return self.reached and self.known

    async def _on_join_complete(self, *args: Any) -> None:
        self.calls.append(f"joined {args}")

    def reset_generation(self) -> None:
        self.calls.append("reset")


class Client:
    """A producer's client that says what it sent."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    async def send(self, node_id: int, request: Any, **more: Any) -> str:
        self.sent.append(request)
        return "answer"


class Setup:
    """A membership with both its ends."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.coordinator: Any = Coordinator(self.clock)
        self.client: Any = Client()
        self.membership = Membership(SESSION, self.clock)
        self.membership.watch(self.coordinator)
        self.membership.guard(self.client)


@pytest.fixture
def setup() -> Setup:
    return Setup()


def test_before_the_first_proof_it_does_not_hold(setup: Setup) -> None:
    assert not setup.membership.holds


def test_a_heartbeat_proves_it_from_the_moment_it_was_asked(setup: Setup) -> None:
    """An answer may be old when it comes. A third of the session is left for what is sent on the last of a proof."""
    setup.coordinator.answers_after = 5.0
    asyncio.run(setup.coordinator._do_heartbeat())
    assert setup.membership.holds
    setup.clock.now += SESSION * 2 / 3 - 5.1
    assert setup.membership.holds
    setup.clock.now += 0.2
    assert not setup.membership.holds


def test_an_unknown_member_has_lost_it_at_once(setup: Setup) -> None:
    asyncio.run(setup.coordinator._do_heartbeat())
    setup.coordinator.known = False
    assert not asyncio.run(setup.coordinator._do_heartbeat())
    assert not setup.membership.holds
    assert setup.coordinator.calls == ["heartbeat", "heartbeat", "reset"]


def test_a_coordinator_that_cannot_be_reached_proves_nothing(setup: Setup) -> None:
    setup.coordinator.reached = False
    assert not asyncio.run(setup.coordinator._do_heartbeat())
    assert not setup.membership.holds
    setup.coordinator.reached = True
    assert asyncio.run(setup.coordinator._do_heartbeat())
    assert setup.membership.holds, "and loses nothing"


def test_a_join_proves_it_again_before_the_partitions_are_given(setup: Setup) -> None:
    setup.coordinator.reset_generation()
    asyncio.run(setup.coordinator._on_join_complete(7, "member"))
    assert setup.membership.holds
    assert setup.coordinator.calls == ["reset", "heartbeat", "joined (7, 'member')"]


def test_with_a_proof_requests_pass(setup: Setup) -> None:
    async def run() -> Any:
        await setup.coordinator._do_heartbeat()
        return await setup.client.send(1, PRODUCE)

    assert asyncio.run(run()) == "answer"
    assert setup.client.sent == [PRODUCE]


def test_without_a_proof_a_produce_request_waits_for_one(setup: Setup) -> None:
    async def run() -> None:
        waiting = asyncio.ensure_future(setup.client.send(1, PRODUCE))
        await asyncio.sleep(0.2)
        assert setup.client.sent == []
        await setup.coordinator._do_heartbeat()
        assert await waiting == "answer"

    asyncio.run(run())


def test_a_produce_request_that_waits_fails_where_membership_is_lost(setup: Setup) -> None:
    async def run() -> None:
        waiting = asyncio.ensure_future(setup.client.send(1, PRODUCE))
        await asyncio.sleep(0.1)
        setup.coordinator.reset_generation()
        with pytest.raises(KafkaError) as raised:
            await waiting
        assert not raised.value.retriable

    asyncio.run(run())
    assert setup.client.sent == []


def test_other_requests_need_no_proof(setup: Setup) -> None:
    """Else the producer could not learn of its brokers, and never send."""
    request = MetadataRequest([])
    assert asyncio.run(setup.client.send(1, request)) == "answer"


def test_a_batch_of_a_lost_member_fails_and_is_not_tried_again(setup: Setup) -> None:
    """On aiokafka's own handler: the future that workers.agents awaits gets the error."""
    failed: list[BaseException] = []
    batch: Any = SimpleNamespace(
        failure=lambda exception: failed.append(exception), get_data_buffer=lambda: b"", expired=lambda: False
    )
    sender: Any = SimpleNamespace(
        client=setup.client,
        _txn_manager=SimpleNamespace(transactional_id=None),
        _acks=-1,
        _request_timeout_ms=1,
        _retry_backoff=0.0,
    )
    setup.coordinator.reset_generation()
    asyncio.run(SendProduceReqHandler(sender, {TopicPartition("t", 0): batch}).do(1))
    assert [type(error) for error in failed] == [KafkaError]
    assert setup.client.sent == []


# --- where it is put in


@pytest.fixture
def built(tmp_path: Path) -> tuple[Any, Any]:
    return build(Settings(group="unit", datadir=tmp_path), topics.load(), Ledger())


def test_the_producer_that_faust_makes_is_idempotent_and_guarded(built: tuple[Any, Any]) -> None:
    app, _ = built

    async def run() -> None:
        producer = app.producer._new_producer()
        try:
            assert producer._txn_manager is not None, "not idempotent"
            assert producer._sender._acks == -1
            assert producer._sender.client is producer.client
            app.membership._lost = True
            with pytest.raises(KafkaError, match="no member"):
                await producer._sender.client.send(1, PRODUCE)
        finally:
            await producer.stop()

    assert isinstance(app.producer, IdempotentProducer)
    asyncio.run(run())


def test_the_consumers_thread_watches_its_coordinator(built: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    app, _ = built
    coordinator = Coordinator(Clock())

    async def started(self: Any) -> None:
        self._consumer = SimpleNamespace(_coordinator=coordinator)

    monkeypatch.setattr(WatchedConsumerThread.__mro__[1], "on_start", started)

    async def run() -> None:
        thread = app.consumer._new_consumer_thread()
        await thread.on_start()
        await coordinator._do_heartbeat()

    asyncio.run(run())
    assert app.membership.holds


def test_an_answer_that_comes_without_membership_moves_no_offset(
    built: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the store would be taken to hold an heir's rows that it never read, and a recovery would leave them out."""
    app, table = built
    moved: list[Any] = []
    monkeypatch.setattr(Collection, "_on_changelog_sent", lambda self, fut: moved.append(fut))
    table._on_changelog_sent("late")
    assert moved == []
    app.membership._asked_at = app.membership._clock()
    table._on_changelog_sent("in time")
    assert moved == ["in time"]
