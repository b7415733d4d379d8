"""A store, a classifier and records for tests of the pipeline, all in memory."""

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from models.labels import LABEL_IDS
from workers import policy
from workers.codec import decision_id
from workers.decide import Context
from workers.events import Topic
from workers.judge import Scored
from workers.pipeline import Incoming, Pipeline
from workers.state import AuthorRow, Bucket, BucketIndex, Clock, Output, PostRow, author_key, parse, post_key

POLICY: Final = policy.load(None, dict.fromkeys(LABEL_IDS, 0.5))
CONTEXT: Final = Context(POLICY, "model-1")
AT_MS: Final = 1_793_491_200_000  # 2026-11-01T00:00:00Z
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
EXECUTOR: Final[Executor] = ThreadPoolExecutor(1)
ID_FIELD: Final = {
    Topic.DECISIONS: "decision_id",
    Topic.ACTIONS: "action_id",
    Topic.ESCALATIONS: "escalation_id",
    Topic.CARE: "care_id",
}

Json = dict[str, Any]


class Cut(Exception):
    """The process died."""


class MemoryRows:
    """Fits workers.forget.Rows. Every write is logged; after `cut` of them the process dies."""

    def __init__(self, cut: int | None = None) -> None:
        self.rows: dict[tuple[int, str], bytes] = {}
        self.log: list[tuple[int, str, bytes | None]] = []
        self.cut = cut

    def get(self, partition: int, key: str) -> bytes | None:
        return self.rows.get((partition, key))

    def put(self, partition: int, key: str, value: bytes) -> None:
        self._write(partition, key, value)
        self.rows[partition, key] = value

    def delete(self, partition: int, key: str) -> None:
        self._write(partition, key, None)
        self.rows.pop((partition, key), None)

    def _write(self, partition: int, key: str, value: bytes | None) -> None:
        if self.cut is not None and len(self.log) >= self.cut:
            raise Cut
        self.log.append((partition, key, value))

    def after(self, writes: int) -> "MemoryRows":
        """What another replica finds when the changelog holds only the first `writes` of them."""
        found = MemoryRows()
        for partition, key, value in self.log[:writes]:
            if value is None:
                found.delete(partition, key)
            else:
                found.put(partition, key, value)
        found.log = []
        return found

    # -- what tests ask -----------------------------------------------------------------------------------------

    def author(self, author_id: str = "ann", partition: int = 0) -> AuthorRow:
        return parse(AuthorRow, self.get(partition, author_key(author_id))) or AuthorRow()

    def post(self, post_id: str = "p1", author_id: str = "ann", partition: int = 0) -> PostRow:
        row = parse(PostRow, self.get(partition, post_key(author_id, post_id)))
        assert row is not None
        return row

    def buckets(self, partition: int = 0) -> dict[int, list[tuple[str, str, Clock]]]:
        """Bucket number → clocks, after checking that the index lists exactly the buckets there are."""
        numbers = (parse(BucketIndex, self.get(partition, "t")) or BucketIndex()).numbers
        stored = {int(key[1:]) for part, key in self.rows if part == partition and key[0] == "t" and key != "t"}
        assert numbers == sorted(stored)
        return {number: (parse(Bucket, self.get(partition, f"t{number}")) or Bucket()).clocks for number in numbers}

    def clocks(self, partition: int = 0) -> list[tuple[str, str, Clock]]:
        return [clock for bucket in self.buckets(partition).values() for clock in bucket]


@dataclass
class Said:
    """One prediction; fits workers.pipeline.Prediction."""

    scores: dict[str, float]
    spans: Sequence[tuple[int, int, str]] = ()


def scores(*labels: str, **more: float) -> dict[str, float]:
    """All labels low but the ones named."""
    return {label: 0.8 if label in labels else 0.1 for label in LABEL_IDS} | more


def scored(*labels: str, imminent: bool = False, **more: float) -> Scored:
    """What step 3 hands to step 4."""
    return Scored(scores(*labels, **more), [], imminent)


