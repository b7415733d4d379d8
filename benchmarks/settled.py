"""The posts of one run: each slot's text is flagged by the shipped checkpoint and policy if, and only if, it should be.

A flagged post costs some twenty readings more than another (models.spans), so the share of flagged posts decides what
a classifier's figure means. Other checkpoints flag other posts; drawing again keeps the share whatever is shipped.

    python -m benchmarks.settled --count N --directory DIR --threads N      prints {"file": ..., "sha256": ...}

Needs about one classification of all posts; the result is kept in the directory by the hash of all it rests on.
"""

import argparse
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from benchmarks.posts import Slot, draw, slots

_ATTEMPTS: Final = 10


def settle(wanted: Sequence[Slot], flagged: Callable[[list[str]], list[bool]]) -> tuple[list[str], list[bool]]:
    """A text for each slot and whether it is flagged; after _ATTEMPTS a slot keeps what it has."""
    texts = [draw(slot) for slot in wanted]
    found = flagged(texts)
    for attempt in range(1, _ATTEMPTS):
        wrong = [i for i, slot in enumerate(wanted) if found[i] != slot.harsh]
        if not wrong:
            break
        again = [draw(wanted[i], attempt) for i in wrong]
        for i, text, one in zip(wrong, again, flagged(again), strict=True):
            texts[i], found[i] = text, one
    return texts, found


def main() -> None:
    """Entry of the process that knows torch; the one that measures does not."""
    import torch

    from models.checkpoint import SHIPPED
    from models.classifier import Classifier
    from workers import policy

    parser = argparse.ArgumentParser(description="the posts of one run of the benchmark")
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    classifier = Classifier.load(SHIPPED)
    thresholds = policy.load(None, classifier.thresholds).thresholds

    def flagged(texts: list[str]) -> list[bool]:
        predictions = classifier.classify(texts, thresholds)
        return [any(one.scores[label] >= limit for label, limit in thresholds.items()) for one in predictions]

    wanted = slots(arguments.count)
    rests_on = [classifier.version, sorted(thresholds.items()), [draw(slot) for slot in wanted]]
    key = hashlib.sha256(json.dumps(rests_on).encode()).hexdigest()[:12]
    file = arguments.directory / f"posts-{key}.json"
    if not file.exists():
        texts, found = settle(wanted, flagged)
        content = {"texts": texts, "flagged": found, "model_version": classifier.version}
        file.write_text(json.dumps(content, ensure_ascii=False), "utf-8")
    print(json.dumps({"file": str(file), "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}))


if __name__ == "__main__":
    main()
