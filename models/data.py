"""Labelled posts: reading, checking, splitting by author-batch.

JSON lines with `text`, `labels`, and for the shipped posts `kind`, `register` and, on minimal pairs, `pair`. A file is
one author-batch: its posts never stand on two sides of a split, since one writer's habits would leak. Errors name the
file and the line, never the text.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

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
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {type(error).__name__}") from None
    return [_post(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]


def read(path: Path) -> list[LabelledPost]:
    """One file, or every *.jsonl of a directory in order of name."""
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    if not files:
        raise DataError(f"{path}: no .jsonl file in it")
    return [post for file in files for post in read_file(file)]


def _post(path: Path, number: int, line: str) -> LabelledPost:
    where = f"{path}:{number}"
    try:
        found = json.loads(line)
    except ValueError:
        raise DataError(f"{where}: not JSON") from None
    if not isinstance(found, dict) or not isinstance(found.get("text"), str) or not found["text"].strip():
        raise DataError(f"{where}: `text` must be a string that is not empty")
    labels = found.get("labels")
    if not isinstance(labels, list) or any(label not in LABEL_IDS for label in labels):
        raise DataError(f"{where}: `labels` must be a list of {', '.join(LABEL_IDS)}")
    for field, known in (("kind", KINDS), ("register", REGISTERS)):
        if field in found and found[field] not in known:
            raise DataError(f"{where}: `{field}` must be one of {', '.join(sorted(known))}")
    kind = found.get("kind", "")
    if kind and bool(labels) == (kind in BENIGN_KINDS):
        raise DataError(f"{where}: `kind` {kind} does not go with labels {labels}")
    return LabelledPost(
        found["text"], frozenset(labels), path.stem, kind, found.get("register", ""), str(found.get("pair", ""))
    )


def read_real(labels: Path, texts: Sequence[str]) -> list[LabelledPost]:
    """Real board posts: their labels are kept here by the SHA-256 of the text, the texts in the corpus they come from.

    A third, chosen by hash, is for testing; texts that no label is known for are left out.
    """
    by_hash = {hashlib.sha256(text.encode()).hexdigest(): text for text in texts}
    posts = []
    for number, line in enumerate(labels.read_text("utf-8").splitlines(), 1):
        found = json.loads(line)
        if any(label not in LABEL_IDS for label in found["labels"]):
            raise DataError(f"{labels}:{number}: `labels` must be a list of {', '.join(LABEL_IDS)}")
        text = by_hash.get(found["sha256"])
        if text is not None:
            batch = "real-test" if int(found["sha256"], 16) % 3 == 0 else "real-train"
            kind = "" if found["labels"] else "plain_chat"
            posts.append(LabelledPost(text, frozenset(found["labels"]), batch, kind, "board"))
    return posts


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
