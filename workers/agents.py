"""The one agent: the loop that keeps the contract's guarantees, over `posts` and `staff-reviews` together.

    Step 1  take up to N records or T seconds, raw bytes, nothing acknowledged; no offset may be missing
    Step 2  decode → record or dead letter
    Step 3  classify in a one-thread executor; the next sub-batch is classified while this one is decided
    Step 4  decide in offset order, write the step's entry (what it changes and owes), then the rows that it changes
    Step 5  await the changelog's acknowledgement, then send every output and await theirs
    Step 6  mark the offsets finished: only now may a commit cover them

A kill between any two steps leaves at most work that is repeated to the same bytes. What cannot be finished ends the
process (GuaranteeAtRisk), and the next owner starts from the commit. One agent, because two would race on an author's
row; concurrency 1, because Faust commits past unfinished records otherwise.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from workers.admin import Health
from workers.app import first_offset_from, first_unfinished, holds_no_record, source_partitions
from workers.deadletter import attempts
from workers.errors import GuaranteeAtRisk
from workers.events import Topic
from workers.ledger import Ledger
from workers.pipeline import Decoded, Incoming, Pipeline
from workers.policy import Policy
from workers.security import PLAINTEXT, Security
from workers.state import Output
from workers.table import TableStore
from workers.telemetry import Metrics

log = logging.getLogger(__name__)

TAKE_RECORDS: Final = 256
TAKE_SECONDS: Final = 0.05
SUB_BATCH: Final = 64
# A text of 20,000 characters, the longest there is, took 6 to 17 s of one core. A sub-batch of them has to keep the
# classifier's deadline (60 s), and a batch what a rebalance waits for it (90 s), also where the core is shared.
SUB_BATCH_CHARACTERS: Final = 20_000
BATCH_CHARACTERS: Final = 40_000
TICK_SECONDS: Final = 1.0
SEEK_POLL_SECONDS: Final = 0.02
DRAIN_SECONDS: Final = 90.0  # one worst batch: the classifier's deadline and the sends
BATCH_DEADLINE_SECONDS: Final = 180.0
CLOCK_GRACE_MS: Final = 2_000  # after due_at, so that records stamped before it have reached the log


class Loop:
    """The agent's body and what runs beside it. All on one event loop; `_busy` keeps batches and clocks apart."""

    def __init__(
        self,
        app: Any,
        store: TableStore,
        pipeline: Pipeline,
        ledger: Ledger,
        kinds: dict[str, Topic],
        physical: dict[Topic, str],
        health: Health,
        metrics: Metrics,
        fail: Callable[[BaseException], None],
        bootstrap: str,
        security: Security = PLAINTEXT,
    ) -> None:
        self.app, self.store, self.pipeline, self.ledger = app, store, pipeline, ledger
        self.kinds, self.health, self.metrics, self._fail = kinds, health, metrics, fail
        self._source_topics = set(kinds)
        self._bootstrap, self._security = bootstrap, security
        self._outputs = {
            topic: app.topic(name, key_serializer="raw", value_serializer="raw", acks=False)
            for topic, name in physical.items()
        }
        self._busy = asyncio.Lock()
        self._fenced_generation = -1
        # (next, end) of the log at the last tick, and whether it is known to hold no record
        self._gaps: dict[tuple[str, int], tuple[tuple[int, int], bool]] = {}

    # -- the agent -------------------------------------------------------------------------------------------------

    async def run(self, stream: Any) -> None:
        """Body of the Faust agent; no exception leaves it but cancellation."""
        async for events in stream.noack_take(TAKE_RECORDS, within=TAKE_SECONDS):
            try:
                left = list(events)
                await self._sought()
                while left:
                    async with self._busy:  # let go in between: a rebalance must not wait for all of many long posts
                        left = left[await self._batch(left) :]
            except asyncio.CancelledError:
                raise
            except BaseException as error:  # noqa: BLE001 # an exception here would make Faust acknowledge the batch
                self._fail(error)
                await asyncio.Event().wait()  # nothing may go on; the process is ending

    async def _sought(self) -> None:
        """Until this generation's partitions are sought: Faust lets them be fetched before.

        Only then it is known which offset comes first, and `_nothing_skipped` can tell. Nothing that came is dropped
        here: Faust may take it for read and not give it again.
        """
        while self.app.consumer.sought_generation != self.app.consumer_generation_id:  # noqa: ASYNC110 # Faust's thread
            await asyncio.sleep(SEEK_POLL_SECONDS)

    async def _batch(self, events: Sequence[Any]) -> int:
        """As many of `events` as one batch may hold, from the front; how many that were."""
        started = time.monotonic()
        self.health.batch_deadline = started + BATCH_DEADLINE_SECONDS
        decoded, count = self._portion(events)  # Steps 1 and 2
        batch = [one.incoming for one in decoded]
        await self._nothing_skipped(batch)
        outputs: list[Output] = []
        parts = list(cut(decoded, SUB_BATCH, SUB_BATCH_CHARACTERS))
        ahead = self._classify(parts[0]) if parts else None
        for i, part in enumerate(parts):
            assert ahead is not None
            scored = await ahead  # Step 3
            ahead = self._classify(parts[i + 1]) if i + 1 < len(parts) else None
            for one, result in zip(part, scored, strict=True):
                outputs += self.pipeline.apply(one, result)  # Step 4
        if batch:
            self.pipeline.note(await self._told(batch[0].partition))
        await self._deliver(outputs)  # Step 5
        for record in batch:  # Step 6
            self.ledger.finish(record.topic, record.partition, record.offset)
            self.metrics.records.labels(record.kind.value).inc()
        for event in events[:count]:
            event.ack()
        self.health.batch_deadline = None
        self.metrics.batch_records.observe(len(batch))
        self.metrics.batch_seconds.observe(time.monotonic() - started)
        return count

    def _portion(self, events: Sequence[Any]) -> tuple[list[Decoded], int]:
        """What one batch holds of `events`, decoded, and how many events that is; what is not ours is passed over."""
        decoded: list[Decoded] = []
        characters = 0
        for count, event in enumerate(events):
            if not self._owned(event.message) or self._finished(event.message):
                continue
            one = self.pipeline.decode(self._incoming(event.message))
            characters += one.characters
            if decoded and characters > BATCH_CHARACTERS:
                return decoded, count
            decoded.append(one)
        return decoded, len(events)

    def _owned(self, message: Any) -> bool:
        """A record taken before a rebalance is read again by its owner, from the last commit."""
        current = self.app.consumer_generation_id
        return bool(message.generation_id == current and current != self._fenced_generation)

    def _finished(self, message: Any) -> bool:
        """A record that was fetched before the seek lies below the commit: to decide it again would send it again."""
        return bool(message.offset < self._position(message.topic, message.partition))

    async def _nothing_skipped(self, batch: Sequence[Incoming]) -> None:
        """Offsets follow each other. Where one is missing the log itself is asked: a transaction's marker is none of
        ours, but a record that never came here would be covered by the next commit."""
        expected: dict[tuple[str, int], int] = {}
        for record in batch:
            at = (record.topic, record.partition)
            if at not in expected:
                expected[at] = self._position(*at)
            if record.offset > expected[at]:
                first = await first_offset_from(self._bootstrap, *at, expected[at], self._security)
                if first is not None and first < record.offset:
                    raise GuaranteeAtRisk(
                        f"{record.topic}/{record.partition}: offset {first} was skipped before {record.offset}"
                    )
                log.info("a gap in the log", extra={"topic": at[0], "partition": at[1], "offset": record.offset})
            expected[at] = record.offset + 1

    def _position(self, topic: str, partition: int) -> int:
        """The offset that has to come next."""
        position = self.ledger.next(topic, partition)
        return first_unfinished(self.app, topic, partition) if position is None else position

    def _incoming(self, message: Any) -> Incoming:
        headers = message.headers.items() if isinstance(message.headers, dict) else message.headers or ()
        return Incoming(
            kind=self.kinds[message.topic],
            topic=message.topic,
            partition=message.partition,
            offset=message.offset,
            timestamp_ms=round(message.timestamp * 1000),
            key=message.key,
            value=message.value,
            headers=tuple(headers),
        )

    def _classify(self, part: Sequence[Decoded]) -> Awaitable[list[Any]]:
        async def timed() -> list[Any]:
            started = time.monotonic()
            result = await self.pipeline.classify(part)
            self.metrics.classify_seconds.observe(time.monotonic() - started)
            return list(result)

        return asyncio.ensure_future(timed())

    async def _deliver(self, outputs: Sequence[Output]) -> None:
        await self.store.flush()
        pending = [
            await self._outputs[output.topic].send(
                key=output.key, value=output.value, timestamp=self._now_seconds(), headers=self._headers(output)
            )
            for output in outputs
        ]
        for output, sent in zip(outputs, pending, strict=True):
            try:
                await sent
            except Exception as error:  # noqa: BLE001 # whatever the client raises, the record is not there
                raise GuaranteeAtRisk(f"{output.topic} took no record: {type(error).__name__}") from None
            self.metrics.outputs.labels(output.topic.value).inc()
            for label, counter in self._counters(output):
                counter.labels(label).inc()

    # -- around it -------------------------------------------------------------------------------------------------

    async def quiet(self) -> None:
        """Wait, within bounds, until no batch is in flight; then commit what is finished."""
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                async with self._busy:
                    await self.app.consumer.commit()
        except TimeoutError:
            self._fail(GuaranteeAtRisk(f"a batch did not finish within {DRAIN_SECONDS} s of a rebalance or shutdown"))
            raise

    async def adopt(self, policy: Policy) -> None:
        """Decide by another policy from the next batch on: what a batch's scores were made under also decides it."""
        async with self._busy:
            self.pipeline.context = replace(self.pipeline.context, policy=policy)

    async def on_revoked(self, revoked: Any) -> None:
        """Nothing of a partition may be written once another replica owns it."""
        self.health.recovered = False
        if revoked:
            self._fenced_generation = self.app.consumer_generation_id
        await self.quiet()
        self.ledger.forget({(tp.topic, tp.partition) for tp in revoked})

    async def on_rebalanced(self) -> None:
        """The assignment stands and the table has caught up with its changelog."""
        owned = source_partitions(self.app, self._source_topics)
        self.ledger.keep(owned)
        self.health.assigned = self.health.recovered = True
        self.metrics.partitions.set(len(owned))
        log.info("rebalanced", extra={"partitions": len(owned)})

    async def tick(self) -> None:
        """Every second: beat, lag, and the clocks of partitions that are caught up."""
        self.health.beat = time.monotonic()
        if self.health.draining or not self.health.recovered or self.app.rebalancing or self._busy.locked():
            return
        owned = source_partitions(self.app, self._source_topics)
        if not owned:
            return
        async with self._busy:
            if self.app.rebalancing or self.health.draining:
                return
            # Before the ends: whatever is stamped earlier and comes in time lies before them.
            now_ms = await self._told(min(owned)[1]) - CLOCK_GRACE_MS
        ends = await self.app.consumer.highwaters(*[_tp(self.app, t, p) for t, p in owned])
        caught_up: dict[int, bool] = {}
        for tp, end in ends.items():
            position = self._position(tp.topic, tp.partition)
            behind = max(0, (end or 0) - position)
            if behind and await self._only_markers((tp.topic, tp.partition), position, end):
                behind = 0
            self.metrics.lag.labels(tp.topic, str(tp.partition)).set(behind)
            caught_up[tp.partition] = caught_up.get(tp.partition, True) and behind == 0
        async with self._busy:
            if self.app.rebalancing or self.health.draining:
                return
            for partition in (p for p, done in caught_up.items() if done):
                await self._run_out(partition, now_ms)
                self.pipeline.note(now_ms)
                if self.pipeline.forget(partition, now_ms):
                    await self.store.flush()

    async def _told(self, partition: int) -> int:
        """The time by the brokers' clock, in ms: a host's own, ahead, would cut an author's time short.

        Where nothing was written lately, a row of `partition` is written again as it stands, to be told.
        """
        if not self.store.clock.fresh:
            self.pipeline.touch(partition)
            await self.store.flush()
        return self.store.clock.now_ms()

    async def _only_markers(self, at: tuple[str, int], position: int, end: int) -> bool:
        """A transaction ends in a marker, which nobody delivers: the log's end is then never reached by records.

        The log itself is asked, once for each end that has stood for a tick.
        """
        gap = (position, end)
        seen, empty = self._gaps.get(at, (None, False))
        if seen == gap and not empty:
            empty = await holds_no_record(self._bootstrap, *at, *gap, self._security)
        self._gaps[at] = gap, seen == gap and empty
        return self._gaps[at][1]

    async def _run_out(self, partition: int, now_ms: int) -> None:
        for author_id, post_id, clock in self.pipeline.due(partition, now_ms):
            await self._deliver(self.pipeline.fire(partition, author_id, post_id, clock))
            self.pipeline.settle(partition, clock)
            await self.store.flush()
            self.metrics.clocks_fired.inc()

    async def ticking(self) -> None:
        """Run `tick` for ever; an error in it is as grave as one in a batch."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            try:
                await self.tick()
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 # reported, never swallowed
                self._fail(error)

    def _now_seconds(self) -> float:
        return self.store.clock.now_ms() / 1000

    def _headers(self, output: Output) -> list[tuple[str, bytes]]:
        if output.topic is not Topic.DEAD_LETTERS:
            return []
        tried = str(attempts(output.value)).encode()
        return [("failed_at", str(self.store.clock.now_ms()).encode()), ("attempts", tried)]

    def _counters(self, output: Output) -> list[tuple[str, Any]]:
        # The records are ours and canonical: these substrings stand in them exactly once.
        if output.topic is Topic.ACTIONS:
            return [(_between(output.value, b'"action":"', b'"'), self.metrics.actions)]
        if output.topic is Topic.DEAD_LETTERS:
            return [(_between(output.value, b'"error":{"type":"', b'"'), self.metrics.dead_letters)]
        return []


def cut(decoded: Sequence[Decoded], records: int, characters: int) -> Iterator[list[Decoded]]:
    """In order, each part with so many records and characters of text at most; a text that is longer stands alone."""
    part: list[Decoded] = []
    length = 0
    for one in decoded:
        if part and (len(part) == records or length + one.characters > characters):
            yield part
            part, length = [], 0
        part.append(one)
        length += one.characters
    if part:
        yield part


def _between(value: bytes, left: bytes, right: bytes) -> str:
    return value.split(left, 1)[1].split(right, 1)[0].decode()


def _tp(app: Any, topic: str, partition: int) -> Any:
    return app.consumer._new_topicpartition(topic, partition)
