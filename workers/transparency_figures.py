"""The figures of a yearly report, from workers.transparency_records. No Kafka.

A figure belongs to the period by when its thing happened: a decision when its post arrived, an action when its cause
did, a request or review when it was made. What followed is looked for up to the end of the log, so that a request of
the last day has its answer and a warning its ninety days.
"""
# ruff: noqa: S608 # the only words put into SQL are this module's own

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from models.labels import DISTRESS, LABEL_IDS, VIOLATION_IDS
from workers.days import DAY_MS
from workers.events import Priority, Verdict
from workers.transparency_records import BIT, Records
from workers.transparency_requests import Requests
from workers.transparency_table import Figure, Table, rate

VIOLATIONS: Final = sum(BIT[label] for label in VIOLATION_IDS)
# Verdicts that say whether an automated measure was right, and those of them that say it was not.
SETTLING: Final = (
    Verdict.CONFIRM,
    Verdict.OVERTURN,
    Verdict.CHANGE_ACTION,
    Verdict.APPEAL_GRANTED,
    Verdict.APPEAL_DENIED,
)
# These come from outside; whoever wrote them down decided nothing.
INTAKE: Final = (Verdict.APPEAL_FILED, Verdict.REMOVAL_REQUESTED)
_ENDS: Final = ("handed_off", "answered", "closed")
_INSIDE: Final = "at >= :start AND at < :end"
_OPENED: Final = "e.status = 'open' AND e.written >= :start AND e.written < :end"
_JUDGED: Final = f"""
    CREATE TABLE judged AS SELECT a.rowid AS action, a.subject, (
        SELECT CASE WHEN r.verdict IN ('overturn', 'appeal_granted') THEN 'overturned'
            WHEN r.verdict != 'change_action' THEN 'upheld'
            WHEN r.action IN ('none', 'restore') THEN 'overturned' ELSE 'changed' END
        FROM review r WHERE r.subject = a.subject AND r.case_id IS NOT NULL
        AND r.verdict IN ({", ".join(f"'{one}'" for one in SETTLING)}) AND r.written >= a.at
        ORDER BY r.written DESC, r.rowid DESC LIMIT 1) AS outcome
        FROM action a WHERE a.action != 'restore';
    CREATE UNIQUE INDEX judged_action ON judged (action);
    CREATE TABLE wronged AS SELECT DISTINCT subject FROM judged WHERE outcome = 'overturned';
    CREATE UNIQUE INDEX wronged_subject ON wronged (subject);
    CREATE TABLE offence AS SELECT author, posted, subject FROM decision
        WHERE labels & {VIOLATIONS} AND NOT labels & {BIT[DISTRESS]} AND subject NOT IN (SELECT subject FROM wronged);
    CREATE INDEX offence_author ON offence (author, posted);
"""


@dataclass(frozen=True, slots=True)
class Period:
    """`start` up to, and without, `end`; `newest` is the last record of the log. All in ms since the epoch."""

    start: int
    end: int
    newest: int


