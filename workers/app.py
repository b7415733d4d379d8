"""The Faust app: settings, the authors' table, and the six places where Faust is held to this project's guarantees.

    1  commits take their offsets from workers.ledger (`LedgerConsumer`)
    2  the producer is idempotent and waits for all in-sync replicas (`IdempotentProducer`)
    3  a table write gives its changelog record's future, so it can be awaited (`table.AuthorsTable`)
    4  table access outside a stream iteration names its partition (`table.TableStore`)
    5  records that arrive while a recovery ends are not thrown away (`ModerationApp`)
    6  a replica that may have an heir writes nothing more (`Membership`)

tests/unit/test_faust_private.py holds every private name used here against the pinned version. The agent itself is
workers.agents.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final

import faust
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.protocol.produce import ProduceRequest
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode import CrashingSupervisor

from workers.events import Topic
from workers.ledger import Ledger
from workers.security import PLAINTEXT, Security
from workers.security import of as security_of
from workers.settings import Settings
from workers.table import AuthorsTable
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
PROOF_SHARE: Final = 2 / 3  # of a session: what is sent on a proof has the rest of it to arrive
PROOF_POLL_SECONDS: Final = 0.05
BUFFERED_RECORDS: Final = 1_024  # per partition stream: four batches
LOOK_SECONDS: Final = 10.0
ISOLATION: Final = "read_committed"
BLOCK_CACHE_BYTES: Final = 32 << 20  # RocksDB's, per partition; Faust's default is 2 GiB
WRITE_BUFFER_BYTES: Final = 16 << 20


class Membership:
    """Whether this replica is surely a member of its group: the coordinator said so less than a session ago.

    One that was stopped or cut off for longer than its session has lost its partitions without knowing it. What it has
    under way would go to the changelog after its heir's rows and undo them, and to the outputs with other bytes under
    ids that the heir has used. So nothing is sent while this does not hold: it waits until membership is proven again,
    and fails where it is lost.
    """

    def __init__(self, session_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = session_seconds * PROOF_SHARE, clock
        self._asked_at = -math.inf
        self._lost = False

    @property
    def holds(self) -> bool:
        """Proven by the answer to a question that was asked lately enough."""
        return not self._lost and self._clock() < self._asked_at + self._seconds

    def watch(self, coordinator: Any) -> None:
        """Learn from aiokafka's heartbeats, joins and resets; they happen in the consumer's thread."""
        beat, joined, reset = coordinator._do_heartbeat, coordinator._on_join_complete, coordinator.reset_generation

        async def heartbeat() -> bool:
            asked_at = self._clock()
            known: bool = await beat()
            if known:
                self._asked_at = asked_at
            return known

        async def join_complete(*args: Any) -> None:
            self._lost = False
            await heartbeat()
            await joined(*args)

        def reset_generation() -> None:
            self._lost = True
            reset()

        coordinator._do_heartbeat, coordinator._on_join_complete = heartbeat, join_complete
        coordinator.reset_generation = reset_generation

    def guard(self, client: Any) -> None:
        """Of a producer's client, the last place before the socket: retries pass here too."""
        send = client.send

        async def guarded(node_id: int, request: Any, **more: Any) -> Any:
            while isinstance(request, ProduceRequest) and not self.holds:
                if self._lost:
                    raise KafkaError("no member of the group any more")  # not retriable: the batch fails
                await asyncio.sleep(PROOF_POLL_SECONDS)
            return await send(node_id, request, **more)

        client.send = guarded


class WatchedConsumerThread(driver.AIOKafkaConsumerThread):
    """Its coordinator tells of the membership; the group is joined later, with the subscription.

    It reads what is committed: a post that its platform took back within a transaction was never posted.
    """

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = ISOLATION
        return consumer

    async def on_start(self) -> None:
        await super().on_start()
        self.consumer.app.membership.watch(self._consumer._coordinator)


class LedgerConsumer(driver.Consumer):
    """Commits cover finished records and nothing else."""

    ledger: Ledger

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.starts: dict[Any, int] = {}  # source partition that was never committed → where its log begins
        self.sought_generation = -1  # the generation in which it is known where each source partition is read from

    def _new_consumer_thread(self) -> WatchedConsumerThread:
        return WatchedConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def perform_seek(self) -> None:
        """Also seek what was never committed: aiokafka leaves it where it is, and what Faust fetched of it during the
        recovery and dropped would not come again."""
        generation = self.app.consumer_generation_id
        await super().perform_seek()
        sources = [tp for tp in self.assignment() if tp.topic in self.app.topics.acking_topics]
        never = [tp for tp in sources if self._committed_offset.get(tp) is None]
        self.starts = {}
        if never:
            self.starts = await self.earliest_offsets(*never)
            await self.seek_wait(self.starts)
        self.sought_generation = generation

    def _new_offset(self, tp: Any) -> int | None:
        self._acked[tp].clear()
        self._acked_index[tp].clear()
        return self.ledger.next(tp.topic, tp.partition)

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[Any]:
        return iter([tp for tp in self.assignment() if tp.topic in self.app.topics.acking_topics])


