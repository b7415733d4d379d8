"""No hidden cell can be computed from what is published, by whoever knows the rule as well as the figures."""

from collections import defaultdict
from itertools import combinations_with_replacement, product
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from workers.suppression import LEAST_K, Cell, published

# Who wrote how many posts of each action: one dictionary for each author.
Written = list[dict[str, int]]
WORLDS = st.lists(st.dictionaries(st.sampled_from("abcd"), st.integers(1, 3), min_size=1), max_size=40)


def counted(written: Written, actions: str = "abcd") -> tuple[Cell, dict[str, Cell]]:
    """The table that a month's posts make."""
    cells = {
        action: Cell(sum(one.get(action, 0) for one in written), sum(action in one for one in written))
        for action in actions
    }
    return Cell(sum(cell.posts for cell in cells.values()), len(written)), cells


def test_what_many_wrote_is_published_as_it_is() -> None:
    total, cells = counted([{"a": 2}] * 12 + [{"b": 1}] * 10)
    assert published(total, cells, 10) == (total, cells)
    assert cells["c"] == Cell(0, 0), "that nobody did something is no secret"


def test_a_small_cell_takes_the_last_large_one_with_it() -> None:
    total, cells = counted([{"a": 1}] * 2 + [{"b": 1}] * 12 + [{"c": 1}] * 11 + [{"d": 1}] * 30)
    assert published(total, cells, 10) == (total, {**cells, "a": None, "d": None})


def test_where_the_sum_of_two_says_too_much_all_are_hidden() -> None:
    """The last large cell at its least: ten people's ten posts, so that the one post beside them would be known."""
    total, cells = counted([{"a": 1}] + [{"b": 1}] * 12 + [{"c": 1}] * 10)
    assert published(total, cells, 10) == (total, {"a": None, "b": None, "c": None, "d": Cell()})
    total, cells = counted([{"a": 1}] + [{"b": 1}] * 12 + [{"c": 1}] * 11)
    assert published(total, cells, 10) == (total, {**cells, "a": None, "c": None})


def test_a_total_of_exactly_k_people_says_who_is_in_the_large_cell() -> None:
    total, cells = counted([{"a": 1, "b": 3, "c": 2}] * 2 + [{"b": 1, "c": 3}])
    assert published(total, cells, 3) == (total, {"a": None, "b": None, "c": None, "d": Cell()})


def test_small_cells_are_hidden_alone_where_there_is_nothing_else() -> None:
    total, cells = counted([{"a": 2}] * 6 + [{"b": 1}] * 6)
    assert published(total, cells, 10) == (total, {**cells, "a": None, "b": None})


def test_a_small_total_hides_itself() -> None:
    total, cells = counted([{"a": 1}] * 4)
    assert published(total, cells, 10) == (None, {**cells, "a": None})


def test_as_many_posts_as_cells_would_be_known() -> None:
    total, cells = counted([{"a": 1}, {"b": 1}, {"c": 1}])
    assert published(total, cells, 3) == (None, {**cells, "a": None, "b": None, "c": None})


@given(WORLDS, st.integers(LEAST_K, 12))
@settings(max_examples=500, deadline=None)
def test_nothing_of_fewer_than_k_people_is_published_or_left_over(written: Written, k: int) -> None:
    total, cells = counted(written)
    shown, left = published(total, cells, k)
    assert shown in (None, total)
    for name, cell in left.items():
        assert cell is None or cell == cells[name]
        assert cell is None or cell.authors >= k or cell.posts == 0
    hidden = [name for name, cell in left.items() if cell is None]
    assert (shown is None) <= (total.authors < k or bool(hidden))
    if shown is not None:
        assert shown.authors >= k or shown.posts == 0
        # The difference that anybody can take is of k people or of none, and of two cells or of none.
        others = [one for one in written if any(name in one for name in hidden)]
        assert len(others) >= k or not others
        assert len(hidden) != 1


@given(WORLDS, st.integers(LEAST_K, 12))
@settings(max_examples=500, deadline=None)
def test_each_hidden_cell_can_be_more_than_one_number(written: Written, k: int) -> None:
    """All posts that fit: hidden cells are at least 1 (a zero is shown), and sum to what is left of the total."""
    total, cells = counted(written)
    shown, left = published(total, cells, k)
    hidden = [name for name, cell in left.items() if cell is None]
    if shown is None or not hidden:
        return
    rest = shown.posts - sum(cell.posts for cell in left.values() if cell)
    fits = [one for one in product(range(1, rest + 1), repeat=len(hidden) - 1) if sum(one) < rest] if rest < 25 else []
    for place in range(len(hidden) - 1):
        assert rest >= 25 or len({one[place] for one in fits}) > 1
    assert rest > len(hidden)


def test_whoever_knows_the_rule_knows_no_more() -> None:
    """Every table of up to five authors with up to two posts a cell, by what is published of it.

    Where a group of tables that look the same has one of four authors and of one post a cell, it has others in which
    each hidden figure is another. More authors and more posts only add to a group; those at the edge of what is tried
    are there as alternatives.
    """
    k, people, most = 3, 5, 2
    kinds = [one for one in product(range(most + 1), repeat=3) if any(one)]
    groups: dict[tuple[Any, ...], list[tuple[bool, tuple[Cell, ...]]]] = defaultdict(list)
    for size in range(1, people + 1):
        for world in combinations_with_replacement(kinds, size):
            cells = tuple(Cell(sum(column), sum(map(bool, column))) for column in zip(*world, strict=True))
            total = Cell(sum(cell.posts for cell in cells), size)
            shown, left = published(total, dict(zip("abc", cells, strict=True)), k)
            inside = size < people and max(map(max, world)) < most
            groups[shown, tuple(left.values())].append((inside, cells))
    tried = 0
    for (_, left_cells), worlds in groups.items():
        for place in (place for place, cell in enumerate(left_cells) if cell is None):
            if any(inside for inside, _ in worlds):
                tried += 1
                assert len({cells[place].posts for _, cells in worlds}) > 1
                assert len({cells[place].authors for _, cells in worlds}) > 1
    assert tried > 20
