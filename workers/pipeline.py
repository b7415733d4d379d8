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

from models.labels import DISTRESS
from models.normalize import plain
from workers import clocks, forget, reviews
from workers.codec import DECODE_OF, check_stamp
from workers.deadletter import dead_letter
from workers.decide import Context, decide_post, source_name
from workers.decide import content_of as post_content
from workers.errors import BadRecord, Fault, GuaranteeAtRisk
from workers.events import Post, Review, Source, Topic
from workers.judge import Scored
from workers.state import (
    AuthorRow,
    Bucket,
    BucketIndex,
    Clock,
    Dead,
    Entry,
    Output,
    PostRow,
    apply_effect,
    apply_post,
    author_key,
    clock_key,
    dead_key,
    dump,
    parse,
    post_key,
    review_key,
    revision_key,
    with_moved,
)

log = logging.getLogger(__name__)

CONTROL_TEXT: Final = "今日はいい天気ですね。"
CLASSIFY_DEADLINE_SECONDS: Final = 60.0  # for one sub-batch; a hang ends the process
_AT_STAKE: Final = frozenset((DISTRESS, "suicide_inducement"))  # signs that it may be now count beside these alone

_MAY_CHANGE: Final = (Fault.UNKNOWN_SUBJECT, Fault.PROCESSING_FAILED, Fault.REVISION_CONFLICT)


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


class _NoScores(Exception):
    """What the classifier raised instead of scores, by its type alone: its message may quote the text."""


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

    @property
    def text(self) -> str | None:
        """What there is to classify."""
        return self.record.text if isinstance(self.record, Post) and self.record.event != "deleted" else None

    @property
    def characters(self) -> int:
        """Its length."""
        return len(self.text or "")


