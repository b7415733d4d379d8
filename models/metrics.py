"""Figures over multi-label scores: precision, recall, F1, average precision, calibration error, bootstrap intervals.

Arrays have shape (posts, labels) unless said otherwise; `truth` and `flagged` are boolean, `scores` are probabilities.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

ROUNDS: Final = 1_000
_BINS: Final = 10
_SEED: Final = 20251124
Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def prf(flagged: Flags, truth: Flags) -> dict[str, float]:
    """Precision, recall and F1 over all cells of the arrays; 0 where there is nothing to divide by."""
    hit = float((flagged & truth).sum())
    precision, recall = hit / max(1.0, float(flagged.sum())), hit / max(1.0, float(truth.sum()))
    f1 = 2 * precision * recall / max(1e-9, precision + recall)
    return {"precision": round(precision, 4), "recall": round(recall, 4), "f1": round(f1, 4)}


def macro_f1(flagged: Flags, truth: Flags) -> float:
    """Mean of the labels' F1, each label weighing the same."""
    return round(float(np.mean([prf(flagged[:, i], truth[:, i])["f1"] for i in range(truth.shape[1])])), 4)


def average_precision(scores: Array, truth: Flags) -> float:
    """Area under one label's precision-recall curve as a step function; equal scores are one step."""
    if not truth.any():
        return 0.0
    over = len(scores) - np.searchsorted(np.sort(scores), scores[truth])  # posts at or over each positive's score
    hits = truth.sum() - np.searchsorted(np.sort(scores[truth]), scores[truth])
    return round(float((hits / over).mean()), 4)


def reliability(scores: Array, truth: Flags) -> list[tuple[float, float, int]]:
    """One label's bins of equal width that hold a post: mean score, share that is true, posts."""
    bins = np.minimum((scores * _BINS).astype(int), _BINS - 1)
    return [
        (float(scores[bins == i].mean()), float(truth[bins == i].mean()), int((bins == i).sum()))
        for i in range(_BINS)
        if (bins == i).any()
    ]


def calibration_error(scores: Array, truth: Flags) -> float:
    """Expected calibration error of one label over bins of equal width."""
    found = reliability(scores, truth)
    return round(sum(posts * abs(mean - true) for mean, true, posts in found) / max(1, len(scores)), 4)


def resampled(flagged: Flags, truth: Flags, rounds: int = ROUNDS) -> tuple[Array, Array, Array]:
    """`rounds` bootstrap resamples of the posts → each label's F1, shape (rounds, labels); micro F1 and the share of
    harmless posts that are flagged, shape (rounds,). Equal numbers of posts are resampled alike, so that two models on
    the same posts can be compared round by round.
    """
    posts = len(truth)
    weights = np.random.default_rng(_SEED).multinomial(posts, np.full(posts, 1 / posts), size=rounds).astype(np.float64)
    hit, raised, wanted = (weights @ cells.astype(np.float64) for cells in (flagged & truth, flagged, truth))
    f1 = 2 * hit / np.maximum(1e-9, raised + wanted)
    micro = 2 * hit.sum(1) / np.maximum(1e-9, raised.sum(1) + wanted.sum(1))
    harmless = ~truth.any(1)
    alarms = weights[:, harmless] @ flagged[harmless].any(1).astype(np.float64)
    return f1, micro, alarms / np.maximum(1e-9, weights[:, harmless].sum(1))


def bounds(rounds: Array) -> list[float]:
    """Where the middle 95 % of the resamples lie: low, high."""
    low, high = np.quantile(rounds, [0.025, 0.975])
    return [round(float(low), 4), round(float(high), 4)]
