"""The Faust app: settings, the authors' table, and the five places where Faust is held to this project's guarantees.

    1  commits take their offsets from workers.ledger (`LedgerConsumer`)
    2  the producer is idempotent and waits for all in-sync replicas (`IdempotentProducer`)
    3  a table write gives its changelog record's future, so it can be awaited (`AuthorsTable`)
    4  table access outside a stream iteration names its partition (`TableStore`)
    5  records that arrive while a recovery ends are not thrown away (`ModerationApp`)

tests/unit/test_faust_private.py holds every private name used here against the pinned version. The agent itself is
workers.agents.
"""

import asyncio
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Final

import faust
from aiokafka import AIOKafkaConsumer, TopicPartition
from faust.streams import _current_event
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode import CrashingSupervisor

from workers.errors import GuaranteeAtRisk
from workers.events import Topic
from workers.ledger import Ledger
from workers.settings import Settings
from workers.topics import TopicsFile

HEARTBEAT_SHARE: Final = 0.2  # of the session timeout
REBALANCE_TIMEOUT_SECONDS: Final = 240.0  # three times the worst batch (60 s), plus recovery
MAX_POLL_INTERVAL_SECONDS: Final = 300.0
MAX_POLL_RECORDS: Final = 500
COMMIT_INTERVAL_SECONDS: Final = 1.0
PRODUCER_TIMEOUT_SECONDS: Final = 60.0
# Before compression. The broker's limit is on compressed batches: a dead letter holds up to 4/3 of a record that came
# in a well-compressed batch, and must not be refused here for what the broker would take.
MAX_REQUEST_BYTES: Final = 64 << 20
BUFFERED_RECORDS: Final = 1_024  # per partition stream: four batches
LOOK_SECONDS: Final = 10.0
BLOCK_CACHE_BYTES: Final = 32 << 20  # RocksDB's, per partition; Faust's default is 2 GiB
WRITE_BUFFER_BYTES: Final = 16 << 20


class LedgerConsumer(driver.Consumer):
    """Commits cover finished records and nothing else."""

    ledger: Ledger

    def _new_offset(self, tp: Any) -> int | None:
        self._acked[tp].clear()
        self._acked_index[tp].clear()
        return self.ledger.next(tp.topic, tp.partition)

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[Any]:
        return iter([tp for tp in self.assignment() if tp.topic in self.app.topics.acking_topics])


class IdempotentProducer(driver.Producer):
    """A retry inside the client writes no second copy."""

    def _settings_extra(self) -> dict[str, Any]:
        return {"acks": "all", "enable_idempotence": True}


class ModerationApp(faust.App):
    """Queues of records are not emptied when the flow resumes.

    After a recovery Faust lets the source partitions be fetched, then seeks, then resumes the flow, which empties every
    queue: what came in between is lost, and a later commit covers it (seen with kill -9 on a loaded machine). Records
    from before a rebalance need no emptying: workers.agents and Faust itself drop them by their generation.
    """

    def FlowControlQueue(self, maxsize: int | None = None, *, clear_on_resume: bool = False) -> Any:
        return super().FlowControlQueue(maxsize, clear_on_resume=False)

    def let_changelog_clear(self) -> None:
        """The changelog's own queue keeps Faust's behaviour: it is filled only while the flow is on."""
        size = self.conf.stream_buffer_maxsize
        self.tables._changelog_queue = super().FlowControlQueue(size, clear_on_resume=True)