@dataclass
class ScriptedClassifier:
    """Fits workers.pipeline.Classifier: `script` says what is flagged in a text, or raises. Notes every call."""

    script: Callable[[str], Sequence[str] | dict[str, float]] = lambda text: ()
    version: str = "model-1"
    calls: list[list[str]] = field(default_factory=list)

    def classify(self, texts: Sequence[str], thresholds: Mapping[str, float] | None = None) -> Sequence[Said]:
        self.calls.append(list(texts))
        found = [self.script(text) for text in texts]
        return [Said(one if isinstance(one, dict) else scores(*one)) for one in found]


def pipeline(rows: MemoryRows, classifier: ScriptedClassifier | None = None, context: Context = CONTEXT) -> Pipeline:
    """A pipeline over `rows`, as one life of a worker has it."""
    return Pipeline(context, classifier or ScriptedClassifier(), rows, EXECUTOR)


def when(at_ms: int) -> str:
    """RFC 3339."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat().replace("+00:00", "Z")


def incoming(
    record: Json | bytes | None,
    *,
    kind: Topic = Topic.POSTS,
    offset: int = 0,
    at_ms: int = AT_MS,
    key: bytes | None = b"",
    partition: int = 0,
    headers: Sequence[tuple[str, bytes | None]] = (),
) -> Incoming:
    """One consumed record; its key is its author_id unless told."""
    if key == b"":
        key = str(record["author_id"]).encode() if isinstance(record, dict) else None
    value = json.dumps(record, ensure_ascii=False).encode() if isinstance(record, dict) else record
    return Incoming(kind, f"test-{kind.value}", partition, offset, at_ms, key, value, headers)


def post(
    post_id: str = "p1",
    revision: int = 1,
    *,
    text: str | None = "本文",
    event: str | None = None,
    author_id: str = "ann",
    offset: int = 0,
    at_ms: int = AT_MS,
    occurred_ms: int | None = None,
    **more: Any,
) -> Incoming:
    """A record of posts; without a text it is a deletion."""
    event = event or ("deleted" if text is None else "created" if revision == 1 else "edited")
    record = {
        "schema": "post/1",
        "event": event,
        "post_id": post_id,
        "revision": revision,
        "author_id": author_id,
        "occurred_at": when(at_ms if occurred_ms is None else occurred_ms),
        **({} if text is None else {"text": text}),
        **more,
    }
    return incoming(record, offset=offset, at_ms=at_ms)


def review(
    verdict: str,
    post_id: str = "p1",
    *,
    review_id: str | None = None,
    revision: int = 1,
    author_id: str = "ann",
    offset: int = 0,
    at_ms: int = AT_MS + HOUR_MS,
    **more: Any,
) -> Incoming:
    """A record of staff-reviews, of the decision on `revision` unless a case_id is given."""
    subject = {} if "case_id" in more else {"decision_id": decision_id(post_id, revision)}
    record = {
        "schema": "review/1",
        "review_id": review_id or f"r{offset}",
        "post_id": post_id,
        "author_id": author_id,
        "verdict": verdict,
        "reviewer_id": "staff-1",
        "reason": "",
        "occurred_at": when(at_ms),
        **subject,
        **more,
    }
    return incoming(record, kind=Topic.STAFF_REVIEWS, offset=offset, at_ms=at_ms)


def apply(line: Pipeline, record: Incoming, *labels: str, imminent: bool = False, **more: float) -> list[Output]:
    """Steps 2 and 4, with the scores given."""
    decoded = line.decode(record)
    has_text = getattr(decoded.record, "text", None) is not None
    return line.apply(decoded, scored(*labels, imminent=imminent, **more) if has_text else None)


def read(outputs: Sequence[Output], topic: Topic) -> list[Json]:
    """The records of one topic."""
    return [json.loads(output.value) for output in outputs if output.topic is topic]


def only(outputs: Sequence[Output], topic: Topic) -> Json:
    """The one record of a topic."""
    (record,) = read(outputs, topic)
    return record


def identity(output: Output) -> tuple[str, str]:
    """What readers drop repeats by."""
    record = json.loads(output.value)
    if output.topic is Topic.DEAD_LETTERS:
        source = record["source"]
        return output.topic.value, f"{source['topic']}/{source['partition']}/{source['offset']}"
    return output.topic.value, record[ID_FIELD[output.topic]]
