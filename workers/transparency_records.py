"""What a report may see of the topics' records, and where it keeps it: in SQLite, on disk.

The structs are slices of workers.events: no text, no dossier, no score, no span, no reason is ever decoded; of a
review's reason it is kept that there is one. Posts, authors and reviewers are kept as hashes, since a report only tells
one from another. The file has no name and is gone with the process however that ends. It grows with the records read
(measured: 170 bytes for each decision; the others are few beside them). Memory does not grow with them: the cache is of
32 MiB.
"""

import hashlib
import sqlite3
from itertools import groupby
from typing import Any, Final

import msgspec
from msgspec import Struct

from models.labels import LABEL_IDS
from workers.cases import record_id
from workers.events import Action, Priority, Review, Time, Topic, to_kafka_ms

_TABLE_OF: Final = {
    Topic.DECISIONS: "decision",
    Topic.ACTIONS: "action",
    Topic.ESCALATIONS: "escalation",
    Topic.STAFF_REVIEWS: "review",
}
BIT: Final = {label: 1 << number for number, label in enumerate(LABEL_IDS)}
_TABLES: Final = """
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    PRAGMA temp_store = FILE;
    PRAGMA cache_size = -32768;
    CREATE TABLE seen_decision (id BLOB, subject BLOB, author BLOB, at INTEGER, posted INTEGER, written INTEGER,
        labels INTEGER, gone INTEGER);
    CREATE TABLE seen_action (id TEXT, cause TEXT, decision BLOB, subject BLOB, author BLOB, written INTEGER,
        due INTEGER, action TEXT, clause TEXT, "by" TEXT, model TEXT, noticed INTEGER);
    CREATE TABLE seen_escalation (id TEXT, case_id TEXT, subject BLOB, written INTEGER, status TEXT, priority TEXT,
        due INTEGER, labels INTEGER);
    CREATE TABLE seen_review (id TEXT, subject BLOB, at INTEGER, written INTEGER, verdict TEXT, action TEXT,
        requester TEXT, reviewer BLOB, reasoned INTEGER);
    CREATE TABLE link (id TEXT, case_id TEXT, status TEXT, labels INTEGER, PRIMARY KEY (id, case_id)) WITHOUT ROWID;
"""
# What was delivered twice stands twice: the record written first counts. With min() the other columns are of its row.
_ONCE: Final = """
    CREATE TABLE decision (id BLOB PRIMARY KEY, subject BLOB, author BLOB, at INTEGER, posted INTEGER,
        labels INTEGER, gone INTEGER, written INTEGER) WITHOUT ROWID;
    INSERT INTO decision SELECT id, subject, author, at, posted, labels, gone, min(written) FROM seen_decision
        GROUP BY id;
    DROP TABLE seen_decision;
    CREATE TABLE escalation AS SELECT id, case_id, subject, status, priority, due, labels, min(written) AS written
        FROM seen_escalation GROUP BY id;
    DROP TABLE seen_escalation;
    CREATE INDEX escalation_subject ON escalation (subject);
    CREATE INDEX escalation_case ON escalation (case_id);
    CREATE TABLE once_review AS SELECT id, subject, at, verdict, action, requester, reviewer, reasoned,
        min(written) AS written FROM seen_review GROUP BY id;
    DROP TABLE seen_review;
    CREATE TABLE once_action AS SELECT id, cause, decision, subject, author, due, action, clause, "by", model, noticed,
        min(written) AS written FROM seen_action GROUP BY id;
    DROP TABLE seen_action;
    CREATE UNIQUE INDEX once_action_id ON once_action (id);
"""
# An action has no time of its own: it happened when its cause did, a decision, a review, or a request that ran out.
_LINKED: Final = """
    CREATE TABLE review AS SELECT r.*, l.case_id, l.status, l.labels FROM once_review r LEFT JOIN link l
        ON l.id = r.id AND l.case_id = (SELECT min(m.case_id) FROM link m WHERE m.id = r.id);
    DROP TABLE once_review;
    CREATE UNIQUE INDEX review_id ON review (id);
    CREATE INDEX review_subject ON review (subject);
    CREATE INDEX link_case ON link (case_id);
    CREATE TABLE action AS SELECT a.id, a.cause, a.subject, a.author, a.action, a.clause, a."by", a.model, a.noticed,
        d.labels,
        coalesce(CASE a."by" WHEN 'model' THEN d.at WHEN 'clock' THEN asked.due ELSE r.at END, a.written) AS at
        FROM once_action a LEFT JOIN decision d ON d.id = a.decision LEFT JOIN review r ON r.id = a.cause
        LEFT JOIN once_action asked ON asked.id = a.cause;
    DROP TABLE once_action;
    CREATE INDEX action_subject ON action (subject);
"""


class DecisionSlice(Struct, frozen=True, tag_field="schema", tag="decision/1"):
    """Of decision/1."""

    decision_id: str
    post_id: str
    author_id: str
    event: str
    occurred_at: Time
    flagged: list[str]
    shadow: bool
    decided_at: Time


