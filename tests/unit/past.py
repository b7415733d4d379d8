"""A past for tests of `mimamori backtest`: authors, staff and one worker in memory, and files of what it wrote."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Final

import yaml

from models.labels import LABEL_IDS
from tests.unit.memory import (
    AT_MS,
    HOUR_MS,
    Json,
    MemoryRows,
    apply,
    pipeline,
    post,
    read,
    review,
)
from workers import agents, backtest, policy
from workers.decide import Context
from workers.events import Topic
from workers.settings import Settings

HIDDEN: Final = "秘密の文章"
Change = Callable[[Json], None]


def policy_file(directory: Path, change: Change = lambda raw: None, name: str = "policy.yml") -> Path:
    """The default policy with 0.5 for every threshold, changed."""
    raw = yaml.safe_load(resources.files("workers").joinpath("policies/default.yml").read_text("utf-8"))
    for rule in (raw["distress"], *raw["labels"].values()):
        rule["threshold"] = 0.5
    change(raw)
    path = directory / name
    path.write_text(yaml.safe_dump(raw, allow_unicode=True, sort_keys=False), "utf-8")
    return path


def context(file: Path, **more: Any) -> Context:
    return Context(policy.load(file, dict.fromkeys(LABEL_IDS, 0.5)), "model-1", **more)


@dataclass
class World:
    """Authors, staff and one worker, in memory. Clocks fire as the worker's loop fires them, once caught up."""

    context: Context
    rows: MemoryRows = field(default_factory=MemoryRows)
    decisions: list[Json] = field(default_factory=list)
    reviews: list[Json] = field(default_factory=list)
    cases: dict[str, tuple[str, str]] = field(default_factory=dict)  # case_id → author, post
    at_ms: int = AT_MS
    offset: int = 0
    removed: int = 0

    def __post_init__(self) -> None:
        self.worker = pipeline(self.rows, context=self.context)

    def _time_goes_on(self, by_ms: int) -> None:
        self.at_ms += by_ms
        self.offset += 1
        for author_id, post_id, clock in self.worker.due(0, self.at_ms - agents.CLOCK_GRACE_MS - 1):
            owed = self.worker.fire(0, author_id, post_id, clock)
            self.removed += sum(output.topic is Topic.ACTIONS for output in owed)
            self.worker.settle(0, clock)

    def write(self, post_id: str, revision: int = 1, *, by_ms: int = HOUR_MS, scores: Any = (), **more: Any) -> Json:
        """One record of posts; `scores` are those over or under 0.5. Returns its decision."""
        self._time_goes_on(by_ms)
        imminent = more.pop("imminent", False)
        record = post(post_id, revision, offset=self.offset, at_ms=self.at_ms, **{"text": HIDDEN} | more)
        outputs = apply(self.worker, record, imminent=imminent, **dict(scores))
        (decision,) = read(outputs, Topic.DECISIONS)
        self.decisions.append(decision)
        for case in read(outputs, Topic.ESCALATIONS):
            self.cases[case["case_id"]] = (decision["author_id"], post_id)
        return decision

    def staff(self, verdict: str, post_id: str, *, by_ms: int = HOUR_MS, **more: Any) -> None:
        """One record of staff-reviews; one that became a dead letter is left out of the file, as it had no effect."""
        self._time_goes_on(by_ms)
        record = review(verdict, post_id, offset=self.offset, at_ms=self.at_ms, **more)
        outputs = apply(self.worker, record)
        if not read(outputs, Topic.DEAD_LETTERS):
            self.reviews.append(json.loads(record.value or b""))

    def save(self, directory: Path) -> tuple[Path, Path]:
        """Files of decisions and reviews, as an operator would get them out of the topics: in any order, some twice."""
        shuffled = random.Random(1).sample(
            [*self.decisions, *self.decisions[::7]], k=len(self.decisions[::7]) + len(self.decisions)
        )
        decisions, reviews = directory / "decisions.jsonl", directory / "reviews.jsonl"
        for path, records in ((decisions, shuffled), (reviews, self.reviews)):
            path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records), "utf-8")
        return decisions, reviews


def lives(world: World, seed: int, steps: int = 250) -> None:
    """Posts, edits, deletions, stale revisions, and staff, as they come."""
    chance = random.Random(seed)
    known: dict[str, tuple[str, int]] = {}
    for step in range(steps):
        by_ms = chance.choice([1, 1_000, HOUR_MS, 9 * HOUR_MS, 26 * HOUR_MS, 70 * HOUR_MS])
        scores = {label: chance.choice([0.1] * 9 + [0.45, 0.55, 0.95]) for label in LABEL_IDS}
        if chance.random() < 0.8:  # most posts say one thing at most
            scores = dict.fromkeys(LABEL_IDS, 0.1)
            scores[chance.choice(["insult", "insult", "defamation", *LABEL_IDS])] = chance.choice([0.1, 0.55, 0.8])
        more = {"reports": chance.choice([0, 0, 6]), "minor_suspected": chance.random() < 0.1}
        what = chance.random()
        if what < 0.6 or not known:
            post_id, author = f"p{step}", f"author{chance.randrange(12)}"
            known[post_id] = (author, 1)
            world.write(post_id, by_ms=by_ms, scores=scores, author_id=author, **more)
            continue
        post_id = chance.choice([*known][-8:])
        author, latest = known[post_id]
        if what < 0.85:
            revision = latest + chance.choice([1, 2, 2])
            text = None if chance.random() < 0.2 else HIDDEN
            world.write(post_id, revision, by_ms=by_ms, scores=scores, author_id=author, text=text, **more)
            known[post_id] = (author, revision)
        elif (
            what < 0.9
            and latest > 2
            and not any(d["post_id"] == post_id and d["revision"] == latest - 1 for d in world.decisions)
        ):
            world.write(post_id, latest - 1, by_ms=by_ms, scores=scores, author_id=author)  # stale
        else:
            cases = [case for case, subject in world.cases.items() if subject == (author, post_id)]
            subject: Json = {"case_id": cases[-1]} if cases and chance.random() < 0.5 else {"revision": latest}
            verdict = chance.choice(
                ["confirm", "confirm", "overturn", "appeal_granted", "change_action", "hold", "close"]
            )
            if verdict == "change_action":
                subject["action"] = chance.choice(["none", "warn", "request_removal", "remove", "suspend", "terminate"])
            world.staff(verdict, post_id, by_ms=by_ms, author_id=author, **subject)


def run(settings: Settings, **order: Any) -> tuple[int, Json]:
    """The command in this process; its exit code and JSON."""
    path = order["decisions"].parent / "out.json"
    code = backtest.run(settings, backtest.Order(json=path, **order))
    return code, json.loads(path.read_text("utf-8"))


def changed_actions(found: Json) -> dict[tuple[str, str], int]:
    """(recorded, new) → count, where they differ."""
    return {(old, new): count for old, row in found["actions"].items() for new, count in row.items() if old != new}


def insults_from(threshold: float) -> Change:
    def change(raw: Json) -> None:
        raw["labels"]["insult"]["threshold"] = threshold

    return change
