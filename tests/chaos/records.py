"""Checker, part 1: every record of `posts` ends as exactly one decision by id, or as one dead letter with its bytes.

What a record is owed is worked out from the log alone: the first record of a (post, revision) is decided, a later one
with the same event and text is the same decision again, one with other content is a dead letter. Knows the contract,
imports nothing of the product.
"""

import base64
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from tests.chaos.snapshot import DEAD_LETTERS, DECISIONS, ESCALATIONS, POSTS, Record, Snapshot

MALFORMED: Final = "malformed-"
_ID_FIELD: Final = {
    "moderation-decisions": "decision_id",
    "moderation-actions": "action_id",
    "consultation-escalations": "escalation_id",
    "care-outreach": "care_id",
}
_CHARACTERS: Final = 32  # of an id: 128 bits in hex


class Violation(NamedTuple):
    """One breach: its kind, the record or id concerned, and what is wrong. Never post text."""

    kind: str
    where: str
    what: str = ""


@dataclass(slots=True)
class Revision:
    """The first record of a (post, revision), and where later ones with the same content stand."""

    record: Record
    body: dict[str, Any]
    decision_id: str

    @property
    def event_ms(self) -> int:
        """Event time: min(occurred_at, Kafka timestamp)."""
        return min(milliseconds(self.body["occurred_at"]), self.record.timestamp_ms)

    @property
    def content(self) -> tuple[str, str]:
        """What must be the same when a revision is sent again."""
        return str(self.body["event"]), str(self.body.get("text") or "")


@dataclass(slots=True)
class Log:
    """`posts` as the checker understands it: decisions owed by id, in the order of the log, and dead letters owed."""

    revisions: dict[str, Revision] = field(default_factory=dict)
    by_author: dict[str, list[Revision]] = field(default_factory=lambda: defaultdict(list))
    dead: dict[tuple[int, int], Record] = field(default_factory=dict)
    owed: dict[tuple[int, int], str] = field(default_factory=dict)  # place of a live record → its decision_id


@dataclass(slots=True)
class Output:
    """All copies of one id in a topic, in the order in which they were written."""

    topic: str
    id: str
    body: dict[str, Any]
    copies: list[Record]


Outputs = Mapping[str, Mapping[str, Output]]


def make_id(*parts: str | int) -> str:
    """The contract's hash: SHA-256 of the parts as a JSON array, 32 hex characters."""
    text = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_CHARACTERS]


def of_its_decision(output: Output) -> bool:
    """Whether the decision that an output names led to it, and not a clock that ran out later."""
    body = output.body
    if output.topic == ESCALATIONS:
        return output.id == make_id(ESCALATIONS, body["decision_id"], f"escalation:{body['case_id']}")
    return bool(body.get("cause", body["decision_id"]) == body["decision_id"])


def milliseconds(moment: str) -> int:
    """An RFC 3339 time as ms since the epoch, without a float's rounding."""
    since = datetime.fromisoformat(moment) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000 + since.microseconds // 1_000


def read_log(snapshot: Snapshot) -> Log:
    """What each record of `posts` is owed."""
    log = Log()
    for record in snapshot.of(POSTS):
        at = (record.partition, record.offset)
        body = None if record.kind.startswith(MALFORMED) else _object(record.value)
        if body is None:
            log.dead[at] = record
            continue
        revision = Revision(record, body, make_id(body["post_id"], body["revision"]))
        first = log.revisions.setdefault(revision.decision_id, revision)
        if first is revision:
            log.by_author[str(body["author_id"])].append(revision)
        elif first.content != revision.content:
            log.dead[at] = record
            continue
        log.owed[at] = revision.decision_id
    return log


def read_outputs(snapshot: Snapshot) -> tuple[dict[str, dict[str, Output]], list[Violation]]:
    """Output topic → id → copies; a value without an id cannot be read."""
    found: dict[str, dict[str, Output]] = {}
    unread = []
    for topic in (*_ID_FIELD, DEAD_LETTERS):
        found[topic] = {}
        for record in snapshot.of(topic):
            body = _object(record.value)
            identity = None if body is None else _identity(topic, body)
            if body is None or identity is None:
                unread.append(Violation("output_unreadable", record.place))
                continue
            found[topic].setdefault(identity, Output(topic, identity, body, [])).copies.append(record)
    return found, unread


