"""What a larger, fine-tuned model says of each post, as targets for a smaller one.

A label is yes or no; the teacher's probabilities also tell which harmless post nearly is an insult, and they can be had
for posts that nobody labelled.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tqdm import tqdm

from models.classifier import Classifier
from models.labels import LABEL_IDS

_AT_ONCE: Final = 512


@dataclass(frozen=True, slots=True)
class Teaching:
    """A checkpoint directory to learn from, and posts without labels that it is asked about as well."""

    teacher: Path
    unlabelled: Sequence[str] = ()


def scores(teacher: Path, texts: Sequence[str]) -> list[list[float]]:
    """The teacher's calibrated probabilities, (texts, labels) in the labels' order."""
    reader = Classifier.load(teacher)
    found: list[list[float]] = []
    for start in tqdm(range(0, len(texts), _AT_ONCE), desc="teacher", mininterval=5):
        found += [[one[label] for label in LABEL_IDS] for one in reader.scores(texts[start : start + _AT_ONCE])]
    return found


def mixed(hard: Sequence[Sequence[float]], soft: Sequence[Sequence[float]], share: float) -> list[list[float]]:
    """Targets of which `share` is the teacher's; both (posts, labels)."""
    return [
        [(1 - share) * own + share * told for own, told in zip(theirs, taught, strict=True)]
        for theirs, taught in zip(hard, soft, strict=True)
    ]
