"""Do the spans carry the decision? Without them the score must fall, and by more than without as much elsewhere.

For each flagged label of each post: the text without the label's spans, and the text without as many characters in as
many pieces at random places. Both are read again, whole.
"""

import random
from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np

from models.classifier import Prediction

_TRIES: Final = 3  # random removals a span set is held against


class Reader(Protocol):
    """models.classifier.Classifier."""

    def classify(self, texts: Sequence[str]) -> list[Prediction]: ...

    def scores(self, texts: Sequence[str]) -> list[dict[str, float]]: ...


def deletion_test(reader: Reader, texts: Sequence[str], seed: int = 1) -> dict[str, float]:
    """Mean fall of the score without the spans and without random pieces; the share of cases where the first is more.

    Cases whose spans are the whole text say nothing and are left out.
    """
    rng = random.Random(seed)
    cases: list[tuple[str, float, str, list[str]]] = []
    for text, prediction in zip(texts, reader.classify(texts), strict=True):
        for label in sorted({span.label for span in prediction.spans}):
            spans = sorted((span.start, span.end) for span in prediction.spans if span.label == label)
            rest = _without(text, spans)
            if rest.strip():
                others = [_without(text, _elsewhere(rng, len(text), spans)) for _ in range(_TRIES)]
                cases.append((label, prediction.scores[label], rest, others))
    if not cases:
        return {"cases": 0, "drop": 0.0, "random_drop": 0.0, "more_than_random": 0.0}
    read = reader.scores([text for _, _, rest, others in cases for text in (rest, *others)])
    drops, random_drops = [], []
    for i, (label, score, _, _) in enumerate(cases):
        first, *others_read = read[i * (_TRIES + 1) : (i + 1) * (_TRIES + 1)]
        drops.append(score - first[label])
        random_drops.append(score - float(np.mean([one[label] for one in others_read])))
    more = np.array(drops) > np.array(random_drops)
    return {
        "cases": len(cases),
        "drop": round(float(np.mean(drops)), 4),
        "random_drop": round(float(np.mean(random_drops)), 4),
        "more_than_random": round(float(more.mean()), 4),
    }


def _without(text: str, ranges: Sequence[tuple[int, int]]) -> str:
    kept, position = [], 0
    for start, end in ranges:
        kept.append(text[position:start])
        position = max(position, end)
    return "".join([*kept, text[position:]])


def _elsewhere(rng: random.Random, length: int, ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """As many pieces of the same lengths, in any order, with random gaps between them."""
    sizes = [end - start for start, end in ranges]
    rng.shuffle(sizes)
    room = length - sum(sizes)
    cuts = sorted(rng.randint(0, room) for _ in sizes)
    found, taken = [], 0
    for cut, size in zip(cuts, sizes, strict=True):
        found.append((cut + taken, cut + taken + size))
        taken += size
    return found
