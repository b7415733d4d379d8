"""Counts by month, label and action that may leave the house, from workers.transparency_records. No Kafka.

A post counts once in a month, however often it was edited, under every label that it was flagged for in that month, by
the harshest action on it in that month. `distress` has a count by month and no action: it is never joined with
penalties. Every month stands by itself, and only months that the log holds from beginning to end are given, so that a
later export of the same month says the same and two exports tell no more than one.
"""
# ruff: noqa: S608 # the only words put into SQL are this module's own

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Final

from models.labels import DISTRESS, VIOLATION_IDS
from workers.days import end_ms, start_ms
from workers.policy_data import MILD_TO_HARSH
from workers.suppression import Cell, published, too_few
from workers.transparency_records import BIT, Records
from workers.transparency_table import Figure, Table

_RANKS: Final = " ".join(f"WHEN '{action.value}' THEN {rank}" for rank, action in enumerate(MILD_TO_HARSH))
_RANK: Final = f"CASE action {_RANKS} END"  # restore has none: that a hold was lifted is no action on the post
_MASK: Final = " | ".join(f"max(labels & {bit})" for bit in BIT.values())


def months(first: date, last: date) -> list[tuple[date, date]]:
    """First and last day of each month from `first` to `last`, which begin and end one."""
    found = []
    while first < last:
        end = (first.replace(day=1) + timedelta(days=31)).replace(day=1) - timedelta(days=1)
        found.append((first, end))
        first = end + timedelta(days=1)
    return found


class Trends:
    """Of whole months; `k` people at least stand behind every figure that is not hidden."""

    def __init__(self, records: Records, k: int) -> None:
        self._db, self._k = records.db, k

    def tables(self, wanted: Sequence[tuple[date, date]]) -> Iterator[Table]:
        """By month, by label, by label and action. A hidden figure is None."""
        posts, labels, actions = [], [], []
        for first, last in wanted:
            month = first.isoformat()[:7]
            self._read(start_ms(first), end_ms(last))
            posts.append((month, *_figures(self._alone())))
            labels.append((month, DISTRESS, *_figures(self._alone(DISTRESS))))
            for label in VIOLATION_IDS:
                total, cells = published(self._cell(label), self._by_action(label), self._k)
                labels.append((month, label, *_figures(total)))
                actions += [(month, label, action, *_figures(cell)) for action, cell in cells.items()]
        yield Table("months", ("month",), ("posts", "authors"), posts)
        yield Table("labels", ("month", "label"), ("posts", "authors"), labels)
        yield Table("label_actions", ("month", "label", "action"), ("posts", "authors"), actions)

    def _read(self, start: int, end: int) -> None:
        """One row for each post of a month: its labels, and the rank of its harshest action."""
        self._db.execute("DROP TABLE IF EXISTS wrote")
        self._db.execute(
            f"""CREATE TABLE wrote AS SELECT author, {_MASK} AS labels, coalesce((SELECT max({_RANK}) FROM action a
            WHERE a.subject = d.subject AND a.at >= :start AND a.at < :end), 0) AS rank
            FROM decision d WHERE d.at >= :start AND d.at < :end AND NOT gone GROUP BY d.subject""",
            {"start": start, "end": end},
        )

    def _cell(self, label: str | None = None) -> Cell:
        of = "1" if label is None else f"labels & {BIT[label]}"
        return Cell(*self._db.execute(f"SELECT count(*), count(DISTINCT author) FROM wrote WHERE {of}").fetchone())

    def _alone(self, label: str | None = None) -> Cell | None:
        """A figure that is in no sum."""
        cell = self._cell(label)
        return None if too_few(cell, self._k) else cell

    def _by_action(self, label: str) -> dict[str, Cell]:
        found = self._db.execute(
            f"SELECT rank, count(*), count(DISTINCT author) FROM wrote WHERE labels & {BIT[label]} GROUP BY 1"
        )
        there = {rank: Cell(posts, authors) for rank, posts, authors in found}
        return {action.value: there.get(rank, Cell()) for rank, action in enumerate(MILD_TO_HARSH)}


def _figures(cell: Cell | None) -> tuple[Figure, Figure]:
    return (None, None) if cell is None else (cell.posts, cell.authors)