class AuthorsTable(faust.Table):
    """Keeps the futures of the changelog records that are under way."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.under_way: list[Any] = []

    def send_changelog(self, *args: Any, **kwargs: Any) -> Any:
        future = super().send_changelog(*args, **kwargs)
        self.under_way.append(future)
        return future


class _Event:
    """Enough of an event for Faust to know which partition a table access belongs to."""

    def __init__(self, topic: str, partition: int) -> None:
        self.message = SimpleNamespace(topic=topic, partition=partition)


class TableStore:
    """workers.pipeline.Store over the table, plus the wait for the changelog."""

    def __init__(self, table: AuthorsTable, source_topic: str) -> None:
        self._table = table
        self._source_topic = source_topic
        self._events: dict[int, _Event] = {}

    @contextmanager
    def _in_partition(self, partition: int) -> Iterator[None]:
        # Faust keeps a weak reference only, so the event has to live here.
        event = self._events.setdefault(partition, _Event(self._source_topic, partition))
        token = _current_event.set(weakref.ref(event))
        try:
            yield
        finally:
            _current_event.reset(token)

    def get(self, partition: int, key: str) -> bytes | None:
        with self._in_partition(partition):
            found: bytes | None = self._table.get(key.encode())
            return found

    def put(self, partition: int, key: str, value: bytes) -> None:
        with self._in_partition(partition):
            self._table[key.encode()] = value

    def delete(self, partition: int, key: str) -> None:
        with self._in_partition(partition):
            self._table.pop(key.encode(), None)

    async def flush(self) -> None:
        """Every row put so far is in the changelog, acknowledged by all in-sync replicas."""
        under_way, self._table.under_way = self._table.under_way, []
        for future in under_way:
            try:
                await future
            except Exception as error:  # noqa: BLE001 # whatever the client raises, the row is not there
                raise GuaranteeAtRisk(f"the authors' changelog took no write: {type(error).__name__}") from None


def build(settings: Settings, topics: TopicsFile, ledger: Ledger) -> tuple[Any, AuthorsTable]:
    """The app and its table; topics must exist (`mimamori topics apply`), nothing is declared from here."""
    brokers = [f"aiokafka://{server}" for server in settings.bootstrap_servers.split(",")]
    app = ModerationApp(
        settings.group,
        broker=brokers,
        datadir=str(settings.datadir.absolute()),
        store="rocksdb://",
        autodiscover=False,
        agent_supervisor=CrashingSupervisor,
        broker_client_id="mimamori",
        broker_session_timeout=settings.session_timeout_seconds,
        broker_heartbeat_interval=settings.session_timeout_seconds * HEARTBEAT_SHARE,
        broker_rebalance_timeout=REBALANCE_TIMEOUT_SECONDS,
        broker_max_poll_interval=MAX_POLL_INTERVAL_SECONDS,
        broker_max_poll_records=MAX_POLL_RECORDS,
        broker_commit_interval=COMMIT_INTERVAL_SECONDS,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=4 << 20,
        consumer_group_instance_id=settings.instance_id,
        stream_buffer_maxsize=BUFFERED_RECORDS,
        table_standby_replicas=0,  # a standby misses what Faust empties from the changelog's queue at each rebalance
        stream_wait_empty=False,  # workers.agents waits for its own batch, within bounds
        producer_acks=-1,
        producer_compression_type="gzip",
        producer_linger_ms=5,
        producer_request_timeout=PRODUCER_TIMEOUT_SECONDS,
        producer_max_request_size=MAX_REQUEST_BYTES,
        topic_allow_declare=False,
        topic_disable_leader=True,
        topic_partitions=topics.partitions(Topic.POSTS),
        web_enabled=False,
        web_tables_enabled=False,
        worker_redirect_stdouts=False,
    )
    consumer_class = type("LedgerConsumer", (LedgerConsumer,), {"ledger": ledger})
    app.transport.Consumer = consumer_class
    app.producer_transport.Producer = IdempotentProducer
    changelog = topics.changelog(settings.topic_prefix, settings.group)
    table = AuthorsTable(
        app,
        name="authors",
        key_type=bytes,
        value_type=bytes,
        partitions=topics.partitions(Topic.POSTS),
        options={
            "driver": "rocksdict",
            "block_cache_size": BLOCK_CACHE_BYTES,
            "write_buffer_size": WRITE_BUFFER_BYTES,
        },
        changelog_topic=app.topic(
            changelog,
            key_type=bytes,
            value_type=bytes,
            key_serializer="raw",
            value_serializer="raw",
            partitions=topics.partitions(Topic.POSTS),
            acks=False,
            internal=True,
            config={"cleanup.policy": "compact"},
        ),
    )
    app.tables.add(table)
    app.let_changelog_clear()
    return app, table


async def first_offset_from(bootstrap: str, topic: str, partition: int, offset: int) -> int | None:
    """The offset of the first record at or after `offset`; None where nothing comes within the time allowed."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, group_id=None, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        at = TopicPartition(topic, partition)
        consumer.assign([at])
        consumer.seek(at, offset)
        record = await asyncio.wait_for(consumer.getone(at), LOOK_SECONDS)
        found: int = record.offset
    except TimeoutError:
        return None
    else:
        return found
    finally:
        await consumer.stop()


def source_partitions(app: Any, topics: set[str]) -> set[tuple[str, int]]:
    """Source partitions this replica owns now."""
    return {(tp.topic, tp.partition) for tp in app.consumer.assignment() if tp.topic in topics}


def committed(app: Any, topic: str, partition: int) -> int | None:
    """The offset last committed (or sought to) for a partition, as Faust knows it."""
    found: int | None = app.consumer._committed_offset[TP(topic, partition)]
    return found