class IdempotentProducer(driver.Producer):
    """A retry inside the client writes no second copy, and none is made without membership."""

    def _new_producer(self, transactional_id: str | None = None) -> Any:
        producer = super()._new_producer(transactional_id)
        self.app.membership.guard(producer.client)
        return producer

    def _settings_extra(self) -> dict[str, Any]:
        return {"acks": "all", "enable_idempotence": True}


class ModerationApp(faust.App):
    """Queues of records are not emptied when the flow resumes.

    After a recovery Faust lets the source partitions be fetched, then seeks, then resumes the flow, which empties every
    queue: what came in between is lost, and a later commit covers it (seen with kill -9 on a loaded machine). Records
    from before a rebalance need no emptying: workers.agents and Faust itself drop them by their generation.
    """

    membership: Membership

    def FlowControlQueue(self, maxsize: int | None = None, *, clear_on_resume: bool = False) -> Any:
        return super().FlowControlQueue(maxsize, clear_on_resume=False)

    def let_changelog_clear(self) -> None:
        """The changelog's own queue keeps Faust's behaviour: it is filled only while the flow is on."""
        size = self.conf.stream_buffer_maxsize
        self.tables._changelog_queue = super().FlowControlQueue(size, clear_on_resume=True)


def credentials(security: Security) -> faust.SASLCredentials | faust.SSLCredentials | None:
    """What Faust gives to its consumer and to its producer alike. None: PLAINTEXT.

    Whether TLS is used follows from the context alone: Faust has no setting for the protocol.
    """
    context = security.ssl_context()
    if security.sasl:
        return faust.SASLCredentials(
            username=security.username,
            password=security.password,
            mechanism=security.mechanism,
            ssl_context=context,
        )
    return None if context is None else faust.SSLCredentials(context)


def build(settings: Settings, topics: TopicsFile, ledger: Ledger) -> tuple[Any, AuthorsTable]:
    """The app and its table; topics must exist (`mimamori topics apply`), nothing is declared from here."""
    brokers = [f"aiokafka://{server}" for server in settings.bootstrap_servers.split(",")]
    app = ModerationApp(
        settings.group,
        broker=brokers,
        broker_credentials=credentials(security_of(settings)),
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
    app.membership = Membership(settings.session_timeout_seconds)
    consumer_class = type("LedgerConsumer", (LedgerConsumer,), {"ledger": ledger})
    app.transport.Consumer = consumer_class
    app.transport.Producer = IdempotentProducer  # producer_transport, for all its name, makes none
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


@asynccontextmanager
async def _reader(
    bootstrap: str, topic: str, partition: int, offset: int, security: Security
) -> AsyncIterator[tuple[AIOKafkaConsumer, TopicPartition]]:
    """A consumer of its own, outside the group, that reads one partition from `offset`."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level=ISOLATION,
        **security.aiokafka(),
    )
    await consumer.start()
    try:
        at = TopicPartition(topic, partition)
        consumer.assign([at])
        consumer.seek(at, offset)
        yield consumer, at
    finally:
        await consumer.stop()


async def first_offset_from(
    bootstrap: str, topic: str, partition: int, offset: int, security: Security = PLAINTEXT
) -> int | None:
    """The offset of the first record at or after `offset`; None where nothing comes within the time allowed."""
    async with _reader(bootstrap, topic, partition, offset, security) as (consumer, at):
        try:
            record = await asyncio.wait_for(consumer.getone(at), LOOK_SECONDS)
        except TimeoutError:
            return None
        found: int = record.offset
        return found


async def holds_no_record(
    bootstrap: str, topic: str, partition: int, start: int, end: int, security: Security = PLAINTEXT
) -> bool:
    """Whether [start, end) of the log holds only what transactions leave behind: markers, and what they took back.

    False as well where that cannot be seen within the time allowed.
    """
    async with _reader(bootstrap, topic, partition, start, security) as (consumer, at):
        last = time.monotonic() + LOOK_SECONDS
        while time.monotonic() < last:
            if (await consumer.getmany(at, timeout_ms=500)).get(at):
                return False
            if await consumer.position(at) >= end:
                return True
    return False


def source_partitions(app: Any, topics: set[str]) -> set[tuple[str, int]]:
    """Source partitions this replica owns now."""
    return {(tp.topic, tp.partition) for tp in app.consumer.assignment() if tp.topic in topics}


def first_unfinished(app: Any, topic: str, partition: int) -> int:
    """Where a partition is read from while nothing of it is finished: its last commit, else where its log begins."""
    tp = TP(topic, partition)
    found: int = app.consumer._committed_offset[tp] or app.consumer.starts.get(tp) or 0
    return found
