"""Hiding tokens, against a model whose answer is known: the logit is the sum of what its visible tokens weigh."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from models.spans import Carrier, carried_by

PAD, CLS, SEP = 0, 1, 2
WEIGHTS = torch.zeros(100, 2)
WEIGHTS[10, 0], WEIGHTS[11, 0], WEIGHTS[12, 0] = 3.0, 2.0, -4.0
WEIGHTS[20, 1] = 5.0


def additive(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return (WEIGHTS[ids] * mask.unsqueeze(-1)).sum(1)


def explain(body: list[int], **limits: float) -> dict[int, list[int]]:
    carrier = Carrier([CLS, *body, SEP], {int(column[1:]): limit for column, limit in limits.items()})
    return carried_by(additive, PAD, [carrier])[0]


def test_the_fewest_tokens_that_bring_the_score_under_its_limit() -> None:
    assert explain([50, 10, 51, 11, 52], c0=2.5) == {0: [2]}
    assert explain([50, 10, 51, 11, 52], c0=1.0) == {0: [2, 4]}


def test_each_label_has_tokens_of_its_own() -> None:
    assert explain([10, 20, 30], c0=1.0, c1=1.0) == {0: [1], 1: [2]}


def test_what_speaks_against_the_label_never_carries_it() -> None:
    assert explain([12, 10, 11], c0=-3.5) == {0: [2, 3]}


def test_a_score_that_nothing_brings_down_gets_what_brings_it_lowest() -> None:
    assert explain([50, 10], c0=-9.0) == {0: [2]}


def test_a_long_sequence_is_hidden_in_pieces_that_hold_the_token() -> None:
    (found,) = explain([50] * 60 + [10] + [50] * 60, c0=1.0).values()
    assert 61 in found
    assert len(found) == 11  # a twelfth of 121 tokens
    assert found == list(range(found[0], found[0] + 11))


def test_a_sequence_without_tokens_has_none_that_carry() -> None:
    assert explain([], c0=1.0) == {}


@given(st.lists(st.lists(st.integers(10, 60), min_size=1, max_size=40), min_size=1, max_size=6))
def test_neighbours_in_the_batch_change_nothing(bodies: list[list[int]]) -> None:
    carriers = [Carrier([CLS, *body, SEP], {0: 1.0, 1: 1.0}) for body in bodies]
    assert carried_by(additive, PAD, carriers) == [carried_by(additive, PAD, [carrier])[0] for carrier in carriers]
