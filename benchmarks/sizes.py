"""How many posts each part of a run gets."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Size:
    """`posts` are the same for all parts; `policy` and `by_hand` (a count for each loop) are the first of them.

    `more` are other posts, for warming up, latency and recovery. `paced_seconds` is how long each load lasts.
    """

    posts: int
    more: int
    policy: int
    warm_up: int
    paced_seconds: float
    by_hand: dict[str, int]


FULL: Final = Size(
    posts=3_000,
    more=6_000,
    policy=2_000,
    warm_up=512,
    paced_seconds=20.0,
    by_hand={"same_one": 400, "same_batch": 480, "base_one": 64, "base_batch": 96},
)
QUICK: Final = Size(
    posts=192,
    more=192,
    policy=128,
    warm_up=32,
    paced_seconds=4.0,
    by_hand={"same_one": 8, "same_batch": 48, "base_one": 2, "base_batch": 8},
)
