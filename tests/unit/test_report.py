"""Comparison, baselines and the report's directory; the figures themselves are in test_evaluate.py."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import baselines, report
from models.data import LabelledPost
from models.evaluate import Scored, comparison, figures, score
from models.labels import LABEL_IDS
from models.metrics import bounds, prf, resampled


class Told:
    """Right on the share `skill` of posts, by a seed of its own; the text is the true label or empty."""

    def __init__(self, version: str, skill: float) -> None:
        self.version = version
        self.thresholds = dict.fromkeys(LABEL_IDS, 0.5)
        self._skill = skill

    def scores(self, texts: Sequence[str]) -> list[dict[str, float]]:
        rng = random.Random(self.version)
        return [
            {label: float((label == text) == (rng.random() < self._skill)) for label in LABEL_IDS} for text in texts
        ]


POSTS = [
    LabelledPost(text, frozenset([text] if text else []), "b", "plain" if text else "game", "board")
    for text in (*LABEL_IDS, "", "", "") * 20
]


def read(version: str, skill: float) -> Scored:
    told: Any = Told(version, skill)
    return score(told, POSTS)


def test_a_better_model_is_named_and_an_equal_one_is_noise() -> None:
    worse, better, equal = read("worse", 0.8), read("better", 0.97), read("equal", 0.97)
    found = comparison(worse, better)
    assert found["verdict"] == "better is better"
    assert comparison(better, worse)["verdict"] == "better is better"
    assert comparison(better, equal)["verdict"] == "no difference beyond the noise of these posts"
    by_name = {row["figure"]: row for row in found["figures"]}
    assert by_name["micro F1"]["a"] == prf(worse.flagged, worse.truth)["f1"]
    assert by_name["micro F1"]["low"] > 0
    assert by_name["false alarms"]["high"] < 0  # fewer of them
    assert set(by_name) == {"micro F1", "macro F1", "false alarms", *(f"F1 {label}" for label in LABEL_IDS)}
    assert "| micro F1 |" in report.differences(found)


def test_a_model_against_itself_differs_by_nothing() -> None:
    rows = comparison(read("a", 0.9), read("a", 0.9))["figures"]
    assert all(row["low"] == row["high"] == 0.0 and not row["real"] for row in rows)


def test_bounds_hold_the_figure_and_narrow_with_more_posts() -> None:
    few = read("few", 0.9)
    micro = prf(few.flagged, few.truth)["f1"]
    low, high = bounds(resampled(few.flagged, few.truth)[1])
    assert low < micro < high
    many = np.tile(few.flagged, (9, 1)), np.tile(few.truth, (9, 1))
    narrow_low, narrow_high = bounds(resampled(*many)[1])
    assert (narrow_high - narrow_low) == pytest.approx((high - low) / 3, rel=0.3)


def test_registers_and_lengths_have_their_own_figures() -> None:
    posts = [
        LabelledPost("insult", frozenset(["insult"]), "b", "plain", "board"),
        LabelledPost("x" * 20, frozenset(), "b", "game", "teen"),
        LabelledPost("x" * 21, frozenset(), "b", "game", "teen"),
        LabelledPost("x" * 151, frozenset(), "b", "game", ""),
    ]
    told: Any = Told("right", 1.0)
    found = figures(score(told, posts))
    assert {name: row["posts"] for name, row in found["by_register"].items()} == {"board": 1, "none": 1, "teen": 2}
    assert {name: row["posts"] for name, row in found["by_length"].items()} == {
        "up to 20": 2,
        "21–80": 1,
        "over 150": 1,
    }
    assert found["by_register"]["board"]["f1"] == 1.0


def test_the_word_list_reads_evasion_and_knows_no_context() -> None:
    found = baselines.WordList().scores(["お前もう4ね", "今日はいい天気", "推しが尊くて「死ね」とは言わない"])
    assert [one["insult"] for one in found] == [1.0, 0.0, 1.0]


def test_tf_idf_learns_from_training_and_takes_its_thresholds_from_validation() -> None:
    def posts(prefix: str) -> list[LabelledPost]:
        return [
            LabelledPost(f"{word}{prefix}{i}", frozenset([label] if label else []), "b")
            for i in range(20)
            for word, label in (("おはようさん", ""), *((label * 2, label) for label in LABEL_IDS))
        ]

    model = baselines.TfIdf(posts("a"), posts("b"))
    found = score(model, posts("c"))
    assert prf(found.flagged, found.truth)["f1"] == 1.0


def test_a_report_is_written_and_the_same_figures_give_the_same_bytes(tmp_path: Path) -> None:
    readings = [read("mine", 0.9), read("baseline", 0.7)]
    for name in ("a", "b"):
        report.write(tmp_path / name, [figures(one) | {"posts_per_second": 9.0} for one in readings], readings[0])
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["confusion.svg", "precision-recall.svg", "reliability.svg", "report.json", "report.md"]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    first, second = json.loads((tmp_path / "a" / "report.json").read_text("utf-8"))
    assert (first["model"], second["model"]) == ("mine", "baseline")
    shown = (tmp_path / "a" / "report.md").read_text("utf-8")
    assert "| baseline |" in shown
    assert "![confusion.svg](confusion.svg)" in shown
    assert "(game)" in (tmp_path / "a" / "confusion.svg").read_text("utf-8").replace("<!-- ", "")