def check_records(snapshot: Snapshot, log: Log, outputs: Outputs) -> Iterator[Violation]:
    """Guarantee 1, per record; and that Kafka holds what it accepted."""
    yield from _accepted(snapshot)
    decisions, dead = outputs[DECISIONS], outputs[DEAD_LETTERS]
    for identity, revision in log.revisions.items():
        decision = decisions.get(identity)
        if decision is None:
            yield Violation("decision_missing", revision.record.place)
        else:
            yield from _decision(snapshot, revision, decision)
    for identity in decisions.keys() - log.revisions.keys():
        yield Violation("decision_for_nothing", identity, "no record of posts has this post and revision")
    for at, record in log.dead.items():
        letter = dead.get(letter_id(*at))
        if letter is None:
            yield Violation("dead_letter_missing", record.place, record.kind)
        else:
            yield from _dead_letter(snapshot, record, letter)
    for identity, letter in dead.items():
        at = letter_place(identity)
        if at in log.dead:
            continue
        kind = "decision_and_dead_letter" if at in log.owed else "dead_letter_for_nothing"
        yield Violation(kind, identity, str(letter.body.get("error", {}).get("type")))


def _accepted(snapshot: Snapshot) -> Iterator[Violation]:
    there = {(r.partition, r.offset): hashlib.sha256(r.value or b"").hexdigest() for r in snapshot.of(POSTS)}
    for partition, offset, digest in snapshot.accepted:
        if there.get((partition, offset)) != digest:
            yield Violation("accepted_record_lost", f"{POSTS}/{partition}@{offset}", "the brokers lost it")


def _decision(snapshot: Snapshot, revision: Revision, decision: Output) -> Iterator[Violation]:
    body, source, record = decision.body, revision.body, revision.record
    place = {"topic": snapshot.topic_name, "partition": record.partition, "offset": record.offset}
    text = None if source["event"] == "deleted" else source.get("text")
    expected = {
        "schema": "decision/1",
        "post_id": source["post_id"],
        "revision": source["revision"],
        "event": source["event"],
        "author_id": source["author_id"],
        "source": place,
        "automated": True,
        "shadow": False,
    }
    for name, value in expected.items():
        if body.get(name) != value:
            kind = "decision_wrong_source" if name == "source" else "decision_wrong_field"
            yield Violation(kind, record.place, name)
    context = body.get("context", {})
    digest = None if text is None else hashlib.sha256(text.encode()).hexdigest()
    if (context.get("text_sha256"), context.get("length")) != (digest, len(text or "")):
        yield Violation("decision_wrong_field", record.place, "context")
    if milliseconds(body["decided_at"]) != record.timestamp_ms:
        yield Violation("decision_wrong_time", record.place, "decided_at is not the record's Kafka timestamp")


def _dead_letter(snapshot: Snapshot, record: Record, letter: Output) -> Iterator[Violation]:
    body = letter.body
    place = {
        "topic": snapshot.topic_name,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp_ms,
    }
    kept = (body.get("key_b64"), body.get("value_b64"), body.get("headers"))
    if kept != (_b64(record.key), _b64(record.value), [[name, _b64(value)] for name, value in record.headers]):
        yield Violation("dead_letter_wrong_bytes", record.place)
    if body.get("source") != place:
        yield Violation("dead_letter_wrong_source", record.place)
    error = body.get("error", {})
    if not error.get("type") or not error.get("message"):
        yield Violation("dead_letter_without_error", record.place)
    conflict = not record.kind.startswith(MALFORMED)
    if record.kind and conflict != (error.get("type") == "revision_conflict"):
        yield Violation("dead_letter_wrong_error", record.place, f"{record.kind}: {error.get('type')}")
    for copy in letter.copies:
        names = {name for name, _ in copy.headers}
        if not {"failed_at", "attempts"} <= names:
            yield Violation("dead_letter_without_headers", copy.place)


def _object(value: bytes | None) -> dict[str, Any] | None:
    try:
        found = json.loads(value or b"")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _identity(topic: str, body: dict[str, Any]) -> str | None:
    if topic != DEAD_LETTERS:
        found = body.get(_ID_FIELD[topic])
        return found if isinstance(found, str) else None
    source = body.get("source", {})
    try:
        return letter_id(source["partition"], source["offset"])
    except (KeyError, TypeError):
        return None


def letter_id(partition: int, offset: int) -> str:
    """How a dead letter is told from others: by the place of its source."""
    return f"{partition}@{offset}"


def letter_place(identity: str) -> tuple[int, int]:
    """Partition and offset of a dead letter's source."""
    partition, _, offset = identity.partition("@")
    return int(partition), int(offset)


def _b64(raw: bytes | None) -> str | None:
    return None if raw is None else base64.b64encode(raw).decode()
