"""Posts per second of the classifier, of the same model in a hand-written loop, and of a worker end to end: one run.

    python -m benchmarks.throughput [--posts N] [--threads N]

Ratios are what counts; absolute figures move with the machine. The worker runs on the embedded Kafka, so its figure
holds the product's own cost and an in-memory broker's, not a real cluster's. Prints JSON.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from benchmarks.posts import generate
from models.checkpoint import SHIPPED
from models.classifier import Classifier
from models.labels import LABEL_IDS
from tests.harness import OUTPUTS, Outside, WorkerProcess, post
from workers.embedded import PARTITIONS, EmbeddedKafka
from workers.layout import PACKAGED


def rate(run: Callable[[Sequence[str]], object], posts: Sequence[str]) -> float:
    """Posts per second after a warm-up."""
    run(posts[:64])
    started = time.perf_counter()
    run(posts)
    return len(posts) / (time.perf_counter() - started)


def by_hand(model: Any, tokenizer: Any, batch: int) -> Callable[[Sequence[str]], None]:
    """The loop a user would write with transformers: fp32, padded batches in order of arrival."""

    @torch.inference_mode()
    def run(posts: Sequence[str]) -> None:
        for start in range(0, len(posts), batch):
            inputs = tokenizer(list(posts[start : start + batch]), padding=True, truncation=True, return_tensors="pt")
            torch.sigmoid(model(**inputs).logits)

    return run


def worker_rate(posts: Sequence[str], threads: int, directory: Path) -> float:
    """Decisions per second once the worker is ready and the posts are in the topic."""
    kafka = EmbeddedKafka()
    kafka.make(["posts", "staff-reviews", "mimamori-authors-changelog", *OUTPUTS])
    raw = yaml.safe_load(PACKAGED.read_text("utf-8"))
    for entry in raw["topics"].values():
        entry["partitions"] = PARTITIONS
    file = directory / "topics.yml"
    file.write_text(yaml.safe_dump(raw), "utf-8")
    outside = Outside(kafka.bootstrap)
    with WorkerProcess(
        kafka.bootstrap,
        MIMAMORI_TOPICS_FILE=str(file),
        MIMAMORI_TORCH_THREADS=str(threads),
        OMP_NUM_THREADS=str(threads),
    ) as worker:
        outside.send(post(f"b{i % 50}", i, text) for i, text in enumerate(posts[:64]))
        outside.wait_for({"moderation-decisions": 64}, tail=worker.tail)
        started = time.perf_counter()
        outside.send(post(f"b{i % 500}", i + 64, text) for i, text in enumerate(posts))
        outside.wait_for({"moderation-decisions": 64 + len(posts)}, 600, worker.tail)
        return len(posts) / (time.perf_counter() - started)


def main() -> None:
    """Entry of `make bench`."""
    import tempfile

    from transformers import BertConfig, BertForSequenceClassification
    from transformers.models.bert_japanese import BertJapaneseTokenizer

    parser = argparse.ArgumentParser(description="throughput in one run")
    parser.add_argument("--posts", type=int, default=2_000)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    posts = generate(arguments.posts)
    classifier = Classifier.load(SHIPPED)
    same = BertForSequenceClassification.from_pretrained(str(SHIPPED), dtype=torch.float32).eval()
    tokenizer = BertJapaneseTokenizer.from_pretrained(str(SHIPPED))
    base = BertForSequenceClassification(BertConfig(vocab_size=len(tokenizer.vocab), num_labels=len(LABEL_IDS))).eval()
    few = posts[: max(64, arguments.posts // 20)]
    found = {
        "classifier": rate(classifier.classify, posts),
        "transformers_batches_of_64": rate(by_hand(same, tokenizer, 64), posts),
        "transformers_one_by_one": rate(by_hand(same, tokenizer, 1), few),
        "transformers_12x768_batches_of_64": rate(by_hand(base, tokenizer, 64), few),
    }
    with tempfile.TemporaryDirectory() as directory:
        found["worker_end_to_end"] = worker_rate(posts, arguments.threads, Path(directory))
    print(
        json.dumps(
            {
                "posts": len(posts),
                "threads": arguments.threads,
                "dtype": str(classifier.dtype),
                "posts_per_second": {name: round(value, 1) for name, value in found.items()},
                "ratio_to_classifier": {name: round(v / found["classifier"], 3) for name, v in found.items()},
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