class NoticeSlice(Struct, frozen=True):
    """Of a notice: its one line, by which it was sent or not."""

    title: str


class ActionSlice(Struct, frozen=True, tag_field="schema", tag="action/1"):
    """Of action/1."""

    action_id: str
    cause: str
    automated: bool
    decision_id: str
    post_id: str
    author_id: str
    action: Action
    clause: str
    notice: NoticeSlice
    due_at: Time | None
    model_version: str


class EscalationSlice(Struct, frozen=True, tag_field="schema", tag="escalation/1"):
    """Of escalation/1, without its dossier."""

    escalation_id: str
    case_id: str
    status: str
    post_id: str
    author_id: str
    priority: Priority
    due_at: Time
    categories: list[str]


def key(*parts: str) -> bytes:
    """Who or what it was, and nothing that could be read back: 16 bytes."""
    return hashlib.blake2b(msgspec.json.encode(parts), digest_size=16).digest()


def mask(labels: list[str]) -> int:
    """Labels as bits; one that no longer exists is left out."""
    return sum({BIT.get(label, 0) for label in labels})


class Records:
    """Put everything in, `finish`, then ask `db`. `written` is a record's Kafka timestamp, ms since the epoch.

    After `finish` there are `decision`, `action`, `escalation` and `review`, each record once. `subject` is a post,
    `labels` a mask, `at` when it happened. `link` has the cases that a review moved, how each stood after it, and its
    labels; `review` the first of them. A review without a case had no effect: a dead letter of the worker's, mostly.
    """

    def __init__(self) -> None:
        self.db = sqlite3.connect("")
        self.db.executescript(_TABLES)
        self.repeated: dict[Topic, int] = {}

    def decision(self, one: DecisionSlice, written: int) -> None:
        """One record of moderation-decisions."""
        at = to_kafka_ms(one.decided_at)
        subject, author = key(one.author_id, one.post_id), key(one.author_id)
        posted, gone = min(at, to_kafka_ms(one.occurred_at)), one.event == "deleted"
        self._put("seen_decision", key(one.decision_id), subject, author, at, posted, written, mask(one.flagged), gone)

    def action(self, one: ActionSlice, written: int) -> None:
        """One record of moderation-actions."""
        by = "human" if not one.automated else "model" if one.cause == one.decision_id else "clock"
        self._put(
            "seen_action",
            one.action_id,
            one.cause,
            key(one.decision_id),
            key(one.author_id, one.post_id),
            key(one.author_id),
            written,
            None if one.due_at is None else to_kafka_ms(one.due_at),
            one.action.value,
            one.clause or "none",
            by,
            one.model_version,
            bool(one.notice.title),
        )

    def escalation(self, one: EscalationSlice, written: int) -> None:
        """One record of consultation-escalations."""
        subject, due = key(one.author_id, one.post_id), to_kafka_ms(one.due_at)
        step = (one.escalation_id, one.case_id, subject, written, one.status, one.priority.value)
        self._put("seen_escalation", *step, due, mask(one.categories))

    def review(self, one: Review, requester: str, written: int) -> None:
        """One record of staff-reviews; `requester` is `requested_by` as one of the words that are known."""
        self._put(
            "seen_review",
            one.review_id,
            key(one.author_id, one.post_id),
            min(written, to_kafka_ms(one.occurred_at)),
            written,
            one.verdict.value,
            one.action.value if one.action else None,
            requester,
            key(one.reviewer_id),
            bool(one.reason.strip()),
        )

    def _put(self, table: str, *values: Any) -> None:
        self.db.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(values))})", values)  # noqa: S608 # ours

    def finish(self) -> None:
        """Leave out what was delivered twice, and find the case of each review."""
        seen = {topic: self.count(f"seen_{table}") for topic, table in _TABLE_OF.items()}
        self.db.executescript(_ONCE)
        self._link()
        self.db.executescript(_LINKED)
        self.repeated = {topic: seen[topic] - self.count(table) for topic, table in _TABLE_OF.items()}

    def count(self, table: str) -> int:
        """Rows of a table."""
        found: int = self.db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 # ours
        return found

    def _link(self) -> None:
        """A review that took effect added a record to a case of its post, or to some; their ids follow from the two."""
        rows = self.db.execute("SELECT subject, id FROM once_review ORDER BY subject")
        for subject, reviews in groupby(rows, key=lambda row: row[0]):
            steps = self.db.execute("SELECT id, case_id, status, labels FROM escalation WHERE subject = ?", (subject,))
            there = {id: (case_id, status, labels) for id, case_id, status, labels in steps}
            cases = {case_id for case_id, _, _ in there.values()}
            for _, review_id in reviews:
                ids = (record_id(review_id, case_id) for case_id in cases)
                found = [(review_id, *there[id]) for id in ids if id in there]
                self.db.executemany("INSERT INTO link VALUES (?, ?, ?, ?)", found)

    def close(self) -> None:
        """Gone for good."""
        self.db.close()
