"""Requests for removal and their answers, for a yearly report, from workers.transparency_records. No Kafka.

A request is a review `removal_requested`. It is answered by the first review after it that leaves its case answered or
closed, or that ends the matter of its post; `hold` with a reason is the interim answer that says why it takes longer.
The topics do not hold the letter to whoever asked: the review stands for it. Days are 24 hours from the request, which
is never more lenient than counting from the next midnight.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from models.labels import VIOLATION_IDS
from workers.days import DAY_MS
from workers.events import Action, Verdict
from workers.transparency_data import Law
from workers.transparency_records import BIT, Records
from workers.transparency_table import Table

ENDED: Final = ("answered", "closed")
ENDS_OF_A_POST: Final = (Verdict.OVERTURN, Verdict.APPEAL_GRANTED, Verdict.APPEAL_DENIED)  # whatever waits beside it
INTERIM: Final = Verdict.HOLD
REFUSALS: Final = (Verdict.OVERTURN, Verdict.APPEAL_GRANTED)
HIDING: Final = (Action.LIMIT_VISIBILITY, Action.REMOVE, Action.SUSPEND, Action.TERMINATE)
COLUMNS: Final = (
    "requests",
    "in_time",
    "late",
    "after_ceiling",
    "not_yet_due",
    "overdue",
    "interim_with_reason",
    "interim_without_reason",
    "late_after_interim",
    "done",
    "refused_with_reason",
    "refused_without_reason",
)


@dataclass(frozen=True, slots=True)
class _Answer:
    """A review after the request."""

    at: int
    verdict: Verdict
    reasoned: bool
    final: bool


class Requests:
    """Those of one period; `newest` is the last record of the log, by which what is unanswered is due or not."""

    def __init__(self, records: Records, start: int, end: int, newest: int, law: Law) -> None:
        self._db, self._newest = records.db, newest
        self._answer_ms, self._ceiling_ms = law.answer_days * DAY_MS, law.ceiling_days * DAY_MS
        self._by_requester: dict[str, Counter[str]] = {}
        self._by_ground: dict[str, Counter[str]] = {}
        self._all: Counter[str] = Counter()
        self._db.execute(
            "CREATE TABLE asked AS SELECT subject, at, gone FROM decision WHERE subject IN"
            " (SELECT subject FROM review WHERE verdict = 'removal_requested')"
        )
        self._db.execute("CREATE INDEX asked_subject ON asked (subject, at)")
        requests = self._db.execute(
            "SELECT id, subject, case_id, labels, requester, at, written FROM review"
            " WHERE verdict = ? AND at >= ? AND at < ?",
            (Verdict.REMOVAL_REQUESTED.value, start, end),
        )
        for id, subject, case_id, labels, requester, at, written in requests:
            found = self._facts(subject, at, [*self._later(id, subject, case_id, written)])
            self._all.update(found)
            self._by_requester.setdefault(requester, Counter()).update(found)
            for ground in [label for label in VIOLATION_IDS if (labels or 0) & BIT[label]] or ["none"]:
                self._by_ground.setdefault(ground, Counter()).update(found)

    def _later(self, id: str, subject: bytes, case_id: str | None, written: int) -> Iterator[_Answer]:
        rows = self._db.execute(
            "SELECT r.at, r.verdict, r.reasoned, r.subject = :subject, coalesce((SELECT l.status FROM link l"
            " WHERE l.id = r.id AND l.case_id = :case_id), r.status) FROM review r WHERE r.case_id IS NOT NULL"
            " AND (r.subject = :subject OR r.id IN (SELECT id FROM link WHERE case_id = :case_id))"
            " AND r.written >= :written AND r.id != :id ORDER BY r.written, r.rowid",
            {"id": id, "subject": subject, "case_id": case_id, "written": written},
        )
        for at, word, reasoned, of_the_post, status in rows:
            verdict = Verdict(word)
            ends = status in ENDED or bool(of_the_post and verdict in ENDS_OF_A_POST)
            yield _Answer(at, verdict, bool(reasoned), ends)

    def _facts(self, subject: bytes, at: int, later: list[_Answer]) -> list[str]:
        """The columns in which one request counts."""
        place = next((number for number, one in enumerate(later) if one.final), len(later))
        interim = [one for one in later[:place] if one.verdict is INTERIM]
        answer = later[place] if place < len(later) else None
        state = self._state(at, answer)
        found = ["requests", state]
        if any(one.reasoned for one in interim):
            found.append("interim_with_reason")
        elif interim:
            found.append("interim_without_reason")
        told = any(one.reasoned and one.at - at <= self._answer_ms for one in interim)
        if told and state in ("late", "after_ceiling", "overdue"):
            found.append("late_after_interim")
        if answer is not None:
            found.append(self._outcome(subject, answer))
        return found

    def _state(self, at: int, answer: _Answer | None) -> str:
        took = (self._newest if answer is None else answer.at) - at
        if answer is None:
            return "not_yet_due" if took <= self._answer_ms else "overdue"
        if took <= self._answer_ms:
            return "in_time"
        return "late" if took <= self._ceiling_ms else "after_ceiling"

    def _outcome(self, subject: bytes, answer: _Answer) -> str:
        """Done: when it was answered the post was hidden or gone, by whomever."""
        refused = "refused_with_reason" if answer.reasoned else "refused_without_reason"
        if answer.verdict in REFUSALS:
            return refused
        standing = self._db.execute(
            "SELECT action FROM action WHERE subject = ? AND at <= ? ORDER BY at DESC, rowid DESC LIMIT 1",
            (subject, answer.at),
        ).fetchone()
        gone = self._db.execute(
            "SELECT gone FROM asked WHERE subject = ? AND at <= ? ORDER BY at DESC LIMIT 1",
            (subject, answer.at),
        ).fetchone()
        done = (standing and Action(standing[0]) in HIDING) or (gone and gone[0])
        return "done" if done else refused

    def tables(self) -> Iterator[Table]:
        """By requester and by ground, each with the sum of all; a request of two labels counts under both grounds."""
        for id, dimension, counts in (
            ("requests_by_requester", "requester", self._by_requester),
            ("requests_by_ground", "ground", self._by_ground),
        ):
            rows = [(word, *(count[column] for column in COLUMNS)) for word, count in sorted(counts.items())]
            rows.append(("all", *(self._all[column] for column in COLUMNS)))
            yield Table(id, (dimension,), COLUMNS, rows)
