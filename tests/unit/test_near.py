"""Near-duplicates against every pair compared by hand."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.near import LEAST_CHARACTERS, near_duplicates


def grams(text: str) -> set[str]:
    return {text} if len(text) < LEAST_CHARACTERS else {text[i : i + 3] for i in range(len(text) - 2)}


@given(st.lists(st.text("あいう", min_size=1, max_size=16), max_size=12), st.sampled_from([0.3, 0.5, 0.7, 1.0]))
def test_it_finds_what_comparing_every_pair_finds(texts: list[str], threshold: float) -> None:
    expected = []
    for (i, a), (j, b) in combinations(enumerate(texts), 2):
        similarity = len(grams(a) & grams(b)) / len(grams(a) | grams(b))
        if similarity >= threshold:
            expected.append((i, j, similarity))
    assert sorted(near_duplicates(texts, threshold)) == sorted(expected)


@pytest.mark.parametrize(
    ("a", "b", "alike"),
    [
        ("今日はいい天気ですね、散歩に行こう", "今日はいい天気ですね、散歩に行こうか", True),
        ("今日はいい天気ですね、散歩に行こう", "ｷｮｳはいい天気ですね、映画に行きたい", False),
        ("死ね", "タヒね", True),  # one text in two spellings
        ("死ね", "死ぬ", False),
    ],
)
def test_alike(a: str, b: str, alike: bool) -> None:
    assert bool(near_duplicates([a, b])) is alike
