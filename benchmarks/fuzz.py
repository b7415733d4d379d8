"""A million damaged records, and sound ones between them, through decode, classify and decide in memory.

    python -m benchmarks.fuzz [--records N] [--seed N] [--poison SHARE]

Each must end as a decision, a review's outputs or a dead letter: an exception is counted and ends the command with 1, a
batch that hangs for a minute ends it there and then. The classifier is a stand-in: its scores are constant, each
partition has its own, so that no figure here says anything of a model. No Kafka, no RocksDB: rows lie in a dictionary.

Time runs fast: the rows of some 10,000 records are remembered, as the policy's 30 days would have it, the rest is
forgotten. Memory has to be as steady as a worker's store; its course is in the result. Prints JSON.
"""

import argparse
import asyncio
import base64
import faulthandler
import json
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from tqdm import tqdm

from models.labels import LABEL_IDS
from tests.unit import memory
from tests.unit.memory import AT_MS, CONTEXT, DAY_MS, Said, scores
from tests.unit.poison import POISON, Sent, encoded
from workers.events import Topic, Verdict
from workers.pipeline import Incoming, Pipeline
from workers.state import Output

PARTITIONS: Final = 12
AUTHORS: Final = 20  # of each partition
POSTS: Final = 8  # of each author: what is edited, deleted, written anew, so that rows are bounded
BATCH: Final = 64
REMEMBERED: Final = 10_000  # records in the policy's memory
HANG_SECONDS: Final = 60
REDELIVERED: Final = 0.02
REVIEWS: Final = 0.1
RARE: Final = {"more than 1 MiB": 0.02, "deep nesting": 0.3}  # they cost more than all others
FLAGGED: Final[tuple[tuple[str, ...], ...]] = (
    (), ("insult",), ("defamation",), ("distress",), ("threat",), ("suicide_inducement",), ("privacy", "insult"),
    ("crime_aid",), ("obscene", "distress"), ("suicide_inducement", "distress"), ("defamation", "insult"), LABEL_IDS,
)  # fmt: skip


class Rows:
    """A table in memory."""

    def __init__(self) -> None:
        self.rows: dict[tuple[int, str], bytes] = {}

    @property
    def megabytes(self) -> float:
        """Of the rows' own bytes."""
        return round(sum(map(len, self.rows.values())) / 1e6, 1)

    def get(self, partition: int, key: str) -> bytes | None:
        return self.rows.get((partition, key))

    def put(self, partition: int, key: str, value: bytes) -> None:
        self.rows[partition, key] = value

    def delete(self, partition: int, key: str) -> None:
        self.rows.pop((partition, key), None)


class Constant:
    """The stand-in for a classifier: these labels, whatever the text."""

    version = "constant"

    def __init__(self, labels: Sequence[str]) -> None:
        self._said = Said(scores(*labels))

    def classify(self, texts: Sequence[str], thresholds: Mapping[str, float] | None = None) -> Sequence[Said]:
        """The same for each."""
        return [self._said] * len(texts)


