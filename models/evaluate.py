"""Measure a checkpoint on labelled posts, through the very path that the worker uses (models.classifier).

Per label: support, precision, recall, F1 at the operating point, average precision, expected calibration error. Over
all: micro and macro F1. Then what hurts people: false alarms by benign kind, distress flagged as a violation, minimal
pairs that are both right. Nothing is tuned here.
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.classifier import Classifier
from models.data import BENIGN_KINDS, LabelledPost
from models.labels import DISTRESS, LABEL_IDS, VIOLATION_IDS

_BINS: Final = 10
Array = npt.NDArray[np.float64]


def evaluate(classifier: Classifier, posts: Sequence[LabelledPost]) -> dict[str, Any]:
    """The report as plain data."""
    started = time.perf_counter()
    predictions = classifier.classify([post.text for post in posts])
    seconds = time.perf_counter() - started
    scores = np.array([[p.scores[label] for label in LABEL_IDS] for p in predictions])
    truth = np.array([post.targets for post in posts]) > 0
    limits = np.array([classifier.checkpoint.thresholds[label] for label in LABEL_IDS])
    flagged = scores >= limits
    return {
        "model": classifier.version,
        "posts": len(posts),
        "posts_per_second": round(len(posts) / seconds, 1),
        "micro": _prf(flagged, truth),
        "macro_f1": _mean([_prf(flagged[:, i], truth[:, i])["f1"] for i in range(len(LABEL_IDS))]),
        "labels": {
            label: {
                "support": int(truth[:, i].sum()),
                "threshold": float(limits[i]),
                **_prf(flagged[:, i], truth[:, i]),
                "average_precision": average_precision(scores[:, i], truth[:, i]),
                "calibration_error": calibration_error(scores[:, i], truth[:, i]),
            }
            for i, label in enumerate(LABEL_IDS)
        },
        "false_alarms_by_kind": _false_alarms(posts, flagged),
        "recall_by_kind": _recall(posts, flagged, truth),
        "distress_as_violation": _distress_leak(posts, flagged),
        "minimal_pairs": _pairs(posts, flagged, truth),
    }


def _mean(values: list[float]) -> float:
    return round(float(np.mean(values)), 4)


def _prf(flagged: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> dict[str, float]:
    hit = float((flagged & truth).sum())
    precision, recall = hit / max(1.0, float(flagged.sum())), hit / max(1.0, float(truth.sum()))
    f1 = 2 * precision * recall / max(1e-9, precision + recall)
    return {"precision": round(precision, 4), "recall": round(recall, 4), "f1": round(f1, 4)}


def average_precision(scores: Array, truth: npt.NDArray[np.bool_]) -> float:
    """Area under the precision-recall curve as a step function; equal scores are one step, whatever their order."""
    if not truth.any():
        return 0.0
    over = len(scores) - np.searchsorted(np.sort(scores), scores[truth])  # posts at or over each positive's score
    hits = truth.sum() - np.searchsorted(np.sort(scores[truth]), scores[truth])
    return round(float((hits / over).mean()), 4)


def calibration_error(scores: Array, truth: npt.NDArray[np.bool_]) -> float:
    """Expected calibration error over equal-width bins."""
    bins = np.minimum((scores * _BINS).astype(int), _BINS - 1)
    error = 0.0
    for i in range(_BINS):
        inside = bins == i
        if inside.any():
            error += inside.mean() * abs(float(scores[inside].mean()) - float(truth[inside].mean()))
    return round(error, 4)


def _false_alarms(posts: Sequence[LabelledPost], flagged: npt.NDArray[np.bool_]) -> dict[str, dict[str, float]]:
    groups: dict[str, list[int]] = defaultdict(list)
    for i, post in enumerate(posts):
        if not post.labels:
            groups[post.kind or "benign"].append(i)
            groups["all"].append(i)
    return {
        kind: {"posts": len(rows), "rate": round(float(flagged[rows].any(axis=1).mean()), 4)}
        for kind, rows in sorted(groups.items())
    }


def _recall(
    posts: Sequence[LabelledPost], flagged: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]
) -> dict[str, dict[str, float]]:
    """Share of posts with labels of which at least one right label was flagged."""
    groups: dict[str, list[int]] = defaultdict(list)
    for i, post in enumerate(posts):
        if post.labels and post.kind not in BENIGN_KINDS:
            groups[post.kind or "labelled"].append(i)
    return {
        kind: {"posts": len(rows), "rate": round(float((flagged & truth)[rows].any(axis=1).mean()), 4)}
        for kind, rows in sorted(groups.items())
    }


def _distress_leak(posts: Sequence[LabelledPost], flagged: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Posts whose only label is distress, flagged with any violation."""
    columns = [LABEL_IDS.index(label) for label in VIOLATION_IDS]
    rows = [i for i, post in enumerate(posts) if post.labels == {DISTRESS}]
    rate = float(flagged[rows][:, columns].any(axis=1).mean()) if rows else 0.0
    return {"posts": len(rows), "rate": round(rate, 4)}


def _pairs(
    posts: Sequence[LabelledPost], flagged: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]
) -> dict[str, float]:
    """Minimal pairs: both posts get exactly their labels."""
    pairs: dict[tuple[str, str], list[int]] = defaultdict(list)
    for i, post in enumerate(posts):
        if post.pair:
            pairs[post.batch, post.pair].append(i)
    whole = [rows for rows in pairs.values() if len(rows) == 2]
    right = [bool((flagged[rows] == truth[rows]).all()) for rows in whole]
    return {"pairs": len(whole), "both_right": round(float(np.mean(right)), 4) if whole else 0.0}


def table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    lines = [
        f"model {report['model']}, {report['posts']} posts, {report['posts_per_second']} posts/s",
        "",
        "| label | posts | threshold | precision | recall | F1 | AP | ECE |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for label, row in report["labels"].items():
        lines.append(
            f"| {label} | {row['support']} | {row['threshold']:.2f} | {row['precision']:.3f} | {row['recall']:.3f} "
            f"| {row['f1']:.3f} | {row['average_precision']:.3f} | {row['calibration_error']:.3f} |"
        )
    micro = report["micro"]
    lines += [
        f"| micro | | | {micro['precision']:.3f} | {micro['recall']:.3f} | {micro['f1']:.3f} | | |",
        f"| macro | | | | | {report['macro_f1']:.3f} | | |",
        "",
        "| benign kind | posts | false alarms |",
        "| --- | --- | --- |",
    ]
    lines += [f"| {k} | {v['posts']} | {v['rate']:.3f} |" for k, v in report["false_alarms_by_kind"].items()]
    lines += ["", "| kind of violation or distress | posts | found |", "| --- | --- | --- |"]
    lines += [f"| {k} | {v['posts']} | {v['rate']:.3f} |" for k, v in report["recall_by_kind"].items()]
    leak, pairs = report["distress_as_violation"], report["minimal_pairs"]
    lines += [
        "",
        f"distress flagged as a violation: {leak['rate']:.3f} of {leak['posts']}; "
        f"minimal pairs both right: {pairs['both_right']:.3f} of {pairs['pairs']}",
    ]
    return "\n".join(lines)