class Figures:
    """Every table of one report."""

    def __init__(self, records: Records, period: Period, requests: Requests, reoffence_days: int) -> None:
        self._db, self._period, self._requests = records.db, period, requests
        self._days = reoffence_days
        self._db.executescript(_JUDGED)

    def tables(self) -> Iterator[Table]:
        """In the order of the page."""
        yield self._overview()
        yield from self._requests.tables()
        yield self._measures()
        yield self._measures_by_label()
        yield self._notices()
        yield self._appeals()
        yield self._reviews()
        yield self._overturns("overturns_by_clause", "clause", "clause")
        yield self._overturns("overturns_by_model", "model_version", "model")
        yield self._reoffence()
        yield self._latency()
        yield self._cases()
        yield self._cases_by_label()

    def _rows(self, sql: str) -> sqlite3.Cursor:
        """`:start` and `:end` are the period's."""
        return self._db.execute(sql, {"start": self._period.start, "end": self._period.end})

    def _count(self, what: str) -> int:
        found: int = self._rows(f"SELECT {what}").fetchone()[0]
        return found

    def _overview(self) -> Table:
        asked = f"FROM review WHERE {_INSIDE} AND verdict = 'removal_requested'"
        measures = f"FROM action WHERE {_INSIDE} AND action != 'restore'"
        acts = f"FROM review WHERE {_INSIDE} AND case_id IS NOT NULL AND verdict NOT IN ({_listed(INTAKE)})"
        counts = {
            "decisions": f"count(*) FROM decision WHERE {_INSIDE}",
            "posts": f"count(DISTINCT subject) FROM decision WHERE {_INSIDE}",
            "flagged": f"count(*) FROM decision WHERE {_INSIDE} AND labels & {VIOLATIONS}",
            "measures": f"count(*) {measures}",
            "automated": f"""count(*) {measures} AND "by" != 'human'""",
            "requests": f"count(*) {asked}",
            "requests_without_case": f"count(*) {asked} AND case_id IS NULL",
            "cases": f"count(*) FROM escalation e WHERE {_OPENED}",
            "appeals": f"count(*) FROM review WHERE {_INSIDE} AND verdict = 'appeal_filed' AND case_id IS NOT NULL",
            "reviews": f"count(*) {acts}",
            "reviewers": f"count(DISTINCT reviewer) {acts}",
        }
        return Table("overview", ("figure",), ("value",), [(name, self._count(what)) for name, what in counts.items()])

    # -- measures, notices -----------------------------------------------------------------------------------------

    def _measures(self) -> Table:
        rows = self._rows(f'SELECT action, clause, "by", count(*) FROM action WHERE {_INSIDE} GROUP BY 1, 2, 3')
        return Table("measures", ("action", "clause", "by"), ("measures",), rows.fetchall())

    def _measures_by_label(self) -> Table:
        """A post of two labels counts under each. Distress is never the ground of a measure."""
        counts: Counter[tuple[str, str, str]] = Counter()
        for action, by, labels, count in self._rows(
            f'SELECT action, "by", labels, count(*) FROM action WHERE {_INSIDE} GROUP BY 1, 2, 3'
        ):
            for label in _violations(labels):
                counts[action, label, by] += count
        rows = [(*place, count) for place, count in sorted(counts.items())]
        return Table("measures_by_label", ("action", "label", "by"), ("measures",), rows)

    def _notices(self) -> Table:
        rows = self._rows(
            f"SELECT action, clause, sum(noticed), sum(NOT noticed) FROM action WHERE {_INSIDE} GROUP BY 1, 2"
        )
        return Table("notices", ("action", "clause"), ("sent", "not_sent"), rows.fetchall())

    # -- appeals, reviews, overturns ---------------------------------------------------------------------------------

    def _appeals(self) -> Table:
        """Each appeal of the period with the first answer that its case, or its post, got after it."""
        outcomes: Counter[str] = Counter()
        for (outcome,) in self._rows(
            """SELECT (SELECT r.verdict FROM review r WHERE r.written >= f.written AND r.case_id IS NOT NULL
                AND (r.subject = f.subject OR r.id IN (SELECT id FROM link WHERE case_id = f.case_id))
                AND r.verdict IN ('appeal_granted', 'appeal_denied') ORDER BY r.written, r.rowid LIMIT 1)
            FROM review f WHERE f.at >= :start AND f.at < :end AND f.verdict = 'appeal_filed'
            AND f.case_id IS NOT NULL"""
        ):
            outcomes[outcome or "pending"] += 1
        row = (outcomes.total(), outcomes["appeal_granted"], outcomes["appeal_denied"], outcomes["pending"])
        return Table("appeals", (), ("filed", "granted", "denied", "pending"), [row])

    def _reviews(self) -> Table:
        rows = self._rows(
            f"SELECT verdict, count(*), count(DISTINCT reviewer) FROM review WHERE {_INSIDE} AND case_id IS NOT NULL"
            " GROUP BY 1"
        ).fetchall()
        order = {verdict.value: place for place, verdict in enumerate(Verdict)}
        rows.sort(key=lambda row: order[row[0]])
        return Table("reviews", ("verdict",), ("reviews", "reviewers"), rows)

    def _overturns(self, id: str, dimension: str, column: str) -> Table:
        """Automated measures by what a person said of them last."""
        rows = self._rows(
            f"SELECT {column}, count(*), count(j.outcome), sum(coalesce(j.outcome, '') = 'overturned'),"
            " sum(coalesce(j.outcome, '') = 'changed') FROM action a JOIN judged j ON j.action = a.rowid"
            """ WHERE a.at >= :start AND a.at < :end AND a."by" != 'human' GROUP BY 1"""
        )
        columns = ("measures", "reviewed", "overturned", "changed", "overturned_of_reviewed", "overturned_of_measures")
        found = [
            (word, measures, reviewed, wrong, other, rate(wrong, reviewed), rate(wrong, measures))
            for word, measures, reviewed, wrong, other in rows
        ]
        return Table(id, (dimension,), columns, found)

    # -- effect ------------------------------------------------------------------------------------------------------

    def _reoffence(self) -> Table:
        """Of measures that stood, those whose author wrote another violation in another post within the days.

        A post in distress is neither: it is no strike, and no measure on it is meant to teach.
        """
        span, last = self._days * DAY_MS, self._period.newest - self._days * DAY_MS
        rows = self._rows(
            f"""SELECT a.action, count(*), count(DISTINCT a.author), sum(a.at > {last}), sum(a.at <= {last} AND EXISTS
                (SELECT 1 FROM offence o WHERE o.author = a.author AND o.posted > a.at AND o.posted <= a.at + {span}
                AND o.subject != a.subject))
            FROM action a JOIN judged j ON j.action = a.rowid
            WHERE a.at >= :start AND a.at < :end AND coalesce(j.outcome, '') != 'overturned'
            AND NOT coalesce(a.labels, 0) & {BIT[DISTRESS]} GROUP BY 1"""
        )
        found = [
            (action, measures, authors, early, measures - early, again, rate(again, measures - early))
            for action, measures, authors, early, again in rows
        ]
        columns = ("measures", "authors", "not_yet_observed", "observed", "reoffended", "reoffence_rate")
        return Table("reoffence", ("action",), columns, found)

    def _latency(self) -> Table:
        """Until the decision stood in its topic: from the post itself, and from its arrival in Kafka."""
        rows = []
        for stage, since in (("posted_to_decision", "posted"), ("received_to_decision", "at")):
            times = self._rows(f"SELECT max(written - {since}, 0) AS ms FROM decision WHERE {_INSIDE} ORDER BY ms")
            count = self._count(f"count(*) FROM decision WHERE {_INSIDE}")
            rows.append((stage, count, *percentiles((ms for (ms,) in times), count)))
        return Table("latency", ("stage",), ("count", "p50_seconds", "p95_seconds"), rows)

    def _cases(self) -> Table:
        """From a case's first record to the first act of a person in it, by the priority that it was opened with."""
        waits: dict[str, list[int]] = {place: [] for place in ("all", *Priority)}
        opened: Counter[str] = Counter()
        in_due: Counter[str] = Counter()
        for priority, at, due, acted in self._rows(
            f"""SELECT e.priority, e.written, e.due, (SELECT min(r.at) FROM link l JOIN review r ON r.id = l.id
                WHERE l.case_id = e.case_id AND r.verdict NOT IN ({_listed(INTAKE)}))
            FROM escalation e WHERE {_OPENED}"""
        ):
            for place in ("all", priority):
                opened[place] += 1
                if acted is not None:
                    waits[place].append(max(acted - at, 0))
                    in_due[place] += acted <= due
        columns = ("opened", "acted", "in_due", "waiting", "p50_seconds", "p95_seconds")
        rows = [
            (
                str(place),
                opened[place],
                len(found),
                in_due[place],
                opened[place] - len(found),
                *percentiles(sorted(found), len(found)),
            )
            for place, found in waits.items()
        ]
        return Table("cases", ("priority",), columns, rows)

    def _cases_by_label(self) -> Table:
        """What became of the cases opened in the period; a case of two labels counts under each."""
        of_case = "SELECT 1 FROM escalation s WHERE s.case_id = e.case_id"
        ends = ", ".join(f"coalesce(sum(EXISTS ({of_case} AND s.status = '{end}')), 0)" for end in _ENDS)
        rows = [
            (
                label,
                *self._rows(
                    f"SELECT count(*), {ends} FROM escalation e WHERE {_OPENED}"
                    f" AND EXISTS ({of_case} AND s.labels & {BIT[label]})"
                ).fetchone(),
            )
            for label in LABEL_IDS
        ]
        return Table("cases_by_label", ("label",), ("opened", *_ENDS), rows)


def percentiles(ordered: Iterable[int], count: int) -> tuple[Figure, Figure]:
    """Median and 95th percentile in seconds, by nearest rank; `ordered`: so many ms, rising."""
    ranks = {share: -(-count * share // 100) for share in (50, 95)}
    found: dict[int, float] = {}
    for number, ms in enumerate(ordered, 1):
        found.update({share: round(ms / 1000, 3) for share, rank in ranks.items() if rank == number})
    return found.get(50), found.get(95)


def _violations(labels: int | None) -> list[str]:
    return [label for label in VIOLATION_IDS if (labels or 0) & BIT[label]] or ["none"]


def _listed(verdicts: Iterable[Verdict]) -> str:
    return ", ".join(f"'{verdict.value}'" for verdict in verdicts)
