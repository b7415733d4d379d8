"""Records of one batch → rows written and outputs owed: steps 2 to 4 of the loop in workers.agents.

Takes the classifier and the store by Protocol and knows neither Kafka nor torch. A record at fault becomes a dead
letter here; anything that cannot be pinned on one record ends the worker (GuaranteeAtRisk).
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Final, Protocol

from models.normalize import plain
from workers import clocks, reviews
from workers.codec import decode_post, decode_review
from workers.deadletter import dead_letter
from workers.decide import Context, Step, decide_post, remembered, source_name
from workers.errors import BadRecord, Fault, GuaranteeAtRisk
from workers.events import Post, Review, Source, Topic
from workers.judge import Scored
from workers.state import (
    MAX_CLOCK_ENTRIES,
    AuthorRow,
    Bucket,
    BucketIndex,
    Entry,
    Output,
    PostRow,
    Remembered,
    author_key,
    changed,
    dump,
    parse,
    post_key,
    review_key,
)

log = logging.getLogger(__name__)

CONTROL_TEXT: Final = "今日はいい天気ですね。"
CLASSIFY_DEADLINE_SECONDS: Final = 60.0  # for one sub-batch; a hang ends the process


class Prediction(Protocol):
    """What the classifier says of one text."""

    @property
    def scores(self) -> dict[str, float]: ...
    @property
    def spans(self) -> Sequence[tuple[int, int, str]]: ...


class Classifier(Protocol):
    """models.classifier.Classifier, or any other."""

    @property
    def version(self) -> str: ...
    def classify(self, texts: Sequence[str], thresholds: Mapping[str, float] | None = None) -> Sequence[Prediction]: ...


class Store(Protocol):
    """Rows of one partition; `put` queues the changelog record that `flush` (workers.agents) awaits."""

    def get(self, partition: int, key: str) -> bytes | None: ...
    def put(self, partition: int, key: str, value: bytes) -> None: ...
    def delete(self, partition: int, key: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Incoming:
    """One consumed record. `kind` is the logical topic, `topic` the physical one."""

    kind: Topic
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()

    @property
    def source(self) -> Source:
        """As outputs name it."""
        return Source(topic=self.topic, partition=self.partition, offset=self.offset)


@dataclass(frozen=True, slots=True)
class Decoded:
    """Step 2's result: a record, or why it is none."""

    incoming: Incoming
    record: Post | Review | BadRecord


