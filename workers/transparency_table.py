"""Tables of figures, and how they become JSON and CSV. Pure.

A table has dimensions (words), columns (figures) and rows. None stands where there is no figure: nothing to divide by
in a report, a cell that k-anonymity hides in a trend.
"""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Figure = int | float | None


@dataclass(frozen=True, slots=True)
class Table:
    """`rows`: a value for each dimension, then a figure for each column."""

    id: str
    dimensions: tuple[str, ...]
    columns: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]

    def named(self) -> list[dict[str, Any]]:
        """Rows as dictionaries."""
        return [dict(zip((*self.dimensions, *self.columns), row, strict=True)) for row in self.rows]


@dataclass(frozen=True, slots=True)
class Account:
    """What a report says: its head (period, coverage, what was left out), and its tables."""

    schema: str
    head: dict[str, Any]
    tables: Sequence[Table]


def as_json(account: Account) -> bytes:
    """Indented UTF-8 JSON."""
    tables = {table.id: table.named() for table in account.tables}
    content = {"schema": account.schema, **account.head, "tables": tables}
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode()


def as_csv(account: Account, blank: str) -> bytes:
    """One line for each figure: the period, table, every dimension there is, column, value; `blank` stands for None."""
    dimensions = list(dict.fromkeys(name for table in account.tables for name in table.dimensions))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    period = (account.head["period"]["from"], account.head["period"]["to"])
    writer.writerow(["from", "to", "table", *dimensions, "column", "value"])
    for table in account.tables:
        for row in table.rows:
            at = dict(zip(table.dimensions, row, strict=False))
            place = [_cell(str(at.get(name, ""))) for name in dimensions]
            for column, figure in zip(table.columns, row[len(table.dimensions) :], strict=True):
                writer.writerow([*period, table.id, *place, column, blank if figure is None else figure])
    return out.getvalue().encode()


def _cell(word: str) -> str:
    """A model's version comes from a directory's name: no spreadsheet may take a word for a formula."""
    return f"'{word}" if word[:1] in ("=", "+", "-", "@", "\t", "\r") else word


def rate(part: int, whole: int) -> Figure:
    """A share to four digits; None where there is nothing to divide by."""
    return round(part / whole, 4) if whole else None
