"""The unlabelled corpora that distillation reads, by name, and how often each is read.

Training only. The texts are not part of the project; docs/training.md says where each comes from.
"""

import gzip
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

# Times a line of the corpus is read in one full pass: the rough, short registers of real boards and chats weigh
# most, since those are what posts look like; literature and captions keep the vocabulary broad.
SHARES: Final[dict[str, float]] = {
    "open2ch_ranking": 3.0,
    "mrmp_chat": 1.0,
    "real_persona_chat": 0.2,
    "jglue": 0.6,
    "jcommonsensemorality": 2.0,
    "jcola": 0.5,
    "aozora_sample": 0.2,
}
# Utterances of friendly chat that fine-tuning takes for benign (models.data.assumed_benign).
ASSUMED_BENIGN: Final[dict[str, int]] = {"mrmp_chat": 900, "real_persona_chat": 700}
# Posts of the board, beside the labelled ones, that a teacher is asked about (models.soft).
UNLABELLED: Final = 8_000
_LONGEST_LINE: Final = 400  # characters; a line beyond it is cut, the sequence would be cut anyway


class CorpusMissing(FileNotFoundError):
    """A corpus named in SHARES is not in the directory."""


def read(directory: Path, name: str) -> list[str]:
    """All lines of one corpus."""
    path = directory / f"{name}.txt.gz"
    if not path.is_file():
        raise CorpusMissing(f"{path} is missing; docs/training.md says how to get it")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [line.rstrip("\n")[:_LONGEST_LINE] for line in lines if line.strip()]


def mixture(directory: Path, seed: int) -> list[str]:
    """One pass over all corpora in their shares, shuffled by `seed`."""
    rng = random.Random(seed)
    lines: list[str] = []
    for name, share in SHARES.items():
        corpus = read(directory, name)
        whole, part = divmod(share, 1.0)
        lines += corpus * int(whole)
        lines += rng.sample(corpus, int(part * len(corpus)))
    rng.shuffle(lines)
    return lines


def batches_by_length(lines: list[str], size: int, window: int, seed: int) -> Iterator[list[str]]:
    """Batches of lines alike in length: sorted within windows of `window` batches, batches of a window shuffled."""
    rng = random.Random(seed)
    for start in range(0, len(lines), size * window):
        chunk = sorted(lines[start : start + size * window], key=len)
        batches = [chunk[i : i + size] for i in range(0, len(chunk), size)]
        rng.shuffle(batches)
        yield from batches
