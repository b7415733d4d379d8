"""The settings and the wiring that answer Faust's traps, read from the objects that Faust made of them."""

import asyncio
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from workers import app as apps
from workers import topics
from workers.app import BLOCK_CACHE_BYTES, ISOLATION, LedgerConsumer, WatchedConsumerThread, build
from workers.ledger import Ledger
from workers.run import Replica
from workers.settings import Settings

SETTINGS = Settings(group="unit", bootstrap_servers="kafka-1:9092,kafka-2:9092")


@pytest.fixture
def made(tmp_path: Path) -> tuple[Any, Any]:
    """App and table."""
    return build(
        Settings(group="unit", bootstrap_servers="kafka-1:9092,kafka-2:9092", datadir=tmp_path), topics.load(), Ledger()
    )


@pytest.fixture
def app(made: tuple[Any, Any]) -> Any:
    return made[0]


def test_clients_partition_as_javas_do(app: Any) -> None:
    """`confluent://` would send an author's rows elsewhere than where the author's posts are."""
    assert {url.scheme for url in app.conf.broker} == {"aiokafka"}
    assert isinstance(app.transport, driver.Transport)


def test_the_store_is_rocksdict_with_a_small_cache(made: tuple[Any, Any]) -> None:
    """Of the URL's own options Faust takes none; its cache is 2 GiB for each partition."""
    options = made[1].data.rocksdb_options
    assert made[1].data.driver == "rocksdict"
    assert (options.use_rocksdict, options.block_cache_size) == (True, BLOCK_CACHE_BYTES)
    assert options.write_buffer_size <= 16 << 20


def test_a_slow_batch_does_not_hold_a_rebalance_by_faust(app: Any) -> None:
    """Loop.quiet waits, within bounds; Faust would wait for ever."""
    assert app.conf.stream_wait_empty is False


def test_the_log_is_left_to_json(app: Any) -> None:
    assert app.conf.worker_redirect_stdouts is False


def test_faust_serves_nothing(app: Any) -> None:
    assert (app.conf.web_enabled, app.conf.web_tables_enabled) == (False, False)


def test_patience_is_longer_than_the_worst_batch(app: Any) -> None:
    """A batch's deadline is 180 s, a rebalance waits 90 s for it, and it follows 60 s of classifying."""
    assert app.conf.broker_rebalance_timeout >= 180 + 60
    assert app.conf.broker_max_poll_interval >= 180
    assert app.conf.broker_session_timeout / app.conf.broker_heartbeat_interval >= 3
    assert app.conf.producer_request_timeout >= 60
    assert app.conf.producer_acks == -1


def test_the_changelog_is_the_one_that_topics_yml_names(made: tuple[Any, Any]) -> None:
    app, table = made
    assert table.changelog_topic.topics == ("unit-authors-changelog",)
    assert table.partitions == table.changelog_topic.partitions == topics.load().partitions("posts")
    assert app.conf.topic_partitions == table.partitions


def test_one_agent_takes_raw_bytes_of_both_topics_one_at_a_time(app: Any) -> None:
    """Faust acknowledges what its own codec cannot decode; two agents, or two of one, would race on an author."""
    loop = SimpleNamespace(run=None, ticking=None, on_revoked=None, on_rebalanced=None)
    Replica(SETTINGS)._wire(app, _Wired(loop), ["posts", "staff-reviews"])
    (agent,) = app.agents.values()
    assert agent.concurrency == 1
    assert set(agent.channel.topics) == {"posts", "staff-reviews"}
    assert (agent.channel.key_serializer, agent.channel.value_serializer) == ("raw", "raw")


class _Wired:
    """A loop that only has to be wired."""

    def __init__(self, _: Any) -> None: ...

    async def run(self, stream: Any) -> None: ...

    async def ticking(self) -> None: ...

    async def on_revoked(self, revoked: Any) -> None: ...

    async def on_rebalanced(self) -> None: ...


def test_what_a_platform_took_back_is_not_read(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = SimpleNamespace(_isolation_level="read_uncommitted")
    monkeypatch.setattr(WatchedConsumerThread.__mro__[1], "_create_worker_consumer", lambda *_: reader)
    thread: Any = object.__new__(WatchedConsumerThread)
    assert thread._create_worker_consumer(None)._isolation_level == ISOLATION == "read_committed"


# -- where partitions are read from ------------------------------------------------------------------------------------


class Sought:
    """A LedgerConsumer at a seek: posts/0 was committed at 5, posts/1 never, its log begins at 3."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.app = SimpleNamespace(consumer_generation_id=7, topics=SimpleNamespace(acking_topics={"posts"}))
        self.told: list[Any] = []
        self._committed_offset: dict[Any, int | None] = defaultdict(lambda: None)
        self.starts: dict[Any, int] = {}
        self.sought_generation = -1

        async def seek(consumer: Any) -> None:
            assert consumer.sought_generation == -1, "said before it was done"
            consumer._committed_offset[TP("posts", 0)] = 5

        monkeypatch.setattr(driver.Consumer, "perform_seek", seek)

    def assignment(self) -> list[Any]:
        return [TP("posts", 0), TP("posts", 1), TP("unit-authors-changelog", 0)]

    async def earliest_offsets(self, *wanted: Any) -> dict[Any, int]:
        assert self.sought_generation == -1
        return dict.fromkeys(wanted, 3)

    async def seek_wait(self, wanted: Any) -> None:
        assert self.sought_generation == -1
        self.told.append(wanted)


def test_partitions_without_a_commit_are_sought_too_and_then_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    kind: Any = type("Consumer", (Sought, LedgerConsumer), {})
    consumer = object.__new__(kind)
    Sought.__init__(consumer, monkeypatch)
    asyncio.run(LedgerConsumer.perform_seek(consumer))
    assert consumer.told == [{TP("posts", 1): 3}]
    assert consumer.sought_generation == 7
    consumer.app.consumer = consumer
    assert apps.first_unfinished(consumer.app, "posts", 1) == 3
    assert apps.first_unfinished(consumer.app, "posts", 0) == 5
