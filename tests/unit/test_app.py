"""Where Faust is held to the guarantees: each remedy of workers.app, seen to work on Faust's own objects."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from workers import agents, topics
from workers.app import IdempotentProducer, LedgerConsumer, build
from workers.errors import GuaranteeAtRisk
from workers.events import Topic
from workers.ledger import Ledger
from workers.pipeline import Incoming
from workers.security import PLAINTEXT, Security
from workers.settings import Settings


@pytest.fixture
def app(tmp_path: Path) -> Any:
    made, _ = build(Settings(group="unit", datadir=tmp_path), topics.load(), Ledger())
    return made


def test_records_queued_while_a_recovery_ends_survive_the_flows_resuming(app: Any) -> None:
    async def run() -> int:
        queue = app.FlowControlQueue(maxsize=8, clear_on_resume=True)
        app.flow_control.resume()
        await queue.put("a record fetched after the seek")
        app.flow_control.resume()
        return int(queue.qsize())

    assert asyncio.run(run()) == 1


def test_faust_itself_would_have_emptied_it(tmp_path: Path) -> None:
    """When this fails, Faust has mended the race and ModerationApp can go."""
    plain = faust.App("plain", datadir=str(tmp_path))

    async def run() -> int:
        queue = plain.FlowControlQueue(maxsize=8, clear_on_resume=True)
        plain.flow_control.resume()
        await queue.put("a record fetched after the seek")
        plain.flow_control.resume()
        return int(queue.qsize())

    assert asyncio.run(run()) == 0


def test_the_changelogs_own_queue_keeps_fausts_behaviour(app: Any) -> None:
    assert app.tables.changelog_queue in app.flow_control._queues


def test_commits_take_their_offsets_from_the_ledger_alone(app: Any) -> None:
    consumer_class = app.transport.Consumer
    assert issubclass(consumer_class, LedgerConsumer)
    consumer: Any = SimpleNamespace(
        ledger=consumer_class.ledger, _acked={TP("posts", 0): [1, 2, 3]}, _acked_index={TP("posts", 0): {1, 2, 3}}
    )
    assert LedgerConsumer._new_offset(consumer, TP("posts", 0)) is None, "acknowledged by Faust, finished by nobody"
    consumer_class.ledger.finish("posts", 0, 1)
    assert LedgerConsumer._new_offset(consumer, TP("posts", 0)) == 2


def test_the_producer_is_idempotent_and_waits_for_all(app: Any) -> None:
    assert isinstance(app.producer, IdempotentProducer), "Faust made another producer"
    assert issubclass(IdempotentProducer, driver.Producer)
    producer: Any = SimpleNamespace()
    settings = IdempotentProducer._settings_extra(producer)
    assert settings == {"acks": "all", "enable_idempotence": True}


def test_nothing_is_declared_and_no_standby_is_kept(app: Any) -> None:
    assert app.conf.topic_allow_declare is False
    assert app.conf.topic_disable_leader is True
    assert app.conf.table_standby_replicas == 0
    assert app.conf.web_enabled is False
    assert app.conf.agent_supervisor.__name__ == "CrashingSupervisor"


def incoming(offset: int) -> Incoming:
    return Incoming(Topic.POSTS, "posts", 0, offset, 0, b"a", b"{}")


def loop_at(position: int, monkeypatch: pytest.MonkeyPatch, in_log: int | None) -> Any:
    """A Loop that has finished everything before `position`, over a log whose next record is at `in_log`."""
    loop: Any = object.__new__(agents.Loop)
    loop.ledger, loop._bootstrap, loop._security = Ledger(), "nowhere:1", PLAINTEXT
    loop.ledger.finish("posts", 0, position - 1)

    async def look(bootstrap: str, topic: str, partition: int, offset: int, security: Security) -> int | None:
        assert (bootstrap, security) == ("nowhere:1", PLAINTEXT)
        return in_log

    monkeypatch.setattr(agents, "first_offset_from", look)
    return loop


def test_a_skipped_record_ends_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = loop_at(5, monkeypatch, in_log=5)
    with pytest.raises(GuaranteeAtRisk, match="offset 5 was skipped before 7"):
        asyncio.run(loop._nothing_skipped([incoming(7)]))


def test_a_gap_that_the_log_itself_has_is_none_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = loop_at(5, monkeypatch, in_log=7)
    asyncio.run(loop._nothing_skipped([incoming(7), incoming(8)]))


def test_records_in_order_and_redelivered_ones_pass_without_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = loop_at(5, monkeypatch, in_log=0)
    asyncio.run(loop._nothing_skipped([incoming(5), incoming(6)]))
    asyncio.run(loop._nothing_skipped([incoming(3), incoming(4)]))
