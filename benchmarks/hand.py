"""What a user would write by hand: aiokafka around `transformers.pipeline`, one by one and in batches of 32.

    python -m benchmarks.hand --bootstrap H:P --source TOPIC --sink TOPIC --same-one N --same-batch N --base-one N
                              --base-batch N --threads N

No history, no policy, no spans, no ids that survive a redelivery; commits by time. The same checkpoint in fp32 (its
file holds fp16, in which processors are slow), and a BERT of 12 × 768 with random weights, made by transformers in a
temporary directory: speed does not depend on the weights. Prints JSON; rates are posts a second.
"""

import argparse
import asyncio
import json
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from transformers import BertConfig, BertForSequenceClassification, pipeline

from benchmarks.machine import own_usage
from models.checkpoint import SHIPPED
from models.labels import LABEL_IDS

BATCH: Final = 32
_TOKENIZER_FILES: Final = ("vocab.txt", "tokenizer_config.json")
_WAIT_MS: Final = 1_000
_WARM_UP: Final = ("今日はいい天気ですね。", "駅前の店、値段のわりにおいしかった。また行きたい")

Classify = Callable[[Sequence[str]], Any]


def make_base(directory: Path) -> None:
    """A BERT base with the shipped vocabulary and labels."""
    for name in _TOKENIZER_FILES:
        shutil.copy(SHIPPED / name, directory / name)
    vocabulary = len((SHIPPED / "vocab.txt").read_text("utf-8").splitlines())
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=768,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=3072,
        id2label=dict(enumerate(LABEL_IDS)),
        label2id={label: i for i, label in enumerate(LABEL_IDS)},
        problem_type="multi_label_classification",
    )
    BertForSequenceClassification(config).save_pretrained(str(directory))


def classifier(directory: Path, batch: int) -> Classify:
    """A pipeline as the manual of transformers has it."""
    classify = pipeline(
        "text-classification",
        model=str(directory),
        tokenizer=str(directory),
        top_k=None,
        function_to_apply="sigmoid",
        dtype=torch.float32,
        device="cpu",
    )

    def run(texts: Sequence[str]) -> Any:
        return classify(list(texts), batch_size=batch, truncation=True)

    run(_WARM_UP)
    return run


async def one_by_one(consumer: Any, producer: Any, sink: str, classify: Classify, count: int) -> None:
    """Each post is answered before the next is taken."""
    for _ in range(count):
        message = await consumer.getone()
        (scores,) = classify([json.loads(message.value)["text"]])
        await producer.send_and_wait(sink, json.dumps(scores).encode(), key=message.key)


async def in_batches(consumer: Any, producer: Any, sink: str, classify: Classify, count: int) -> None:
    """Up to BATCH posts at once."""
    done = 0
    while done < count:
        taken = await consumer.getmany(timeout_ms=_WAIT_MS, max_records=min(BATCH, count - done))
        messages = [message for some in taken.values() for message in some]
        if not messages:
            continue
        found = classify([json.loads(message.value)["text"] for message in messages])
        sent = [
            await producer.send(sink, json.dumps(scores).encode(), key=message.key)
            for message, scores in zip(messages, found, strict=True)
        ]
        await asyncio.gather(*sent)
        done += len(messages)


async def measured(arguments: argparse.Namespace, classify: Classify, loop: Any, count: int) -> dict[str, float]:
    """Rate and CPU per post of one loop over the topic from its start."""
    consumer = AIOKafkaConsumer(
        arguments.source,
        bootstrap_servers=arguments.bootstrap,
        group_id=f"by-hand-{uuid.uuid4().hex}",
        auto_offset_reset="earliest",
    )
    producer = AIOKafkaProducer(bootstrap_servers=arguments.bootstrap, acks="all")
    await consumer.start()
    await producer.start()
    try:
        await loop(consumer, producer, arguments.sink, classify, min(BATCH, count))  # joining the group is over then
        before, started = own_usage(), time.perf_counter()
        await loop(consumer, producer, arguments.sink, classify, count)
        seconds = time.perf_counter() - started
        cpu = own_usage()["cpu_seconds"] - before["cpu_seconds"]
    finally:
        await consumer.stop()
        await producer.stop()
    return {
        "posts": count,
        "posts_per_second": round(count / seconds, 2),
        "cpu_ms_per_post": round(1000 * cpu / count, 4),
    }


def main() -> None:
    """Entry of the process."""
    parser = argparse.ArgumentParser(description="the loop a user would write by hand")
    for name in ("bootstrap", "source", "sink"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("same-one", "same-batch", "base-one", "base-batch", "threads"):
        parser.add_argument(f"--{name}", type=int, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    found: dict[str, Any] = {"threads": arguments.threads}
    with tempfile.TemporaryDirectory(prefix="mimamori-base-") as directory:
        make_base(Path(directory))
        for model, place in (("same", SHIPPED), ("base", Path(directory))):
            for how, loop, batch in (("one", one_by_one, 1), ("batch", in_batches, BATCH)):
                count = getattr(arguments, f"{model}_{how}")
                found[f"{model}_{how}"] = asyncio.run(measured(arguments, classifier(place, batch), loop, count))
    found["peak_rss_mib"] = own_usage()["peak_rss_mib"]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
