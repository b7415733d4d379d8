"""Respelling keeps what a reader would still read."""

import random

from hypothesis import given
from hypothesis import strategies as st

from models.augment import Respeller

RESPELLER = Respeller()
TEXTS = ["お前は早く死ねよ", "自殺しろって言われた", "今日の 天気\nいい ですね", "住所を晒すぞ、特定した"]


def test_every_way_is_met_and_nothing_else_changes() -> None:
    found = {RESPELLER.respell("自殺", random.Random(seed)) for seed in range(200)}
    assert {"じさつ", "ジサツ", "自・殺", "自○", "○殺"} <= found
    assert all(len(one) <= 4 for one in found)


def test_white_space_and_order_stay() -> None:
    for seed in range(50):
        spelt = RESPELLER.respell(TEXTS[2], random.Random(seed))
        assert spelt.count("\n") == 1
        assert spelt != TEXTS[2]


@given(st.text(max_size=30), st.integers(0, 50))
def test_any_text_is_answered(text: str, seed: int) -> None:
    RESPELLER.respell(text, random.Random(seed))


def test_the_same_seed_gives_the_same() -> None:
    for text in TEXTS:
        assert RESPELLER.respell(text, random.Random(3)) == RESPELLER.respell(text, random.Random(3))


def test_what_has_no_word_to_respell_stays() -> None:
    assert RESPELLER.respell("OK 123", random.Random(1)) == "OK 123"
    assert RESPELLER.respell("", random.Random(1)) == ""
