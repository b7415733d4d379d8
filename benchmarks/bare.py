"""The classifier alone: what no worker around it can exceed.

    python -m benchmarks.bare --posts FILE --count N --threads N

Twice over the same posts: all of them in one call, which may sort them all by length (no stream can); and 256 at a
time in order of arrival, which is what a worker takes from Kafka. Thresholds are the policy's, so that the same posts
get spans as in a worker. Prints JSON; rates are posts a second.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch

from benchmarks.apart import read_texts
from benchmarks.machine import own_usage
from models.checkpoint import SHIPPED
from models.classifier import Classifier
from workers import policy
from workers.agents import SUB_BATCH, TAKE_RECORDS

WARM_UP: Final = 64


class Bare:
    """A loaded classifier under the shipped policy's thresholds."""

    def __init__(self) -> None:
        started = time.perf_counter()
        self.classifier = Classifier.load(SHIPPED)
        self.thresholds = policy.load(None, self.classifier.thresholds).thresholds
        self.load_seconds = time.perf_counter() - started

    def flagged(self, posts: Sequence[str], at_once: int) -> int:
        """Classify all; how many are over a threshold."""
        count = 0
        for start in range(0, len(posts), at_once):
            for one in self.classifier.classify(posts[start : start + at_once], self.thresholds):
                count += any(one.scores[label] >= limit for label, limit in self.thresholds.items())
        return count

    def measured(self, posts: Sequence[str], at_once: int) -> dict[str, Any]:
        """Rate, CPU per post and the share flagged."""
        before, started = own_usage(), time.perf_counter()
        flagged = self.flagged(posts, at_once)
        seconds = time.perf_counter() - started
        cpu = own_usage()["cpu_seconds"] - before["cpu_seconds"]
        return {
            "posts_per_second": round(len(posts) / seconds, 2),
            "cpu_ms_per_post": round(1000 * cpu / len(posts), 4),
            "flagged": round(flagged / len(posts), 4),
        }


def main() -> None:
    """Entry of the process."""
    parser = argparse.ArgumentParser(description="the classifier alone")
    parser.add_argument("--posts", type=Path, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    posts = read_texts(arguments.posts, arguments.count)
    bare = Bare()
    bare.flagged(posts[:WARM_UP], WARM_UP)
    as_taken = bare.measured(posts, TAKE_RECORDS)
    found = {
        "threads": arguments.threads,
        "posts": len(posts),
        "dtype": str(bare.classifier.dtype),
        "model_version": bare.classifier.version,
        "at_once": bare.measured(posts, len(posts)),
        "as_taken": as_taken,
        "sub_batch_seconds": round(SUB_BATCH / as_taken["posts_per_second"], 4),
        "load_seconds": round(bare.load_seconds, 2),
        "peak_rss_mib": own_usage()["peak_rss_mib"],
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