class Pipeline:
    """Decode, classify, apply. `committed` tells the next offset to be committed of a source partition, or None."""

    def __init__(
        self,
        context: Context,
        classifier: Classifier,
        store: Store,
        executor: Executor,
        committed: Callable[[str, int], int | None],
    ) -> None:
        self.context = context
        self._classifier = classifier
        self._store = store
        self._executor = executor
        self._committed = committed

    # -- Step 2 ------------------------------------------------------------------------------------------------------

    def decode(self, incoming: Incoming) -> Decoded:
        """Bytes to a record, or to the reason for a dead letter."""
        try:
            if incoming.kind is Topic.POSTS:
                return Decoded(incoming, decode_post(incoming.key, incoming.value))
            return Decoded(incoming, decode_review(incoming.key, incoming.value))
        except BadRecord as error:
            return Decoded(incoming, error)

    # -- Step 3 ------------------------------------------------------------------------------------------------------

    async def classify(self, batch: Sequence[Decoded]) -> list[Scored | BadRecord | None]:
        """Aligned with `batch`; None where there is nothing to classify. Runs in the executor under a deadline."""
        texts = [d.record.text if isinstance(d.record, Post) and d.record.event != "deleted" else None for d in batch]
        wanted = [text for text in texts if text is not None]
        results = iter(await self._scored(wanted) if wanted else [])
        return [None if text is None else next(results) for text in texts]

    async def _scored(self, texts: list[str]) -> list[Scored | BadRecord]:
        try:
            return list(await self._in_executor(texts))
        except GuaranteeAtRisk:
            raise
        except Exception as error:  # noqa: BLE001 # whatever the model raises, find the text that makes it
            log.warning("classifying a batch failed", extra={"posts": len(texts), "error": type(error).__name__})
            if len(texts) > 1:
                middle = len(texts) // 2
                return [*await self._scored(texts[:middle]), *await self._scored(texts[middle:])]
            await self._prove_classifier(type(error).__name__)
            return [BadRecord(Fault.PROCESSING_FAILED, f"the classifier failed with {type(error).__name__}")]

    async def _prove_classifier(self, error: str) -> None:
        """One text failed. If a harmless text fails as well, the model is at fault and no record is."""
        try:
            await self._in_executor([CONTROL_TEXT])
        except Exception as again:  # noqa: BLE001 # any failure here condemns the model
            raise GuaranteeAtRisk(f"the classifier fails on every text ({error}, {type(again).__name__})") from None

    async def _in_executor(self, texts: list[str]) -> list[Scored]:
        loop = asyncio.get_running_loop()
        work: Awaitable[list[Scored]] = loop.run_in_executor(self._executor, self._score, texts)
        try:
            return await asyncio.wait_for(work, CLASSIFY_DEADLINE_SECONDS)
        except TimeoutError:
            raise GuaranteeAtRisk(f"the classifier took longer than {CLASSIFY_DEADLINE_SECONDS} s") from None

    def _score(self, texts: list[str]) -> list[Scored]:
        policy = self.context.policy
        predictions = self._classifier.classify(texts, policy.thresholds)
        scored = []
        for text, prediction in zip(texts, predictions, strict=True):
            if not all(math.isfinite(score) and 0.0 <= score <= 1.0 for score in prediction.scores.values()):
                raise ValueError("a score is not a probability")
            spans = [(int(start), int(end), str(label)) for start, end, label in prediction.spans]
            scored.append(Scored(prediction.scores, spans, policy.imminent(plain(text).text)))
        return scored

    # -- Step 4 ------------------------------------------------------------------------------------------------------

    def apply(self, decoded: Decoded, scored: Scored | BadRecord | None) -> list[Output]:
        """Decide one record on the loop, in offset order; writes the rows, returns the outputs owed."""
        incoming = decoded.incoming
        try:
            if isinstance(decoded.record, BadRecord):
                raise decoded.record
            if isinstance(scored, BadRecord):
                raise scored
            return self._apply(incoming, decoded.record, scored)
        except BadRecord as error:
            log.info(
                "dead letter",
                extra={
                    "topic": incoming.topic,
                    "partition": incoming.partition,
                    "offset": incoming.offset,
                    "fault": error.fault.value,
                },
            )
            return [] if self.context.shadow else [self._dead(incoming, error)]

    @staticmethod
    def _dead(incoming: Incoming, error: BadRecord) -> Output:
        return dead_letter(
            incoming.topic,
            incoming.partition,
            incoming.offset,
            incoming.timestamp_ms,
            incoming.key,
            incoming.value,
            incoming.headers,
            error,
        )

    def _apply(self, incoming: Incoming, record: Post | Review, scored: Scored | None) -> list[Output]:
        partition = incoming.partition
        author = self._row(AuthorRow, partition, author_key(record.author_id)) or AuthorRow()
        stored = self._replayed(author, incoming)
        if stored is not None:  # applied before: write the same rows again, the changelog may lack them
            self._write(partition, record.author_id, author, stored)
            return stored.outputs
        row = self._row(PostRow, partition, post_key(record.author_id, record.post_id))
        if isinstance(record, Post):
            known = remembered(row, record)
            if known is not None:
                return known
            step = self._guarded(decide_post, author, row, record, incoming, scored)
        else:
            seen = self._row(Remembered, partition, review_key(record.author_id, record.review_id))
            known = reviews.remembered(seen, record)
            if known is not None:
                return known
            step = self._guarded(reviews.decide_review, author, row, record, incoming)
        self._commit(partition, record.author_id, step)
        return step.entry.outputs

    def _guarded(
        self,
        decide: Callable[..., Step],
        author: AuthorRow,
        row: PostRow | None,
        record: Any,
        incoming: Incoming,
        *more: Any,
    ) -> Step:
        """A pure decision that fails on one record touches nothing: that record becomes a dead letter."""
        try:
            return decide(self.context, author, row, record, incoming.source, incoming.timestamp_ms, *more)
        except (BadRecord, GuaranteeAtRisk):
            raise
        except Exception as error:
            log.exception("deciding failed", extra={"topic": incoming.topic, "offset": incoming.offset})
            raise BadRecord(Fault.PROCESSING_FAILED, f"deciding failed with {type(error).__name__}") from None

    def _replayed(self, author: AuthorRow, incoming: Incoming) -> Entry | None:
        name = source_name(incoming.topic, incoming.partition, incoming.offset)
        return next((entry for entry in author.journal if entry.source == name), None)

    def _commit(self, partition: int, author_id: str, step: Step) -> None:
        journal = [entry for entry in step.author.journal if self._still_owed(entry)]
        fired = [entry for entry in journal if entry.source.startswith("clock/")]
        journal = [entry for entry in journal if entry not in fired[:-MAX_CLOCK_ENTRIES]]
        author = changed(step.author, journal=[*journal, step.entry])
        self._write(partition, author_id, author, step.entry)

    def _still_owed(self, entry: Entry) -> bool:
        topic, _, rest = entry.source.partition("/")
        if topic == "clock":
            return True
        partition, _, offset = rest.partition("/")
        committed = self._committed(topic, int(partition))
        return committed is None or int(offset) >= committed

    def _write(self, partition: int, author_id: str, author: AuthorRow, entry: Entry) -> None:
        """The author's row first: its journal can repeat whatever a crash cuts off behind it."""
        self._store.put(partition, author_key(author_id), dump(author))
        for key, value in entry.rows.items():
            self._store.put(partition, key, self._newer(partition, key, value))
        for post_id, clock in entry.clocks_set:
            key = clocks.bucket_key(clocks.bucket_of(clock))
            bucket = self._row(Bucket, partition, key)
            self._store.put(partition, key, dump(clocks.added(bucket, author_id, post_id, clock)))
            index = self._row(BucketIndex, partition, clocks.INDEX_KEY)
            wanted = clocks.with_number(index, clocks.bucket_of(clock))
            if wanted != index:
                self._store.put(partition, clocks.INDEX_KEY, dump(wanted))
        for clock in entry.clocks_cleared:
            self._drop_clock(partition, clocks.bucket_of(clock), clock.action_id)

    def _newer(self, partition: int, key: str, value: bytes) -> bytes:
        """A replayed entry may hold a post as it stood before a review that is already applied."""
        if not key.startswith("p"):
            return value
        stored, mine = self._row(PostRow, partition, key), parse(PostRow, value)
        return dump(stored) if stored and mine and stored.version > mine.version else value

    def _drop_clock(self, partition: int, number: int, action_id: str) -> None:
        key = clocks.bucket_key(number)
        bucket = self._row(Bucket, partition, key)
        if bucket is None:
            return
        left = clocks.removed(bucket, action_id)
        if left.clocks:
            self._store.put(partition, key, dump(left))
            return
        self._store.delete(partition, key)
        index = self._row(BucketIndex, partition, clocks.INDEX_KEY)
        if index is not None:
            self._store.put(partition, clocks.INDEX_KEY, dump(clocks.without_number(index, number)))

    def _row(self, kind: type[Any], partition: int, key: str) -> Any:
        return parse(kind, self._store.get(partition, key))

    # -- clocks ------------------------------------------------------------------------------------------------------

    def due(self, partition: int, now_ms: int) -> list[tuple[str, str, Any]]:
        """Clocks of a partition that ran out by `now_ms`, earliest first."""
        index = self._row(BucketIndex, partition, clocks.INDEX_KEY)
        found = []
        for number in index.numbers if index else ():
            if number * clocks.BUCKET_MS > now_ms:
                break
            bucket = self._row(Bucket, partition, clocks.bucket_key(number))
            found += [entry for entry in (bucket.clocks if bucket else ()) if entry[2].due_ms <= now_ms]
        return sorted(found, key=lambda entry: (entry[2].due_ms, entry[2].action_id))

    def fire(self, partition: int, author_id: str, post_id: str, clock: Any) -> list[Output]:
        """What a clock that ran out owes. Its bucket keeps it until `settle`, so a kill before sending repeats it."""
        author = self._row(AuthorRow, partition, author_key(author_id)) or AuthorRow()
        for entry in author.journal:
            if entry.source == clocks.source_name(clock):
                return list(entry.outputs)
        row = self._row(PostRow, partition, post_key(author_id, post_id))
        step = clocks.fire(self.context, author, row, author_id, post_id, clock)
        if step is None:
            return []
        self._commit(partition, author_id, step)
        return step.entry.outputs

    def settle(self, partition: int, clock: Any) -> None:
        """The clock's outputs were acknowledged."""
        self._drop_clock(partition, clocks.bucket_of(clock), clock.action_id)
