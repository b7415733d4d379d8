"""Acts a scenario out on the real pipeline: records of post/1 and review/1, a store in memory, a told classifier.

Decode, classify, apply, clocks, forgetting, a restart: as one worker with one partition does them. Compares nothing.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import yaml

from models.labels import LABEL_IDS
from tests.scenarios.telling import Act, Again, Mistold, Post, Review, Scenario, Step, Told, Worker
from tests.unit import memory
from tests.unit.memory import MemoryRows, ScriptedClassifier
from workers import policy
from workers.codec import decision_id
from workers.decide import Context
from workers.events import Topic
from workers.pipeline import Incoming, Pipeline
from workers.policy import Policy
from workers.state import Output

POINTS: Final = dict.fromkeys(LABEL_IDS, 0.5)  # the checkpoint's operating points, where a policy says `model`
MODEL: Final = "model-1"
_LOW: Final = 0.1


@dataclass(frozen=True)
class Happened:
    """What one step led to. `record` is None where the worker acted by itself; `first` is what a repeat repeats."""

    step: Step
    record: Incoming | None
    outputs: list[Output]
    first: list[Output] | None = None


@dataclass
class Stage:
    """One worker, its store, and what was sent so far. Who compares fills `cases`: a scenario's name → case_id."""

    scenario: Scenario
    cases: dict[str, str] = field(default_factory=dict)
    rows: MemoryRows = field(default_factory=MemoryRows)
    log: list[Happened] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.policy = _policy(self.scenario)
        self._said: dict[str, float] = {}
        self._revisions: dict[tuple[str, str], int] = {}
        self._offsets = {Topic.POSTS: 0, Topic.STAFF_REVIEWS: 0}
        self._now_ms = 0
        self.pipeline = self._life()

    def _life(self) -> Pipeline:
        classifier = ScriptedClassifier(lambda _: dict.fromkeys(LABEL_IDS, _LOW) | self._said, MODEL)
        return memory.pipeline(self.rows, classifier, Context(self.policy, MODEL, shadow=self.scenario.shadow))

    # -- one step after the other ----------------------------------------------------------------------------------

    def perform(self, step: Step) -> Happened:
        """Let one step happen."""
        if step.at_ms < self._now_ms:
            raise Mistold(f"{step.line!r} is told too late: a log knows no way back")
        self._now_ms = step.at_ms
        ran_out = self.pipeline.due(0, step.at_ms - 1)
        if ran_out and not step.behind and step.act != Worker("time passes"):
            raise Mistold(f"{step.line!r}: the clock of {ran_out[0][1]} has run out; tell that time passes before")
        happened = self._act(step, step.act)
        self.pipeline.note(step.at_ms)
        self.log.append(happened)
        return happened

    def _act(self, step: Step, act: Act) -> Happened:
        if isinstance(act, Worker):
            return Happened(step, None, self._worker(act.does, step.at_ms))
        if isinstance(act, Again):
            return self._again(step, act)
        if isinstance(act, Post):
            record, self._said = self._post(act, step.at_ms), act.scores
        else:
            record = self._review(act, step.at_ms)
        return Happened(step, record, self.feed(record))

    def feed(self, record: Incoming) -> list[Output]:
        """Steps 2 to 4 of the loop."""
        decoded = self.pipeline.decode(record)
        (scored,) = asyncio.run(self.pipeline.classify([decoded]))
        return self.pipeline.apply(decoded, scored)

    def _worker(self, does: str, now_ms: int) -> list[Output]:
        outputs: list[Output] = []
        if does == "time passes":
            for author_id, post_id, clock in self.pipeline.due(0, now_ms):
                outputs += self.pipeline.fire(0, author_id, post_id, clock)
                self.pipeline.settle(0, clock)
        elif does == "the worker restarts":
            self.pipeline = self._life()
        else:
            idle = 0
            while idle < 2:  # the end of a day goes by with nothing forgotten
                idle = 0 if self.pipeline.forget(0, now_ms) else idle + 1
        return outputs

    # -- records -----------------------------------------------------------------------------------------------------

    def latest(self, author: str, post: str) -> int:
        """The last revision told of a post."""
        return self._revisions.get((author, post), 0)

    def _post(self, act: Post, at_ms: int) -> Incoming:
        revision = act.revision or self.latest(act.author, act.post) + 1
        self._revisions[act.author, act.post] = max(revision, self.latest(act.author, act.post))
        text = act.text or f"{act.author}の投稿{act.post}の本文{revision}"
        record = {
            "schema": "post/1",
            "event": act.event,
            "post_id": act.post,
            "revision": revision,
            "author_id": act.author,
            "occurred_at": memory.when(at_ms if act.said_ms is None else act.said_ms),
            **({} if act.event == "deleted" else {"text": text}),
            **act.fields,
        }
        return self._incoming(Topic.POSTS, record, at_ms, (act.key or act.author).encode())

    def _review(self, act: Review, at_ms: int) -> Incoming:
        subject: Told = {"decision_id": decision_id(act.post, act.revision or self.latest(act.author, act.post))}
        if act.case is not None:
            subject = {"case_id": self.cases.get(act.case, act.case)}
        record = {
            "schema": "review/1",
            "review_id": act.name or f"review {self._offsets[Topic.STAFF_REVIEWS]}",
            "post_id": act.post,
            "author_id": act.author,
            "verdict": act.verdict,
            "reviewer_id": act.by,
            "reason": "",
            "occurred_at": memory.when(at_ms),
            **subject,
            **act.fields,
        }
        return self._incoming(Topic.STAFF_REVIEWS, record, at_ms, act.author.encode())

    def _incoming(self, kind: Topic, record: Told, at_ms: int, key: bytes) -> Incoming:
        offset = self._offsets[kind]
        self._offsets[kind] += 1
        return memory.incoming(record, kind=kind, offset=offset, at_ms=at_ms, key=key)

    def _again(self, step: Step, act: Again) -> Happened:
        told = [
            one for one in self.log if one.record is not None and _is_meant(act, json.loads(one.record.value or b""))
        ]
        if not told or told[-1].record is None:
            raise Mistold(f"{step.line!r}: nothing like this was sent")
        record = told[-1].record
        if not act.delivered:
            offset = self._offsets[record.kind]
            self._offsets[record.kind] += 1
            record = Incoming(
                record.kind, record.topic, 0, offset, step.at_ms, record.key, record.value, record.headers
            )
        self._said = dict.fromkeys(LABEL_IDS, 0.6)  # whatever the classifier says now, it was not asked
        return Happened(step, record, self.feed(record), first=told[-1].outputs)

    def replay(self) -> Sequence[tuple[Happened, list[Output]]]:
        """A new life reads every record once more: each step that had one, with what the record yields now."""
        self.pipeline = self._life()
        self._said = dict.fromkeys(LABEL_IDS, 0.6)
        return [(one, self.feed(one.record)) for one in self.log if one.record is not None]


def _is_meant(act: Again, record: Told) -> bool:
    return act.post in (None, record["post_id"]) and act.revision in (None, record.get("revision"))


@cache
def _changed_policy(places: tuple[tuple[str, str], ...]) -> Policy:
    text, name = policy.read(None)
    data: Any = yaml.safe_load(text)
    for place, value in places:
        *path, last = place.split(".")
        at = data
        for step in path:
            at = at[step]
        at[last] = yaml.safe_load(value)
    return policy.parse(yaml.safe_dump(data, allow_unicode=True), name, POINTS)


def _policy(scenario: Scenario) -> Policy:
    return _changed_policy(tuple((place, yaml.safe_dump(value)) for place, value in scenario.policy.items()))
