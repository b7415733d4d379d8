"""Guarantee 2 without Kafka: cut the store after any number of writes, redeliver, and end where no crash would have.

Hypothesis makes up posts, edits, deletions and reviews of a few authors, a crash after the k-th write, and the commit
from which everything is read again. The order inside each topic is kept; how the two topics mix is not.
"""

import json
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.labels import LABEL_IDS
from workers import policy
from workers.codec import decision_id as decision_id_of
from workers.decide import Context
from workers.events import Topic
from workers.judge import Scored
from workers.pipeline import Decoded, Incoming, Pipeline
from workers.state import AuthorRow, Output, PostRow, changed, parse

POLICY = policy.load(None, dict.fromkeys(LABEL_IDS, 0.5))
ID_OF = {
    Topic.DECISIONS: "decision_id",
    Topic.ACTIONS: "action_id",
    Topic.ESCALATIONS: "escalation_id",
    Topic.CARE: "care_id",
}


class Cut(Exception):
    """The machine died."""


class Rows:
    """A store that dies before its `cut`-th write."""

    def __init__(self) -> None:
        self.rows: dict[tuple[int, str], bytes] = {}
        self.writes = 0
        self.cut: int | None = None

    def _write(self) -> None:
        if self.cut is not None and self.writes >= self.cut:
            raise Cut
        self.writes += 1

    def get(self, partition: int, key: str) -> bytes | None:
        return self.rows.get((partition, key))

    def put(self, partition: int, key: str, value: bytes) -> None:
        self._write()
        self.rows[partition, key] = value

    def delete(self, partition: int, key: str) -> None:
        self._write()
        self.rows.pop((partition, key), None)


class NoClassifier:
    """Scores come with the records here."""

    version = "none"

    def classify(self, texts: Any, thresholds: Any = None) -> Any:
        raise AssertionError("not asked")


def pipeline(rows: Rows) -> Pipeline:
    return Pipeline(Context(POLICY, "model"), NoClassifier(), rows, ThreadPoolExecutor(1))


Scores = tuple[str, ...]
Step = tuple[Incoming, Scores]


def scored(decoded: Decoded, labels: Scores, salt: int) -> Scored | None:
    """Scores that differ from one computation to the next, as a real model's do."""
    if getattr(decoded.record, "text", None) is None:
        return None
    scores = {label: (0.9 if label in labels else 0.1) + salt * 0.001 for label in LABEL_IDS}
    return Scored(scores, [], False)


@st.composite
def histories(draw: st.DrawFn) -> list[Step]:
    """Records of both topics in the order in which they were written."""
    steps: list[Step] = []
    record: dict[str, Any]
    offsets = {Topic.POSTS: 0, Topic.STAFF_REVIEWS: 0}
    latest: dict[str, int] = {}
    for number in range(draw(st.integers(2, 9))):
        author = draw(st.sampled_from(["ann", "bob"]))
        post_id = f"{author}-{draw(st.integers(0, 2))}"
        if draw(st.integers(0, 3)) == 0:  # perhaps of a post that comes later, or never
            decision_id = decision_id_of(post_id, 1)
            kind, record = (
                Topic.STAFF_REVIEWS,
                {
                    "schema": "review/1",
                    "review_id": f"r{number}",
                    "post_id": post_id,
                    "author_id": author,
                    "decision_id": decision_id,
                    "verdict": draw(st.sampled_from(["confirm", "overturn", "close", "appeal_granted"])),
                    "reviewer_id": "s1",
                    "reason": "",
                    "occurred_at": "2026-11-01T00:00:00Z",
                },
            )
            labels: Scores = ()
        else:
            latest[post_id] = latest.get(post_id, 0) + 1
            event = "created" if latest[post_id] == 1 else draw(st.sampled_from(["edited", "edited", "deleted"]))
            kind, record = (
                Topic.POSTS,
                {
                    "schema": "post/1",
                    "event": event,
                    "post_id": post_id,
                    "revision": latest[post_id],
                    "author_id": author,
                    "occurred_at": "2026-11-01T00:00:00Z",
                },
            )
            if event != "deleted":
                record["text"] = f"text {number}"
            labels = tuple(draw(st.sets(st.sampled_from(["insult", "defamation", "distress", "threat"]), max_size=2)))
        incoming = Incoming(
            kind,
            kind.value,
            0,
            offsets[kind],
            1_793_491_200_000 + number * 1_000,
            str(record["author_id"]).encode(),
            json.dumps(record).encode(),
        )
        offsets[kind] += 1
        steps.append((incoming, labels))
    return steps


