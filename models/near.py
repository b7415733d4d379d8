"""Near-duplicates among posts: Jaccard similarity of character trigrams, exact, without comparing every pair.

Two sets that are alike by t share one of their rarest grams: of n grams, the n − ⌈t n⌉ + 1 rarest suffice to look at.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from math import ceil
from typing import Final

from models.normalize import folded

THRESHOLD: Final = 0.7
LEAST_CHARACTERS: Final = 10  # below, sharing most trigrams says little
_GRAM: Final = 3


def near_duplicates(texts: Sequence[str], threshold: float = THRESHOLD) -> list[tuple[int, int, float]]:
    """Pairs (i, j, similarity) with i < j and similarity ≥ `threshold`, in order; shorter texts must be equal."""
    grams = [_grams(text) for text in texts]
    frequency = Counter(gram for found in grams for gram in found)
    seen: dict[str, list[int]] = defaultdict(list)
    pairs = []
    for j, found in enumerate(grams):
        ranked = sorted(found, key=lambda gram: (frequency[gram], gram))
        prefix = ranked[: len(ranked) - ceil(threshold * len(ranked)) + 1]
        for i in sorted({i for gram in prefix for i in seen[gram]}):
            similarity = len(grams[i] & found) / len(grams[i] | found)
            if similarity >= threshold:
                pairs.append((i, j, similarity))
        for gram in prefix:
            seen[gram].append(j)
    return pairs


def _grams(text: str) -> frozenset[str]:
    read = folded(text)
    if len(read) < LEAST_CHARACTERS:
        return frozenset((read,))
    return frozenset(read[i : i + _GRAM] for i in range(len(read) - _GRAM + 1))
