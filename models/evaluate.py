"""Measure a checkpoint on labelled posts, through the very path that the worker uses (models.classifier).

Per label: support, precision, recall, F1 at the operating point, average precision, expected calibration error. Over
all: micro and macro F1. Then what hurts people: false alarms by benign kind, distress flagged as a violation, minimal
pairs that are both right. Nothing is tuned here. Intervals are 95 % by bootstrap over posts; they say nothing about
writers that no post comes from.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol

import numpy as np

from models.data import BENIGN_KINDS, LabelledPost
from models.labels import DISTRESS, LABEL_IDS, VIOLATION_IDS
from models.metrics import (
    Array,
    Flags,
    average_precision,
    bounds,
    calibration_error,
    macro_f1,
    prf,
    resampled,
)

_LENGTHS: Final = ((20, "up to 20"), (80, "21–80"), (150, "81–150"))  # characters


class Reader(Protocol):
    """What gives scores for texts: models.classifier.Classifier, or a baseline."""

    @property
    def version(self) -> str: ...

    @property
    def thresholds(self) -> dict[str, float]: ...

    def scores(self, texts: Sequence[str]) -> list[dict[str, float]]: ...


@dataclass(frozen=True, slots=True)
class Scored:
    """What a reader made of posts: scores, what is true and what is flagged, each (posts, labels)."""

    name: str
    posts: Sequence[LabelledPost]
    scores: Array
    truth: Flags
    limits: Array
    seconds: float

    @property
    def flagged(self) -> Flags:
        """At or over the operating point."""
        return self.scores >= self.limits


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure of A and of B, and the bounds of B − A."""

    figure: str
    a: float
    b: float
    low: float
    high: float

    @property
    def real(self) -> bool:
        """More than the noise of these posts: the bounds leave out 0."""
        return self.low > 0 or self.high < 0


def score(reader: Reader, posts: Sequence[LabelledPost]) -> Scored:
    """Read all posts once."""
    started = time.perf_counter()
    scores = reader.scores([post.text for post in posts])
    seconds = time.perf_counter() - started
    return Scored(
        reader.version,
        posts,
        np.array([[one[label] for label in LABEL_IDS] for one in scores]),
        np.array([post.targets for post in posts]) > 0,
        np.array([reader.thresholds[label] for label in LABEL_IDS]),
        seconds,
    )


def evaluate(reader: Reader, posts: Sequence[LabelledPost]) -> dict[str, Any]:
    """The report as plain data."""
    return figures(score(reader, posts))


def figures(scored: Scored) -> dict[str, Any]:
    """All figures of one reading."""
    posts, truth, flagged = scored.posts, scored.truth, scored.flagged
    f1, micro, alarms = resampled(flagged, truth)
    return {
        "model": scored.name,
        "posts": len(posts),
        "posts_per_second": round(len(posts) / scored.seconds, 1),
        "micro": prf(flagged, truth),
        "micro_f1_bounds": bounds(micro),
        "macro_f1": macro_f1(flagged, truth),
        "macro_f1_bounds": bounds(f1.mean(1)),
        "false_alarm_bounds": bounds(alarms),
        "labels": {
            label: {
                "support": int(truth[:, i].sum()),
                "threshold": float(scored.limits[i]),
                **prf(flagged[:, i], truth[:, i]),
                "f1_bounds": bounds(f1[:, i]),
                "average_precision": average_precision(scored.scores[:, i], truth[:, i]),
                "calibration_error": calibration_error(scored.scores[:, i], truth[:, i]),
            }
            for i, label in enumerate(LABEL_IDS)
        },
        "false_alarms_by_kind": _false_alarms(posts, flagged),
        "recall_by_kind": _recall(posts, flagged, truth),
        "by_register": _groups(posts, flagged, truth, lambda post: post.register or "none"),
        "by_length": _groups(posts, flagged, truth, _length),
        "distress_as_violation": _distress_leak(posts, flagged),
        "minimal_pairs": _pairs(posts, flagged, truth),
    }