@dataclass
class World:
    """Who writes what: authors with a few posts each, edits, deletions, copies, late revisions, reviews; and poison."""

    chance: Random
    poison: float
    offsets: Counter[tuple[Topic, int]] = field(default_factory=Counter)
    revisions: Counter[str] = field(default_factory=Counter)
    made: int = 0

    @property
    def now_ms(self) -> int:
        """When the latest record was made."""
        return AT_MS + self.made * (30 * DAY_MS // REMEMBERED)

    def records(self, partition: int, count: int) -> Iterator[tuple[str, Incoming]]:
        """Kind and record."""
        for _ in range(count):
            self.made += 1
            topic, record = self._record(partition)
            kind = "sound"
            sent = Sent(str(record["author_id"]).encode(), encoded(record), self.now_ms)
            if self.chance.random() < self.poison:
                kind = self._kind()
                bad = POISON[kind](self.chance, record)
                sent = Sent(bad.key, bad.value, self.now_ms if bad.at_ms == AT_MS else bad.at_ms, bad.headers)
            offset = self.offsets[topic, partition]
            self.offsets[topic, partition] += 1
            yield kind, Incoming(topic, topic.value, partition, offset, sent.at_ms, sent.key, sent.value, sent.headers)

    def _kind(self) -> str:
        while True:
            kind = self.chance.choice(_KINDS)
            if self.chance.random() < RARE.get(kind, 1.0):
                return kind

    def _record(self, partition: int) -> tuple[Topic, dict[str, Any]]:
        author = f"a{partition}-{self.chance.randrange(AUTHORS)}"
        post = f"{author}-{self.chance.randrange(POSTS)}"
        latest = self.revisions[post]
        if latest and self.chance.random() < REVIEWS:
            return Topic.STAFF_REVIEWS, self._review(author, post, latest)
        revision = max(1, latest + self.chance.choice((1, 1, 1, 1, 1, 0, -1, 2)))
        self.revisions[post] = max(latest, revision)
        text = (
            None
            if revision > 1 and self.chance.random() < 0.1
            else f"本文{revision} " + "あ" * self.chance.randrange(80)
        )
        made = memory.post(
            post,
            revision,
            text=text,
            author_id=author,
            at_ms=self.now_ms,
            occurred_ms=self.now_ms - self.chance.choice((0, 0, 0, 1, DAY_MS, -DAY_MS, 400 * DAY_MS)),
            reports=self.chance.choice((0, 0, 1, 9)),
            minor_suspected=self.chance.random() < 0.1,
        )
        return Topic.POSTS, json.loads(made.value or b"")

    def _review(self, author: str, post: str, latest: int) -> dict[str, Any]:
        verdict = self.chance.choice(list(Verdict)).value
        more: dict[str, Any] = {"action": self.chance.choice(_ACTIONS)} if verdict == "change_action" else {}
        made = memory.review(
            verdict,
            post,
            review_id=f"r{self.made}",
            revision=self.chance.randint(max(1, latest - 1), latest),
            author_id=author,
            at_ms=self.now_ms,
            reviewer_id=self.chance.choice(("s1", "s2", "s3")),
            **more,
        )
        record: dict[str, Any] = json.loads(made.value or b"")
        return record


_KINDS: Final = tuple(POISON)
_ACTIONS: Final = ("warn", "request_removal", "limit_visibility", "remove", "suspend", "terminate", "restore")


@dataclass
class Tally:
    """What became of them."""

    outcomes: Counter[str] = field(default_factory=Counter)
    poison: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    redelivered: int = 0

    def add(self, kind: str, record: Incoming, outputs: Sequence[Output]) -> None:
        """One record's outputs; what breaks a promise is noted by its position, never by its content."""
        where = f"{record.topic}/{record.partition}/{record.offset} ({kind})"
        topics = [output.topic for output in outputs]
        if topics == [Topic.DEAD_LETTERS]:
            letter = json.loads(outputs[0].value)
            told = None if record.value is None else base64.b64encode(record.value).decode()
            fate = "dead"
            self.outcomes[f"dead letter: {letter['error']['type']}"] += 1
            if letter["value_b64"] != told:
                self.broken.append(f"{where}: a dead letter with other bytes")
            if letter["error"]["type"] == "processing_failed":
                self.broken.append(f"{where}: {letter['error']['message']}")
        elif record.kind is Topic.POSTS and topics.count(Topic.DECISIONS) == 1:
            fate = "decided"
            decision = next(json.loads(o.value) for o in outputs if o.topic is Topic.DECISIONS)
            self.outcomes[f"decision: {decision['action']}"] += 1
        elif record.kind is Topic.STAFF_REVIEWS and topics and Topic.DEAD_LETTERS not in topics:
            fate = "decided"
            self.outcomes["review answered"] += 1
        else:
            fate = "neither"
            self.broken.append(f"{where}: outputs {[topic.value for topic in topics]}")
        if kind != "sound":
            self.poison[f"{kind}: {fate}"] += 1


class Fuzz:
    """All partitions, each with its pipeline, on one table."""

    def __init__(self, seed: int, poison: float) -> None:
        self.chance = Random(f"fuzz {seed}")
        self.world, self.tally, self.rows = World(self.chance, poison), Tally(), Rows()
        executor = ThreadPoolExecutor(1)
        self.lines = [
            Pipeline(CONTEXT, Constant(FLAGGED[n % len(FLAGGED)]), self.rows, executor) for n in range(PARTITIONS)
        ]

    async def batch(self, count: int) -> None:
        """So many records of one partition, and what a worker does between two batches."""
        partition = self.chance.randrange(PARTITIONS)
        line = self.lines[partition]
        records = list(self.world.records(partition, count))
        decoded = [line.decode(record) for _, record in records]
        for one, scored, (kind, record) in zip(decoded, await line.classify(decoded), records, strict=True):
            outputs = line.apply(one, scored)
            self.tally.add(kind, record, outputs)
            if self.chance.random() < REDELIVERED:
                self.tally.redelivered += 1
                if line.apply(line.decode(record), scored) != outputs:
                    self.tally.broken.append(f"{record.topic}/{partition}/{record.offset} ({kind}): redelivery differs")
        now_ms = self.world.now_ms
        line.note(now_ms)
        for number, other in enumerate(self.lines):
            for author, post, clock in other.due(number, now_ms):
                self.tally.outcomes["clock ran out"] += bool(other.fire(number, author, post, clock))
                other.settle(number, clock)
            other.note(now_ms)
            for _ in range(2):
                other.forget(number, now_ms)


def resident_mb() -> float:
    """Of this process, now."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return round(pages * resource.getpagesize() / 1e6, 1)


async def run(records: int, seed: int, poison: float) -> dict[str, Any]:
    """The result, as data."""
    fuzz = Fuzz(seed, poison)
    started = time.monotonic()
    course: list[tuple[float, float]] = []
    with tqdm(total=records, unit=" records", file=sys.stderr, disable=None) as bar:
        while (done := fuzz.world.made) < records:
            faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
            try:
                await fuzz.batch(min(BATCH, records - done))
            except Exception as error:  # noqa: BLE001 # what must not happen is counted, and told where
                fuzz.tally.broken.append(f"a batch up to record {fuzz.world.made}: {type(error).__name__}")
            bar.update(fuzz.world.made - done)
            if fuzz.world.made * 10 // records > len(course):
                course.append((resident_mb(), fuzz.rows.megabytes))
    faulthandler.cancel_dump_traceback_later()
    seconds = time.monotonic() - started
    tally = fuzz.tally
    return {
        "records": records,
        "seed": seed,
        "poison_share": poison,
        "kinds": len(POISON),
        "scores": "constant for each partition, a stand-in: no model was asked",
        "broken": len(tally.broken),
        "first_broken": tally.broken[:20],
        "outcomes": dict(sorted(tally.outcomes.items())),
        "poison": dict(sorted(tally.poison.items())),
        "redelivered": tally.redelivered,
        "rows_at_the_end": len(fuzz.rows.rows),
        "seconds": round(seconds, 1),
        "records_per_second": round(records / seconds),
        "rss_mb_by_tenths": [resident for resident, _ in course],
        "rows_mb_by_tenths": [rows for _, rows in course],
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, 1),
    }


def main() -> int:
    """Entry of `make fuzz`."""
    parser = argparse.ArgumentParser(prog="make fuzz", description="damaged records through decode, classify, decide")
    parser.add_argument("--records", type=int, default=1_000_000, help="how many")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same records")
    parser.add_argument("--poison", type=float, default=0.5, help="share of records that are damaged")
    chosen = parser.parse_args()
    if chosen.records < 1:
        parser.error("--records must be at least 1")
    if not 0.0 <= chosen.poison <= 1.0:
        parser.error("--poison must be from 0 to 1")
    result = asyncio.run(run(chosen.records, chosen.seed, chosen.poison))
    print(json.dumps(result, ensure_ascii=False, indent=1))
    return 1 if result["broken"] else 0


if __name__ == "__main__":
    sys.exit(main())
