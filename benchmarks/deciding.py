"""The policy's part: how long deciding takes beside classifying, post by post, without Kafka.

    python -m benchmarks.deciding --posts FILE --count N --threads N

The worker's own pipeline runs over rows in memory, with a stopwatch around the classifier and around `decide_post`.
`classifier` is the classifier alone; `judging` what the pipeline adds to it in the executor (checking scores, signs
that it may be now); `decoding` step 2; `decide` the pure decision; `rows` the rest of step 4: reading, applying and
encoding rows. Milliseconds a post; prints JSON.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final
from unittest import mock

import torch

from benchmarks.apart import read_texts
from benchmarks.bare import WARM_UP, Bare
from benchmarks.records import AUTHORS_OF_A_PARTITION, post_record
from models.classifier import Classifier, Prediction
from workers.agents import SUB_BATCH
from workers.decide import Context, decide_post
from workers.events import Topic
from workers.pipeline import Decoded, Incoming, Pipeline
from workers.policy import load

_PARTITION: Final = 0
_MINUTE_MS: Final = 60_000


class Stopwatch:
    """Sums the seconds that calls of one function took."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.seconds = 0.0

    def __call__(self, *arguments: Any, **more: Any) -> Any:
        started = time.perf_counter()
        try:
            return self._function(*arguments, **more)
        finally:
            self.seconds += time.perf_counter() - started


class Rows:
    """Fits workers.forget.Rows."""

    def __init__(self) -> None:
        self._rows: dict[tuple[int, str], bytes] = {}

    def get(self, partition: int, key: str) -> bytes | None:
        """None where there is no such row."""
        return self._rows.get((partition, key))

    def put(self, partition: int, key: str, value: bytes) -> None:
        """Write a row."""
        self._rows[partition, key] = value

    def delete(self, partition: int, key: str) -> None:
        """Remove a row, if there."""
        self._rows.pop((partition, key), None)


class Timed:
    """Fits workers.pipeline.Classifier."""

    def __init__(self, classifier: Classifier) -> None:
        self.version = classifier.version
        self.watch = Stopwatch(classifier.classify)

    def classify(self, texts: Sequence[str], thresholds: Mapping[str, float] | None = None) -> list[Prediction]:
        """As the classifier."""
        found: list[Prediction] = self.watch(texts, thresholds)
        return found


def incoming(posts: Sequence[str], now_ms: int) -> list[Incoming]:
    """As one partition holds them: authors in turn, a post a minute up to now."""
    found = []
    for offset, text in enumerate(posts):
        author = f"a{offset % AUTHORS_OF_A_PARTITION}"
        at_ms = now_ms - (len(posts) - offset) * _MINUTE_MS
        key, value = post_record(author, f"d-{offset}", text, at_ms / 1000)
        found.append(Incoming(Topic.POSTS, Topic.POSTS.value, _PARTITION, offset, at_ms, key, value))
    return found


async def measured(bare: Bare, posts: Sequence[str]) -> dict[str, float]:
    """Milliseconds a post of each part."""
    timed = Timed(bare.classifier)
    context = Context(load(None, bare.classifier.thresholds), bare.classifier.version)
    records = incoming(posts, int(time.time() * 1000))
    decide = Stopwatch(decide_post)
    with ThreadPoolExecutor(1) as executor, mock.patch("workers.pipeline.decide_post", decide):
        pipeline = Pipeline(context, timed, Rows(), executor)
        decode, apply = Stopwatch(pipeline.decode), Stopwatch(pipeline.apply)
        scoring = 0.0
        for start in range(0, len(records), SUB_BATCH):
            part: list[Decoded] = [decode(record) for record in records[start : start + SUB_BATCH]]
            started = time.perf_counter()
            scored = await pipeline.classify(part)
            scoring += time.perf_counter() - started
            for decoded, result in zip(part, scored, strict=True):
                apply(decoded, result)
    spent = {
        "classifier": timed.watch.seconds,
        "judging": scoring - timed.watch.seconds,
        "decoding": decode.seconds,
        "decide": decide.seconds,
        "rows": apply.seconds - decide.seconds,
    }
    return {name: round(1000 * seconds / len(posts), 4) for name, seconds in spent.items()}


def main() -> None:
    """Entry of the process."""
    parser = argparse.ArgumentParser(description="the policy's part")
    parser.add_argument("--posts", type=Path, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    posts = read_texts(arguments.posts, arguments.count)
    bare = Bare()
    bare.flagged(posts[:WARM_UP], WARM_UP)
    found = {"posts": len(posts), "ms_per_post": asyncio.run(measured(bare, posts))}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