def compare(a: Scored, b: Scored) -> list[Difference]:
    """B against A on the same posts, resampled together."""
    f1_a, micro_a, alarms_a = resampled(a.flagged, a.truth)
    f1_b, micro_b, alarms_b = resampled(b.flagged, b.truth)
    found = [_difference("micro F1", _micro(a), _micro(b), micro_b - micro_a)]
    macro = macro_f1(a.flagged, a.truth), macro_f1(b.flagged, b.truth)
    found.append(_difference("macro F1", *macro, f1_b.mean(1) - f1_a.mean(1)))
    for i, label in enumerate(LABEL_IDS):
        values = [prf(s.flagged[:, i], s.truth[:, i])["f1"] for s in (a, b)]
        found.append(_difference(f"F1 {label}", values[0], values[1], f1_b[:, i] - f1_a[:, i]))
    harmless = ~a.truth.any(1)
    if harmless.any():
        rates = [float(s.flagged[harmless].any(1).mean()) for s in (a, b)]
        found.append(_difference("false alarms", rates[0], rates[1], alarms_b - alarms_a))
    return found


def _micro(scored: Scored) -> float:
    return prf(scored.flagged, scored.truth)["f1"]


def _difference(figure: str, a: float, b: float, rounds: Array) -> Difference:
    low, high = bounds(rounds)
    return Difference(figure, round(a, 4), round(b, 4), low, high)


def comparison(a: Scored, b: Scored) -> dict[str, Any]:
    """`compare` as plain data, with a verdict on micro F1."""
    differences = compare(a, b)
    first = differences[0]
    better = b.name if first.b > first.a else a.name
    verdict = f"{better} is better" if first.real else "no difference beyond the noise of these posts"
    rows = [asdict(difference) | {"real": difference.real} for difference in differences]
    return {"a": a.name, "b": b.name, "posts": len(a.posts), "verdict": verdict, "figures": rows}


def _length(post: LabelledPost) -> str:
    return next((name for longest, name in _LENGTHS if len(post.text) <= longest), "over 150")


def _groups(
    posts: Sequence[LabelledPost], flagged: Flags, truth: Flags, key: Callable[[LabelledPost], str]
) -> dict[str, dict[str, float]]:
    """Micro figures and false alarms for each group of posts."""
    rows: dict[str, list[int]] = defaultdict(list)
    for i, post in enumerate(posts):
        rows[key(post)].append(i)
    found = {}
    for name, chosen in sorted(rows.items()):
        harmless = ~truth[chosen].any(1)
        alarms = float(flagged[chosen][harmless].any(1).mean()) if harmless.any() else 0.0
        found[name] = {"posts": len(chosen), **prf(flagged[chosen], truth[chosen]), "false_alarms": round(alarms, 4)}
    return found


def _false_alarms(posts: Sequence[LabelledPost], flagged: Flags) -> dict[str, dict[str, float]]:
    groups: dict[str, list[int]] = defaultdict(list)
    for i, post in enumerate(posts):
        if not post.labels:
            groups[post.kind or "benign"].append(i)
            groups["all"].append(i)
    return {
        kind: {"posts": len(rows), "rate": round(float(flagged[rows].any(axis=1).mean()), 4)}
        for kind, rows in sorted(groups.items())
    }


def _recall(posts: Sequence[LabelledPost], flagged: Flags, truth: Flags) -> dict[str, dict[str, float]]:
    """Share of posts with labels of which at least one right label was flagged."""
    groups: dict[str, list[int]] = defaultdict(list)
    for i, post in enumerate(posts):
        if post.labels and post.kind not in BENIGN_KINDS:
            groups[post.kind or "labelled"].append(i)
    return {
        kind: {"posts": len(rows), "rate": round(float((flagged & truth)[rows].any(axis=1).mean()), 4)}
        for kind, rows in sorted(groups.items())
    }


def _distress_leak(posts: Sequence[LabelledPost], flagged: Flags) -> dict[str, float]:
    """Posts whose only label is distress, flagged with any violation."""
    columns = [LABEL_IDS.index(label) for label in VIOLATION_IDS]
    rows = [i for i, post in enumerate(posts) if post.labels == {DISTRESS}]
    rate = float(flagged[rows][:, columns].any(axis=1).mean()) if rows else 0.0
    return {"posts": len(rows), "rate": round(rate, 4)}


def _pairs(posts: Sequence[LabelledPost], flagged: Flags, truth: Flags) -> dict[str, float]:
    """Minimal pairs: both posts get exactly their labels."""
    pairs: dict[tuple[str, str], list[int]] = defaultdict(list)
    for i, post in enumerate(posts):
        if post.pair:
            pairs[post.batch, post.pair].append(i)
    whole = [rows for rows in pairs.values() if len(rows) == 2]
    right = [bool((flagged[rows] == truth[rows]).all()) for rows in whole]
    return {"pairs": len(whole), "both_right": round(float(np.mean(right)), 4) if whole else 0.0}
