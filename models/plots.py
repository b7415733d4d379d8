"""Plots of one reading as SVG: precision against recall, reliability, and what is flagged by kind of post.

Needs matplotlib (extra `train`). No date and no random id goes into a file: the same figures give the same bytes.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from models.evaluate import Scored
from models.labels import LABEL_IDS
from models.metrics import reliability

_COLUMNS: Final = 4
_LEAST_POSTS: Final = 5  # a bin of fewer says nothing


def write(directory: Path, scored: Scored) -> list[str]:
    """Draw all plots into `directory`; their file names."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "mimamori"
    names = []
    for name, draw in (
        ("precision-recall.svg", _precision_recall),
        ("reliability.svg", _reliability),
        ("confusion.svg", _confusion),
    ):
        figure = draw(scored)
        figure.savefig(directory / name, metadata={"Date": None}, bbox_inches="tight")
        names.append(name)
    return names


def _grid(draw: Callable[[Any, int], None], x: str, y: str) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6))
    for i, label in enumerate(LABEL_IDS):
        axes = figure.add_subplot(-(-len(LABEL_IDS) // _COLUMNS), _COLUMNS, i + 1)
        axes.set(title=label, xlim=(0, 1), ylim=(0, 1.02), xlabel=x, ylabel=y)
        draw(axes, i)
    figure.tight_layout()
    return figure


def _precision_recall(scored: Scored) -> Any:
    def draw(axes: Any, i: int) -> None:
        truth = scored.truth[:, i]
        order = np.argsort(-scored.scores[:, i], kind="stable")
        hits = np.cumsum(truth[order])
        axes.plot(hits / max(1, int(truth.sum())), hits / np.arange(1, len(hits) + 1), lw=1)
        flagged = scored.flagged[:, i]
        hit = int((flagged & truth).sum())
        axes.plot([hit / max(1, int(truth.sum()))], [hit / max(1, int(flagged.sum()))], "o")

    return _grid(draw, "recall", "precision")


def _reliability(scored: Scored) -> Any:
    def draw(axes: Any, i: int) -> None:
        bins = [b for b in reliability(scored.scores[:, i], scored.truth[:, i]) if b[2] >= _LEAST_POSTS]
        axes.plot([0, 1], [0, 1], color="0.7", lw=1)
        axes.plot([mean for mean, _, _ in bins], [true for _, true, _ in bins], "o-", lw=1, ms=3)

    return _grid(draw, "score", "share that is true")


def _confusion(scored: Scored) -> Any:
    """Rows: what a post is (its benign kind, or its label); columns: what is flagged; cells: share of the row."""
    from matplotlib.figure import Figure

    rows: dict[str, list[int]] = {}
    for i, post in enumerate(scored.posts):
        for name in sorted(post.labels) or [f"({post.kind or 'benign'})"]:
            rows.setdefault(name, []).append(i)
    names = [name for name in LABEL_IDS if name in rows] + sorted(name for name in rows if name.startswith("("))
    shares = np.array([scored.flagged[rows[name]].mean(axis=0) for name in names])
    figure = Figure(figsize=(9, 0.4 * len(names) + 2))
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(LABEL_IDS)), LABEL_IDS, rotation=40, ha="right")
    axes.set_yticks(range(len(names)), [f"{name} {len(rows[name])}" for name in names])
    for y, row in enumerate(shares):
        for x, share in enumerate(row):
            if share >= 0.005:
                axes.text(x, y, f"{share:.2f}", ha="center", va="center", fontsize=7, color="w" if share > 0.6 else "k")
    return figure
