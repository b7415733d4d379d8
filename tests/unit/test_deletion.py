"""The deletion test tells spans that carry a score from spans that do not."""

import random
from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from models.classifier import Prediction, Span
from models.deletion import _elsewhere, _without, deletion_test
from models.labels import LABEL_IDS


class Told:
    """The score of insult is 0.9 where ×× stands; the span is right, or always the first two characters."""

    def __init__(self, right: bool) -> None:
        self.right = right

    def scores(self, texts: Sequence[str]) -> list[dict[str, float]]:
        return [one.scores for one in self.classify(texts)]

    def classify(self, texts: Sequence[str]) -> list[Prediction]:
        found = []
        for text in texts:
            at = text.find("××")
            scores = dict.fromkeys(LABEL_IDS, 0.1) | ({"insult": 0.9} if at >= 0 else {})
            start = at if self.right else 0
            found.append(Prediction(scores, [Span(start, start + 2, "insult")] if at >= 0 else []))
        return found


TEXTS = ["きょうはいい××ですね", "とてもながい文章のおわりのほうに××", "なにもない"] * 10


def test_right_spans_fall_more_than_random_ones() -> None:
    found = deletion_test(Told(right=True), TEXTS)
    assert (found["cases"], found["drop"]) == (20, 0.8)
    assert found["random_drop"] < 0.4
    assert found["more_than_random"] > 0.9


def test_wrong_spans_do_not() -> None:
    found = deletion_test(Told(right=False), TEXTS)
    assert found["drop"] == 0.0
    assert found["more_than_random"] == 0.0


def test_nothing_flagged_and_nothing_left_are_no_cases() -> None:
    assert deletion_test(Told(right=True), ["××", "なにもない"])["cases"] == 0


@given(st.integers(0, 9), st.lists(st.integers(1, 4), min_size=1, max_size=5), st.integers(0, 1_000))
def test_random_pieces_are_as_long_and_lie_in_the_text(rest: int, sizes: list[int], seed: int) -> None:
    spans, position = [], 0
    for size in sizes:
        spans.append((position, position + size))
        position += size
    pieces = _elsewhere(random.Random(seed), position + rest, spans)
    text = "x" * (position + rest)
    assert sorted(end - start for start, end in pieces) == sorted(sizes)
    assert all(a[1] <= b[0] for a, b in pairwise(pieces))
    assert len(_without(text, pieces)) == rest
