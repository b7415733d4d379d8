"""Labelled posts: reading, checking, splitting by author-batch.

JSON lines with `text`, `labels`, and for the shipped posts `kind`, `register` and, on minimal pairs, `pair`. A file is
one author-batch: its posts never stand on two sides of a split, since one writer's habits would leak. Errors name the
file and the line, never the text.
"""

import hashlib
import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from models.labels import LABEL_IDS

SHIPPED: Final = Path(__file__).parent / "data" / "posts"
REAL: Final = Path(__file__).parent / "data" / "real.jsonl"
SPLITS: Final = Path(__file__).parent / "data" / "splits.json"
Split = Literal["train", "validation", "test"]

BENIGN_KINDS: Final = frozenset(
    "fair_criticism hyperbole game quote_condemn victim_report prevention news law_talk self_deprecation look_alike "
    "rough_friendly plain_chat help_offer".split()
)
KINDS: Final = BENIGN_KINDS | set("plain short long evasion hearsay sarcasm buried indirect".split())
REGISTERS: Final = frozenset("polite rude dialect board teen business elderly".split())


class DataError(ValueError):
    """A data file is not as described; the message names file and line."""


@dataclass(frozen=True, slots=True)
class LabelledPost:
    """One post with its labels; `batch` is the file it came from."""

    text: str
    labels: frozenset[str]
    batch: str
    kind: str = ""
    register: str = ""
    pair: str = ""

    @property
    def targets(self) -> list[float]:
        """1.0 for each label it carries, in the labels' order."""
        return [float(label in self.labels) for label in LABEL_IDS]


def read_file(path: Path) -> list[LabelledPost]:
    """All posts of one file."""
    return [_post(path, number, line) for number, line in _lines(path)]


def _lines(path: Path) -> list[tuple[int, str]]:
    """Numbered lines that are not blank. Only \\n ends one: U+2028 and its like may stand inside a JSON string."""
    try:
        lines = path.read_text("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {type(error).__name__}") from None
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]


def read(path: Path) -> list[LabelledPost]:
    """One file, or every *.jsonl of a directory in order of name."""
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    if not files:
        raise DataError(f"{path}: no .jsonl file in it")
    posts = [post for file in files for post in read_file(file)]
    if not posts:
        raise DataError(f"{path}: no post in it")
    return posts


def _post(path: Path, number: int, line: str) -> LabelledPost:
    where = f"{path}:{number}"
    found = _object(where, line)
    if not isinstance(found.get("text"), str) or not found["text"].strip():
        raise DataError(f"{where}: `text` must be a string that is not empty")
    labels = _labels(where, found)
    for field, known in (("kind", KINDS), ("register", REGISTERS)):
        if field in found and not (isinstance(found[field], str) and found[field] in known):
            raise DataError(f"{where}: `{field}` must be one of {', '.join(sorted(known))}")
    kind = found.get("kind", "")
    if kind and bool(labels) == (kind in BENIGN_KINDS):
        raise DataError(f"{where}: `kind` {kind} does not go with labels {labels}")
    return LabelledPost(
        found["text"], frozenset(labels), path.stem, kind, found.get("register", ""), str(found.get("pair", ""))
    )


def _object(where: str, line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise DataError(f"{where}: not JSON") from None
    if not isinstance(found, dict):
        raise DataError(f"{where}: not a JSON object")
    return found


def _labels(where: str, found: dict[str, Any]) -> list[str]:
    labels = found.get("labels")
    if not isinstance(labels, list) or any(label not in LABEL_IDS for label in labels):
        raise DataError(f"{where}: `labels` must be a list of {', '.join(LABEL_IDS)}")
    return labels


def read_real(labels: Path, texts: Sequence[str]) -> list[LabelledPost]:
    """Real board posts: their labels are kept here by the SHA-256 of the text, the texts in the corpus they come from.

    By hash, of six two are for testing, one for validation; texts that no label is known for are left out.
    """
    by_hash = {hashlib.sha256(text.encode()).hexdigest(): text for text in texts}
    posts = []
    for number, line in _lines(labels):
        found = _object(f"{labels}:{number}", line)
        carried = _labels(f"{labels}:{number}", found)
        digest = found.get("sha256")
        if not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{64}", digest):
            raise DataError(f"{labels}:{number}: `sha256` must be 64 hexadecimal digits")
        text = by_hash.get(digest)
        if text is not None:
            kind = "" if carried else "plain_chat"
            posts.append(LabelledPost(text, frozenset(carried), _real_part(digest), kind, "board"))
    return posts


def assumed_benign(name: str, texts: Sequence[str], count: int, seed: int) -> list[LabelledPost]:
    """Utterances of a corpus of friendly chat, which nobody labelled and which are taken for benign.

    A fifth is for validation. They teach what plain chat looks like; no figure is measured on them.
    """
    chosen = random.Random(seed).sample(list(texts), min(count, len(texts)))
    cut = len(chosen) // 5
    return [
        LabelledPost(text, frozenset(), f"{name}-{'validation' if i < cut else 'train'}", "plain_chat")
        for i, text in enumerate(chosen)
    ]


def unlabelled(texts: Sequence[str], known: Path, count: int, seed: int) -> list[str]:
    """`count` texts that the file `known` has no label for and that would neither validate nor test (read_real)."""
    labelled = {json.loads(line)["sha256"] for _, line in _lines(known)}
    digests = ((hashlib.sha256(text.encode()).hexdigest(), text) for text in dict.fromkeys(texts))
    free = [text for digest, text in digests if digest not in labelled and _real_part(digest) == "real-train"]
    return random.Random(seed).sample(free, min(count, len(free)))


def _real_part(digest: str) -> str:
    part = int(digest, 16) % 6
    return "real-test" if part < 2 else "real-validation" if part == 2 else "real-train"


def split_of(batch: str) -> Split:
    """The shipped posts' split of an author-batch; batches not named are for training."""
    splits = json.loads(SPLITS.read_text("utf-8"))
    if batch in splits["test"]:
        return "test"
    return "validation" if batch in splits["validation"] else "train"


def select(posts: Sequence[LabelledPost], split: Split) -> list[LabelledPost]:
    """The posts of one split."""
    batches = {batch: split_of(batch) for batch in {post.batch for post in posts}}
    return [post for post in posts if batches[post.batch] == split]
