"""Which cells of a small table may be published, so that no group of fewer than k people can be seen. Pure.

A cell counts posts and the people who wrote them. It is hidden where these are fewer than k (and not none). Posts of
the cells sum to the total, so a hidden cell could be computed from the rest; then another cell is hidden with it, or
all of them, or the total too. Whoever takes published cells from the total gets the posts of at least k people, and
each hidden figure has at least two values that fit, also for a reader who knows this rule: tests try every small table.

Not here: totals over tables. A post of two labels stands in two tables, so their sums mean nothing, and none is given.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

LEAST_K: Final = 3  # with 2 a hidden cell is known: it is one person


@dataclass(frozen=True, slots=True)
class Cell:
    """Posts, and how many different people wrote them."""

    posts: int = 0
    authors: int = 0


def too_few(cell: Cell, k: int) -> bool:
    """Whether it must not stand in a publication. Nobody is nobody's secret."""
    return 0 < cell.authors < k


def published(total: Cell, cells: Mapping[str, Cell], k: int) -> tuple[Cell | None, dict[str, Cell | None]]:
    """The total and the cells as they may be published; None is hidden. Posts of `cells` sum to those of `total`.

    The cell that is hidden with the small ones is the last large one in the order of `cells`, which says nothing about
    its figures; the smallest would be known not to be larger than those beside it.
    """
    there = [name for name, cell in cells.items() if cell.posts]
    hidden = {name for name in there if cells[name].authors < k}
    whole = total.authors >= k or not there
    if hidden and len(hidden) < len(there):
        hidden.add([name for name in there if name not in hidden][-1])
        # At its least, it would be k posts and each other hidden cell one; and k people where the total is of k.
        if total.authors <= k or _posts(hidden, cells) < k + len(hidden):
            hidden = {*there}
    if hidden and len(hidden) == len(there):  # the total is their sum
        whole = whole and len(hidden) > 1 and _posts(hidden, cells) > len(hidden)
    return total if whole else None, {name: None if name in hidden else cell for name, cell in cells.items()}


def _posts(names: set[str], cells: Mapping[str, Cell]) -> int:
    return sum(cells[name].posts for name in names)
