"""Figures against values worked out by hand."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from models.classifier import Classifier
from models.data import LabelledPost
from models.evaluate import evaluate
from models.labels import LABEL_IDS
from models.metrics import average_precision, calibration_error
from models.report import table


def ap(scores: Sequence[float], truth: Sequence[int]) -> float:
    return average_precision(np.array(scores), np.array(truth) > 0)


def ece(scores: Sequence[float], truth: Sequence[int]) -> float:
    return calibration_error(np.array(scores), np.array(truth) > 0)


@pytest.mark.parametrize(
    ("scores", "truth", "expected"),
    [
        ([0.9, 0.8, 0.7, 0.6], [1, 1, 0, 0], 1.0),
        ([0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0], 0.8333),  # (1/1 + 2/3) / 2
        ([0.6, 0.7, 0.8, 0.9], [1, 1, 0, 0], 0.4167),  # (1/3 + 2/4) / 2
        ([0.9, 0.8, 0.7], [0, 0, 1], 0.3333),
        ([0.9, 0.8], [0, 0], 0.0),  # nothing to find
        ([0.9, 0.8], [1, 1], 1.0),
        ([0.5, 0.5, 0.5, 0.5], [1, 0, 0, 0], 0.25),  # equal scores are one step, whatever their order
        ([0.5, 0.5, 0.5, 0.5], [0, 0, 0, 1], 0.25),
        ([0.9, 0.5, 0.5, 0.1], [1, 0, 1, 0], 0.8333),  # (1/1 + 2/3) / 2
        ([0.9, 0.5, 0.5, 0.1], [1, 1, 0, 0], 0.8333),
    ],
)
def test_average_precision(scores: list[float], truth: list[int], expected: float) -> None:
    assert ap(scores, truth) == expected


@pytest.mark.parametrize(
    ("scores", "truth", "expected"),
    [
        ([1.0, 1.0, 0.0, 0.0], [1, 1, 0, 0], 0.0),
        ([1.0, 1.0, 0.0, 0.0], [0, 0, 1, 1], 1.0),
        ([0.75] * 4, [1, 1, 1, 0], 0.0),
        ([0.75] * 4, [1, 0, 0, 0], 0.5),
        # bin 8: two posts, mean 0.85, half true → 0.35; bin 1: two posts, mean 0.15, none true → 0.15
        ([0.8, 0.9 - 1e-9, 0.1, 0.2 - 1e-9], [1, 0, 0, 0], 0.25),
        # within one bin too high and too low even out; between bins they do not
        ([0.65, 0.65], [1, 0], 0.15),
        ([0.35, 0.65], [1, 0], 0.65),
        ([1.0], [1], 0.0),  # the last bin holds 1.0
    ],
)
def test_calibration_error(scores: list[float], truth: list[int], expected: float) -> None:
    assert ece(scores, truth) == pytest.approx(expected, abs=1e-4)


class Told:
    """Fits what evaluate asks of a classifier; the text is its own answer: labels with scores."""

    version = "told-1"
    thresholds: ClassVar = {**dict.fromkeys(LABEL_IDS, 0.5), "threat": 0.7}

    def scores(self, texts: Sequence[str]) -> list[dict[str, float]]:
        return [{**dict.fromkeys(LABEL_IDS, 0.1), **json.loads(text)} for text in texts]


def post(labels: Sequence[str], *, kind: str = "", pair: str = "", batch: str = "b", **scores: float) -> LabelledPost:
    return LabelledPost(json.dumps(scores), frozenset(labels), batch, kind, "", pair)


POSTS = (
    post(["insult"], kind="plain", insult=0.9, pair="1"),  # right
    post([], kind="game", pair="1"),  # right, and so is the pair
    post(["insult"], kind="sarcasm", insult=0.4),  # missed
    post([], kind="game", insult=0.6),  # false alarm
    post([], kind="news", threat=0.6),  # under the label's own threshold
    post(["threat"], kind="plain", threat=0.7, pair="2"),  # on the threshold is over it
    post(["threat", "insult"], kind="plain", threat=0.9, insult=0.2, pair="2"),  # one of two: the pair is not right
    post(["distress"], kind="plain", distress=0.9),
    post(["distress"], kind="plain", distress=0.9, suicide_inducement=0.8),  # flagged as a violation
    post(["distress", "insult"], kind="plain", distress=0.9, insult=0.9),  # not only distress
    post([], kind="", pair="1", batch="other"),  # half a pair
)


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    told: Any = Told()
    return evaluate(told, POSTS)


def test_figures_per_label(report: dict[str, Any]) -> None:
    insult = report["labels"]["insult"]
    assert (insult["support"], insult["threshold"]) == (4, 0.5)
    # flagged: 0.9 right, 0.6 wrong, 0.9 right; missed: 0.4, 0.2
    assert (insult["precision"], insult["recall"], insult["f1"]) == (0.6667, 0.5, 0.5714)
    # over 0.9: 2 of 2, twice; over 0.4: 3 of 4; over 0.2: 4 of 5
    assert insult["average_precision"] == round((1 + 1 + 3 / 4 + 4 / 5) / 4, 4)
    threat = report["labels"]["threat"]
    assert (threat["support"], threat["threshold"], threat["precision"], threat["recall"]) == (2, 0.7, 1.0, 1.0)
    obscene = report["labels"]["obscene"]
    assert (obscene["support"], obscene["precision"], obscene["recall"], obscene["f1"]) == (0, 0.0, 0.0, 0.0)
    assert obscene["calibration_error"] == 0.1


def test_figures_over_all(report: dict[str, Any]) -> None:
    # flagged 3 insult + 2 threat + 3 distress + 1 inducement = 9, right of them 7; to be found 4 + 2 + 3 = 9
    assert report["micro"] == {"precision": 0.7778, "recall": 0.7778, "f1": 0.7778}
    assert report["macro_f1"] == round((0.5714 + 1.0 + 1.0) / len(LABEL_IDS), 4)
    assert (report["model"], report["posts"]) == ("told-1", len(POSTS))


def test_what_hurts_people(report: dict[str, Any]) -> None:
    assert report["false_alarms_by_kind"] == {
        "all": {"posts": 4, "rate": 0.25},
        "benign": {"posts": 1, "rate": 0.0},
        "game": {"posts": 2, "rate": 0.5},
        "news": {"posts": 1, "rate": 0.0},
    }
    assert report["recall_by_kind"] == {"plain": {"posts": 6, "rate": 1.0}, "sarcasm": {"posts": 1, "rate": 0.0}}
    assert report["distress_as_violation"] == {"posts": 2, "rate": 0.5}
    assert report["minimal_pairs"] == {"pairs": 2, "both_right": 0.5}


def test_the_table_shows_every_figure(report: dict[str, Any]) -> None:
    shown = table(report)
    for label in LABEL_IDS:
        assert f"| {label} |" in shown
    assert "| insult | 4 | 0.50 | 0.667 | 0.500 | 0.571 [" in shown
    assert "| game | 2 | 0.500 |" in shown
    assert "0.500 of 2; minimal pairs both right: 0.500 of 2" in shown


def test_it_measures_the_path_that_the_worker_uses(checkpoint: Path) -> None:
    classifier = Classifier.load(checkpoint, torch.float32)
    posts = [LabelledPost(text, frozenset(["insult"]), "b", "plain") for text in ("死ね", "今日はいい天気", "a" * 900)]
    report = evaluate(classifier, posts)
    scores = [one["insult"] for one in classifier.scores([post.text for post in posts])]
    assert report["labels"]["insult"]["recall"] == pytest.approx(np.mean([s >= 0.5 for s in scores]), abs=1e-4)
    assert report["labels"]["insult"]["calibration_error"] == ece(scores, [1, 1, 1])
    assert json.loads(json.dumps(report)) == report