class Pipeline:
    """Decode, classify, apply."""

    def __init__(
        self,
        context: Context,
        classifier: Classifier,
        store: forget.Rows,
        executor: Executor,
    ) -> None:
        self.context = context
        self._classifier = classifier
        self._store = store
        self._executor = executor
        self._noted: dict[int, list[tuple[str, str]]] = {}

    # -- Step 2 ------------------------------------------------------------------------------------------------------

    def decode(self, incoming: Incoming) -> Decoded:
        """Bytes to a record, or to the reason for a dead letter."""
        try:
            check_stamp(incoming.timestamp_ms)
            return Decoded(incoming, DECODE_OF[incoming.kind](incoming.key, incoming.value))
        except BadRecord as error:
            return Decoded(incoming, error)

    # -- Step 3 ------------------------------------------------------------------------------------------------------

    async def classify(self, batch: Sequence[Decoded]) -> list[Scored | BadRecord | None]:
        """Aligned with `batch`; None where there is nothing to classify. Runs in the executor under a deadline."""
        texts = [decoded.text for decoded in batch]
        wanted = [text for text in texts if text is not None]
        results = iter(await self._scored(wanted) if wanted else [])
        return [None if text is None else next(results) for text in texts]

    async def _scored(self, texts: list[str]) -> list[Scored | BadRecord]:
        try:
            return list(await self._in_executor(texts))
        except _NoScores as error:  # whatever the model raised, find the text that makes it
            log.warning("classifying a batch failed", extra={"posts": len(texts), "error": str(error)})
            if len(texts) > 1:
                middle = len(texts) // 2
                return [*await self._scored(texts[:middle]), *await self._scored(texts[middle:])]
            await self._prove_classifier(str(error))
            return [BadRecord(Fault.PROCESSING_FAILED, f"the classifier failed with {error}")]

    async def _prove_classifier(self, error: str) -> None:
        """One text failed. If a harmless text fails as well, the model is at fault and no record is."""
        try:
            await self._in_executor([CONTROL_TEXT])
        except _NoScores as again:
            raise GuaranteeAtRisk(f"the classifier fails on every text ({error}, {again})") from None

    async def _in_executor(self, texts: list[str]) -> list[Scored]:
        loop = asyncio.get_running_loop()
        work: Awaitable[list[Scored]] = loop.run_in_executor(self._executor, self._score, texts)
        try:
            return await asyncio.wait_for(work, CLASSIFY_DEADLINE_SECONDS)
        except TimeoutError:
            raise GuaranteeAtRisk(f"the classifier took longer than {CLASSIFY_DEADLINE_SECONDS} s") from None

    def _score(self, texts: list[str]) -> list[Scored]:
        try:
            return self._predicted(texts)
        except Exception as error:  # noqa: BLE001 # StopIteration, TimeoutError and the like mean other things to a future
            raise _NoScores(type(error).__name__) from None

    def _predicted(self, texts: list[str]) -> list[Scored]:
        policy = self.context.policy
        predictions = self._classifier.classify(texts, policy.thresholds)
        scored = []
        for text, prediction in zip(texts, predictions, strict=True):
            if not policy.thresholds.keys() <= prediction.scores.keys():
                raise ValueError("a label has no score")
            if not all(math.isfinite(score) and 0.0 <= score <= 1.0 for score in prediction.scores.values()):
                raise ValueError("a score is not a probability")
            spans = [(int(start), int(end), str(label)) for start, end, label in prediction.spans]
            at_stake = not _AT_STAKE.isdisjoint(policy.flagged(prediction.scores))
            scored.append(Scored(prediction.scores, spans, at_stake and policy.imminent(plain(text).text)))
        return scored

    # -- Step 4 ------------------------------------------------------------------------------------------------------

    def apply(self, decoded: Decoded, scored: Scored | BadRecord | None) -> list[Output]:
        """Decide one record on the loop, in offset order; writes the rows, returns the outputs owed."""
        incoming = decoded.incoming
        key = dead_key(source_name(incoming.source))
        dead = self._row(Dead, incoming.partition, key)
        try:
            if dead is not None:
                return self._bury(incoming, key, dead)
            if isinstance(decoded.record, BadRecord):
                raise decoded.record
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
            if self.context.shadow:
                return []
            return self._bury(incoming, key, Dead(output=self._dead(incoming, error)))

    def _bury(self, incoming: Incoming, key: str, dead: Dead) -> list[Output]:
        """Remember that the record is dead where a redelivery might find it alive.

        What a decoder refuses it refuses again; what failed or named something unknown may not.
        """
        fault = dead.output.value
        if not any(f'"type":"{kind.value}"'.encode() in fault for kind in _MAY_CHANGE):
            return [dead.output]
        self._store.put(incoming.partition, key, dump(dead))
        self._noted.setdefault(incoming.partition, []).append((key, ""))
        return [dead.output]

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

    def _apply(self, incoming: Incoming, record: Post | Review, scored: Scored | BadRecord | None) -> list[Output]:
        partition, author_id = incoming.partition, record.author_id
        author = self._row(AuthorRow, partition, author_key(author_id)) or AuthorRow()
        key, content = _identity(record)
        entry = self._row(Entry, partition, key)
        if entry is not None:
            if entry.content != content:
                raise BadRecord(Fault.REVISION_CONFLICT, "sent before with other content")
            if entry.source == source_name(incoming.source):
                # A redelivery: the crash may have cut off any write behind the entry, or its changelog record.
                self._write(partition, incoming, author, record, key, entry)
            return list(entry.outputs)
        if isinstance(scored, BadRecord):  # only now: what was decided in an earlier life is not dead in this one
            raise scored
        row = self._row(PostRow, partition, post_key(author_id, record.post_id))
        if isinstance(record, Post):
            entry = self._guarded(decide_post, author, row, record, incoming, scored)
        else:
            entry = self._guarded(reviews.decide_review, author, row, record, incoming)
        entry = with_moved(entry, row, {incoming.topic: incoming.offset})
        self._write(partition, incoming, author, record, key, entry)
        return entry.outputs

    def _guarded(
        self,
        decide: Callable[..., Entry],
        author: AuthorRow,
        row: PostRow | None,
        record: Any,
        incoming: Incoming,
        *more: Any,
    ) -> Entry:
        """A pure decision that fails on one record touches nothing: that record becomes a dead letter."""
        try:
            return decide(self.context, author, row, record, incoming.source, incoming.timestamp_ms, *more)
        except (BadRecord, GuaranteeAtRisk):
            raise
        except Exception as error:
            log.exception("deciding failed", extra={"topic": incoming.topic, "offset": incoming.offset})
            raise BadRecord(Fault.PROCESSING_FAILED, f"deciding failed with {type(error).__name__}") from None

    def _write(
        self, partition: int, incoming: Incoming, author: AuthorRow, record: Post | Review, key: str, entry: Entry
    ) -> None:
        """The entry first: it can repeat whatever a crash cuts off behind it. Every write here may be repeated."""
        self._store.put(partition, key, dump(entry))
        self._noted.setdefault(partition, []).append((key, post_key(record.author_id, record.post_id)))
        if author.applied.get(incoming.topic, -1) < incoming.offset:
            author = apply_effect(author, entry.effect, incoming.topic, incoming.offset)
        self._store.put(partition, author_key(record.author_id), dump(author))
        row_key = post_key(record.author_id, record.post_id)
        row = self._row(PostRow, partition, row_key)
        if row is None or row.applied.get(incoming.topic, -1) < incoming.offset:
            row = apply_post(row, entry)
        self._store.put(partition, row_key, dump(row))
        for clock in entry.clocks_set:
            self._add_clock(partition, record.author_id, record.post_id, clock)
        for clock in entry.clocks_cleared:
            self._drop_clock(partition, clock)

    def _add_clock(self, partition: int, author_id: str, post_id: str, clock: Clock) -> None:
        number = clocks.bucket_of(clock)
        bucket = self._row(Bucket, partition, clocks.bucket_key(number))
        self._store.put(partition, clocks.bucket_key(number), dump(clocks.added(bucket, author_id, post_id, clock)))
        index = self._row(BucketIndex, partition, clocks.INDEX_KEY)
        self._store.put(partition, clocks.INDEX_KEY, dump(clocks.with_number(index, number)))

    def _drop_clock(self, partition: int, clock: Clock) -> None:
        number = clocks.bucket_of(clock)
        bucket = self._row(Bucket, partition, clocks.bucket_key(number))
        if bucket is None:  # a crash may have come before the index
            self._drop_bucket(partition, number)
            return
        left = clocks.removed(bucket, clock.action_id)
        if left.clocks:
            self._store.put(partition, clocks.bucket_key(number), dump(left))
            return
        self._store.delete(partition, clocks.bucket_key(number))
        self._drop_bucket(partition, number)

    def _drop_bucket(self, partition: int, number: int) -> None:
        index = self._row(BucketIndex, partition, clocks.INDEX_KEY)
        if index is not None and number in index.numbers:
            self._store.put(partition, clocks.INDEX_KEY, dump(clocks.without_number(index, number)))

    def _row(self, kind: type[Any], partition: int, key: str) -> Any:
        return parse(kind, self._store.get(partition, key))

    def note(self, now_ms: int) -> None:
        """At the end of a batch: remember which entries it wrote, so that they can be forgotten in time."""
        noted, self._noted = self._noted, {}
        for partition, keys in noted.items():
            forget.note(self._store, partition, now_ms, keys)

    def forget(self, partition: int, now_ms: int) -> int:
        """Forget a page of entries that are past the policy's memory; how many went."""
        return forget.forget_page(self._store, partition, now_ms, self.context.policy.data.windows.remember_days)

    # -- clocks ------------------------------------------------------------------------------------------------------

    def due(self, partition: int, now_ms: int) -> list[tuple[str, str, Clock]]:
        """Clocks of a partition that ran out by `now_ms` (author, post, clock), earliest first."""
        index = self._row(BucketIndex, partition, clocks.INDEX_KEY)
        found: list[tuple[str, str, Clock]] = []
        for number in index.numbers if index else ():
            if number * clocks.BUCKET_MS > now_ms:
                break
            bucket = self._row(Bucket, partition, clocks.bucket_key(number))
            if bucket is None:  # a crash came between the bucket's end and the index
                self._drop_bucket(partition, number)
                continue
            found += [entry for entry in bucket.clocks if entry[2].due_ms <= now_ms]
        return sorted(found, key=lambda entry: (entry[2].due_ms, entry[2].action_id))

    def fire(self, partition: int, author_id: str, post_id: str, clock: Clock) -> list[Output]:
        """What a clock that ran out owes. Its bucket keeps it until `settle`, so a kill before sending repeats it."""
        key = clock_key(author_id, clock.action_id)
        entry = self._row(Entry, partition, key)
        row_key = post_key(author_id, post_id)
        row = self._row(PostRow, partition, row_key)
        author = self._row(AuthorRow, partition, author_key(author_id)) or AuthorRow()
        if entry is None:
            entry = clocks.fire(self.context, author, row, author_id, post_id, clock)
            if entry is None:
                return []
            entry = with_moved(entry, row, {})
        self._store.put(partition, key, dump(entry))
        self._noted.setdefault(partition, []).append((key, ""))
        if entry.effect.cases:
            self._store.put(partition, author_key(author_id), dump(clocks.after(author, entry)))
        if row is not None and row.clock is not None and row.clock.action_id == clock.action_id:
            row = apply_post(row, entry)
        self._store.put(partition, row_key, dump(row or entry.post))
        return list(entry.outputs)

    def settle(self, partition: int, clock: Clock) -> None:
        """The clock's outputs were acknowledged."""
        self._drop_clock(partition, clock)

    def touch(self, partition: int) -> None:
        """Write the index of clocks again as it stands: its acknowledgement tells the brokers' time."""
        index = self._row(BucketIndex, partition, clocks.INDEX_KEY)
        self._store.put(partition, clocks.INDEX_KEY, dump(index or BucketIndex()))


def _identity(record: Post | Review) -> tuple[str, str]:
    """The key of the record's entry, and the hash of what must be the same when it is sent again."""
    if isinstance(record, Post):
        return revision_key(record.author_id, record.post_id, record.revision), post_content(record)
    return review_key(record.author_id, record.review_id), reviews.content_of(record)
