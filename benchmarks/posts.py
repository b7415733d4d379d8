"""Synthetic posts with the lengths of real board posts: median 20 characters, 95th percentile 80, one in 33 harsh.

Text is cut from this repository's labelled posts (models/data), so that words, spellings and tokens are those of
people. A slot is a place in the stream: its length and whether it is harsh follow from the seed alone; `draw` gives a
text for it, and another one at each further attempt. Whether a text is in fact flagged is the checkpoint's to say:
benchmarks.settled draws again until it is as its slot wants it. Nothing here reads the network or the clock.
"""

import math
import random
import re
from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Final

from models import data

MEDIAN: Final = 20  # characters
PERCENTILE_95: Final = 80
LONGEST: Final = 400
ONE_HARSH_IN: Final = 33  # 3 %
_SIGMA: Final = math.log(PERCENTILE_95 / MEDIAN) / 1.645  # log-normal through both quantiles
_SHORTEST: Final = 2
_NEAREST: Final = 40  # harsh posts of about the wanted length to choose from
# Files are named, so that posts written later leave the benchmark as it is.
_BENIGN_FILES: Final = re.compile(r"(light|wave2-ben|wave3-benign|wave4-\w+|wave6-(board|life2?))-[a-h]")
_HARSH_FILES: Final = re.compile(r"(defamation|distress|inducement|insult|other|wave2-\w+|wave3-\w+)-[a-h]")
_BENIGN_KINDS: Final = frozenset("plain_chat fair_criticism game hyperbole news rough_friendly look_alike".split())
# Of a board's harsh posts nearly all are insults (domain.md); graver ones must occur for their records to cost.
_HARSH_SHARES: Final = {
    "insult": 70,
    "defamation": 12,
    "distress": 6,
    "privacy": 3,
    "threat": 3,
    "suicide_inducement": 2,
    "crime_aid": 2,
    "obscene": 2,
}
_PIECE: Final = re.compile(r"[。！？!?、…\s]+")


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in the stream of posts. `length` in characters."""

    number: int
    length: int
    harsh: bool


@dataclass(frozen=True, slots=True)
class _Source:
    benign: list[str]
    harsh: dict[str, list[str]]  # by label, shortest first


@cache
def _source() -> _Source:
    posts = data.read(data.SHIPPED)
    harsh: dict[str, list[str]] = defaultdict(list)
    for post in posts:
        if len(post.labels) == 1 and _HARSH_FILES.fullmatch(post.batch):
            harsh[next(iter(post.labels))].append(post.text)
    benign = [p.text for p in posts if p.kind in _BENIGN_KINDS and _BENIGN_FILES.fullmatch(p.batch)]
    return _Source(benign, {label: sorted(harsh[label], key=lambda text: (len(text), text)) for label in _HARSH_SHARES})


def slots(count: int, seed: int = 7) -> list[Slot]:
    """The first `count` slots; more of them begin with the same ones."""
    found = []
    for number in range(count):
        rng = random.Random(f"{seed}/{number}")
        length = round(math.exp(rng.gauss(math.log(MEDIAN), _SIGMA)))
        harsh_place = random.Random(f"{seed}/harsh/{number // ONE_HARSH_IN}").randrange(ONE_HARSH_IN)
        harsh = number % ONE_HARSH_IN == harsh_place
        found.append(Slot(number, max(_SHORTEST, min(LONGEST, length)), harsh))
    return found


def draw(slot: Slot, attempt: int = 0, seed: int = 7) -> str:
    """A text for the slot: the same for the same arguments. A harsh one is whole and only about as long as wanted."""
    rng = random.Random(f"{seed}/{slot.number}/{attempt}")
    return _harsh(slot, rng) if slot.harsh else _benign(slot, rng)


def _harsh(slot: Slot, rng: random.Random) -> str:
    limits = list(accumulate(_HARSH_SHARES.values()))
    label = list(_HARSH_SHARES)[bisect_left(limits, rng.random() * limits[-1])]
    texts = _source().harsh[label]
    middle = bisect_left(texts, slot.length, key=len)
    start = max(0, min(middle - _NEAREST // 2, len(texts) - _NEAREST))
    return rng.choice(texts[start : start + _NEAREST])


def _benign(slot: Slot, rng: random.Random) -> str:
    """From the start of some clause on, other posts after it as needed, cut to length."""
    text = ""
    while len(text) < slot.length:
        post = rng.choice(_source().benign)
        starts = [0, *(found.end() for found in _PIECE.finditer(post) if found.end() < len(post))]
        text += (" " if text else "") + post[rng.choice(starts) :]
    return text[: slot.length]