def run(rows: Rows, steps: list[Step], salt: int) -> list[list[Output]]:
    """Outputs of each step until the machine dies."""
    line = pipeline(rows)
    found = []
    for incoming, labels in steps:
        decoded = line.decode(incoming)
        try:
            found.append(line.apply(decoded, scored(decoded, labels, salt)))
        except Cut:
            break
    return found


def mixed(draw: st.DataObject, steps: list[Step]) -> list[Step]:
    """The same records with the two topics interleaved anew."""
    posts = [step for step in steps if step[0].kind is Topic.POSTS]
    reviews = [step for step in steps if step[0].kind is Topic.STAFF_REVIEWS]
    result = []
    while posts or reviews:
        take_post = not reviews or (bool(posts) and draw.draw(st.booleans()))
        result.append((posts if take_post else reviews).pop(0))
    return result


def state(rows: Rows) -> dict[str, Any]:
    """What the rows say of authors and posts, but for scores and the hashes over them."""
    found: dict[str, Any] = {}
    for (_, key), raw in rows.rows.items():
        if key.startswith("a"):
            author = parse(AuthorRow, raw)
            assert author is not None
            found[key] = changed(author, cases=[changed(case, head="") for case in author.cases])
        elif key.startswith("p"):
            row = parse(PostRow, raw)
            assert row is not None
            found[key] = (row.version, row.latest_revision, row.standing, row.standing_id, row.labels, row.clock)
        elif key.startswith("t"):
            found[key] = raw
    return found


def identity(output: Output) -> tuple[str, str]:
    record = json.loads(output.value)
    if output.topic is Topic.DEAD_LETTERS:
        return "dead", f"{record['source']['topic']}/{record['source']['offset']}"
    return output.topic.value, record[ID_OF[output.topic]]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=histories(), data=st.data())
def test_any_crash_and_any_redelivery_end_in_the_same_bytes(steps: list[Step], data: st.DataObject) -> None:
    rows = Rows()
    rows.cut = data.draw(st.integers(0, 60))
    sent = run(rows, steps, salt=0)  # what was owed before the crash may have been sent
    committed = data.draw(st.integers(0, len(sent)))
    rows.cut = None
    rest = steps[committed:]
    shuffled = data.draw(st.booleans())
    rest = mixed(data, rest) if shuffled else rest
    again = run(rows, rest, salt=1)
    assert len(again) == len(rest)
    if not shuffled:
        unhurt = Rows()
        run(unhurt, steps, salt=0)
        assert state(rows) == state(unhurt)
    fates: dict[str, set[bool]] = defaultdict(set)
    for (incoming, _), outputs in (*zip(steps, sent, strict=False), *zip(rest, again, strict=True)):
        assert outputs
        fates[f"{incoming.topic}/{incoming.offset}"].add(outputs[0].topic is Topic.DEAD_LETTERS)
    assert all(len(fate) == 1 for fate in fates.values()), "a record was dead in one life and alive in the next"

    bytes_of: dict[tuple[str, str], set[bytes]] = defaultdict(set)
    for outputs in (*sent, *again):
        for output in outputs:
            bytes_of[identity(output)].add(output.value)
    assert all(len(versions) == 1 for versions in bytes_of.values())

    decided = [key[1] for key in bytes_of if key[0] == Topic.DECISIONS.value]
    posts = [step for step in steps if step[0].kind is Topic.POSTS]
    assert len(decided) == len(posts)
    seen: dict[str, list[int]] = defaultdict(list)
    for versions in bytes_of.values():
        record = json.loads(next(iter(versions)))
        if record["schema"] == "decision/1":
            seen[record["author_id"]].append(record["history"]["posts"])
    for author, counts in seen.items():
        distinct = {json.loads(s[0].value or b"")["post_id"] for s in posts if s[0].key == author.encode()}
        assert max(counts) <= len(distinct), "a post was counted twice"


def test_the_store_that_dies_does_die() -> None:
    """Without a cut that bites, the property above would prove nothing."""
    rows = Rows()
    rows.cut = 2
    record = {
        "schema": "post/1",
        "event": "created",
        "post_id": "p",
        "revision": 1,
        "author_id": "a",
        "occurred_at": "2026-11-01T00:00:00Z",
        "text": "x",
    }
    step = Incoming(Topic.POSTS, "posts", 0, 0, 1_793_491_200_000, b"a", json.dumps(record).encode())
    assert run(rows, [(step, ("insult",))], 0) == []
    assert rows.writes == 2
