"""A crash after any write, in any life: every id keeps its bytes, each post counts once, each clock fires once."""

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tests.unit import memory
from tests.unit.builders import check
from tests.unit.memory import (
    AT_MS,
    DAY_MS,
    HOUR_MS,
    Cut,
    MemoryRows,
    apply,
    identity,
    only,
    pipeline,
    post,
    review,
)
from workers.codec import decision_id
from workers.events import Topic
from workers.pipeline import Incoming
from workers.state import Output

Step = tuple[Incoming, tuple[str, ...]]
VERDICTS = [
    "confirm",
    "overturn",
    "hold",
    "close",
    "reopen",
    "appeal_filed",
    "appeal_granted",
    "removal_requested",
    "change_action",
]
LABELS = ["insult", "defamation", "threat", "suicide_inducement", "distress"]


@st.composite
def logs(draw: st.DrawFn, found: Sequence[str] = LABELS) -> list[Step]:
    """Both topics as they were written: posts, edits, late revisions, duplicates, deletions, broken ones, reviews."""
    steps: list[Step] = []
    offsets = {Topic.POSTS: 0, Topic.STAFF_REVIEWS: 0}
    latest: dict[str, int] = {}
    for number in range(draw(st.integers(1, 10))):
        author = draw(st.sampled_from(["ann", "bob", "cho"]))
        post_id = f"{author}{draw(st.integers(0, 1))}"
        at_ms = AT_MS + number * HOUR_MS
        what = draw(st.sampled_from(["post", "post", "post", "post", "review", "review", "again", "broken"]))
        labels: tuple[str, ...] = ()
        if what == "review":
            verdict = draw(st.sampled_from(VERDICTS))
            more: dict[str, Any] = {}
            if verdict == "change_action":
                more["action"] = draw(st.sampled_from(["warn", "request_removal", "suspend", "terminate", "restore"]))
            more["reviewer_id"] = draw(st.sampled_from(["s1", "s2"]))
            record = review(
                verdict,
                post_id,
                review_id=f"r{number}",
                author_id=author,
                offset=offsets[Topic.STAFF_REVIEWS],
                at_ms=at_ms,
                revision=draw(st.integers(1, max(1, latest.get(post_id, 1)))),
                **more,
            )
        elif what == "broken":
            record = memory.incoming(b"{", offset=offsets[Topic.POSTS], at_ms=at_ms, key=author.encode())
        elif what == "again" and any(step[0].kind is Topic.POSTS for step in steps):
            earlier = draw(st.sampled_from([step for step in steps if step[0].kind is Topic.POSTS]))
            value, key = earlier[0].value, earlier[0].key
            record = memory.incoming(value, offset=offsets[Topic.POSTS], at_ms=at_ms, key=key)
            labels = earlier[1]
        else:
            revision = latest.get(post_id, 0) + draw(st.sampled_from([1, 1, 1, 2]))
            if latest.get(post_id, 0) > 1 and draw(st.integers(0, 5)) == 0:
                revision = latest[post_id] - 1  # late, or in conflict
            latest[post_id] = max(revision, latest.get(post_id, 0))
            text = None if revision > 1 and draw(st.integers(0, 3)) == 0 else f"text {number}"
            labels = tuple(sorted(draw(st.sets(st.sampled_from(found), max_size=2))))
            record = post(post_id, revision, text=text, author_id=author, offset=offsets[Topic.POSTS], at_ms=at_ms)
        offsets[record.kind] += 1
        steps.append((record, labels))
    return steps


def live(rows: MemoryRows, steps: Sequence[Step], drift: float) -> list[list[Output]]:
    """What each step yields until the process dies. Scores drift from one life to the next, as a model's do."""
    line = pipeline(rows)
    found: list[list[Output]] = []
    for record, labels in steps:
        try:
            found.append(apply(line, record, *labels, obscene=drift))
        except Cut:
            break
    return found


def interleaved(data: st.DataObject, steps: Sequence[Step]) -> list[Step]:
    """The order inside each topic stays; how the two mix is new."""
    queues = [[step for step in steps if step[0].kind is kind] for kind in (Topic.POSTS, Topic.STAFF_REVIEWS)]
    result: list[Step] = []
    while any(queues):
        queue = queues[0] if not queues[1] or (queues[0] and data.draw(st.booleans())) else queues[1]
        result.append(queue.pop(0))
    return result


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(log=logs(), data=st.data())
def test_after_a_crash_anywhere_every_id_has_one_set_of_bytes(log: list[Step], data: st.DataObject) -> None:
    first = MemoryRows(cut=data.draw(st.integers(0, 50), label="cut"))
    sent = live(first, log, drift=0.0)
    event(f"died: {len(sent) < len(log)}")
    committed = data.draw(st.integers(0, len(sent)), label="committed")
    rows = first.after(len(first.log))
    mix = data.draw(st.booleans(), label="mix")
    drift = 0.9 if mix else 0.2  # 0.9: the next life sees a violation where the last one saw none
    rest = interleaved(data, log[committed:]) if mix else log[committed:]
    again = live(rows, rest, drift=drift)
    once_more = live(rows, rest, drift=0.3)
    assert len(again) == len(rest)
    assert again == once_more

    bytes_of: dict[tuple[str, str], set[bytes]] = defaultdict(set)
    owed: dict[tuple[Topic, int], set[tuple[tuple[str, str], ...]]] = defaultdict(set)
    for (record, _), outputs in [*zip(log, sent, strict=False), *zip(rest, again, strict=True)]:
        owed[record.kind, record.offset].add(tuple(identity(output) for output in outputs))
        for output in outputs:
            bytes_of[identity(output)].add(output.value)
    assert all(len(versions) == 1 for versions in bytes_of.values())

    for record, _ in log:  # every record yields the same things in every life: a decision, a case, or a dead letter
        (identities,) = owed[record.kind, record.offset]
        topics = [topic for topic, _ in identities]
        if "dead-letters" in topics:
            assert topics == ["dead-letters"]
        elif record.kind is Topic.POSTS:
            assert topics.count("moderation-decisions") == 1
            assert topics[0] == "moderation-decisions"
        else:
            assert "consultation-escalations" in topics

    decided = [json.loads(next(iter(v))) for (topic, _), v in bytes_of.items() if topic == "moderation-decisions"]
    for author_id in ("ann", "bob", "cho"):
        author = rows.author(author_id)
        mine = [decision for decision in decided if decision["author_id"] == author_id]
        assert author.posts == len({decision["post_id"] for decision in mine})
        assert max((decision["history"]["posts"] for decision in mine), default=0) <= max(0, author.posts - 1)
        struck = [strike.post_id for strike in author.strikes]
        assert len(struck) == len(set(struck))
    if not mix:  # nothing but the crash differs from a life without one
        unhurt = MemoryRows()
        line = pipeline(unhurt)
        drifts = [0.0] * max(len(sent), committed) + [0.2] * len(log)
        for (record, labels), drift in zip(log, drifts, strict=False):
            apply(line, record, *labels, obscene=drift)
        authors = ("ann", "bob", "cho")
        assert [rows.author(a).strikes for a in authors] == [unhurt.author(a).strikes for a in authors]
        assert [rows.author(a).suspended for a in authors] == [unhurt.author(a).suspended for a in authors]
        assert {c[2].action_id for c in rows.clocks()} == {c[2].action_id for c in unhurt.clocks()}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(log=logs())
def test_whatever_part_of_the_changelog_survives_completes_to_the_same_rows(log: list[Step]) -> None:
    """Another replica has a prefix of the writes; it repeats the log from the start and ends where the first did."""
    whole = MemoryRows()
    outputs = live(whole, log, drift=0.0)
    for cut in range(0, len(whole.log) + 1, max(1, len(whole.log) // 12)):
        rows = whole.after(cut)
        assert live(rows, log, drift=0.0) == outputs
        assert rows.rows == whole.rows


def test_the_store_that_dies_does_die() -> None:
    rows = MemoryRows(cut=2)
    assert live(rows, [(post(), ("insult",))], 0.0) == []
    assert len(rows.log) == 2


def test_the_entry_is_the_first_row_written() -> None:
    rows = MemoryRows()
    apply(pipeline(rows), post(), "defamation")
    assert rows.log[0][1].startswith("r")
    assert [key[0] for _, key, _ in rows.log] == ["r", "a", "p", "t", "t"]


@pytest.mark.parametrize("cut", range(8))
def test_a_review_that_overtakes_a_cut_off_step_takes_nothing_of_it_away(cut: int) -> None:
    """The post's step died behind its entry; in the next life the review of its first revision comes before it."""
    rows = MemoryRows()
    apply(pipeline(rows), post())
    rows.cut = len(rows.log) + cut
    held = post(revision=2, text="別", offset=1)
    live(rows, [(held, ("threat",))], 0.0)
    rows = rows.after(len(rows.log))
    line = pipeline(rows)
    apply(line, review("confirm"))
    hold = only(apply(line, held, "threat"), Topic.ACTIONS)
    row = rows.post()
    assert (row.latest_revision, row.standing_id) == (2, hold["action_id"])
    assert row.decision_ids == [decision_id("p1", 1), decision_id("p1", 2)]
    lifted = only(apply(line, post(revision=3, text="また", offset=2)), Topic.ACTIONS)
    assert (lifted["action"], lifted["supersedes"]) == ("restore", [hold["action_id"]])


@pytest.mark.parametrize("cut", range(8))
def test_an_edit_that_overtakes_a_cut_off_review_takes_nothing_of_it_away(cut: int) -> None:
    rows = MemoryRows()
    line = pipeline(rows)
    apply(line, post(), "defamation")
    rows.cut = len(rows.log) + cut
    removed = review("change_action", action="remove")
    live(rows, [(removed, ())], 0.0)
    rows = rows.after(len(rows.log))
    line = pipeline(rows)
    apply(line, post(revision=2, text="別", offset=1), "defamation")
    action = only(apply(line, removed), Topic.ACTIONS)
    row = rows.post()
    assert (row.latest_revision, row.standing, row.standing_id) == (2, "remove", action["action_id"])
    assert row.clock is None
    assert rows.clocks() == []


def test_an_edit_that_overtakes_a_cut_off_clock_takes_nothing_of_it_away() -> None:
    rows = MemoryRows()
    line = pipeline(rows)
    apply(line, post(), "defamation")
    ((author_id, post_id, clock),) = line.due(0, AT_MS + DAY_MS)
    rows.cut = len(rows.log) + 1
    with pytest.raises(Cut):
        line.fire(0, author_id, post_id, clock)
    rows = rows.after(len(rows.log))
    line = pipeline(rows)
    apply(line, post(revision=2, text="別", offset=1), "defamation")
    removal = only(line.fire(0, author_id, post_id, clock), Topic.ACTIONS)
    row = rows.post()
    assert (row.latest_revision, row.standing_id, row.clock) == (2, removal["action_id"], None)
    assert len(line.fire(0, author_id, post_id, clock)) == 1
    assert rows.post() == row


# -- clocks and authors ------------------------------------------------------------------------------------------------


def tick(rows: MemoryRows, now_ms: int, sent: list[Output]) -> None:
    """As the loop does when it is caught up: sends after the writes of firing and before the clock is settled.

    What a death cuts short in firing was not sent; what it cuts short in settling was.
    """
    line = pipeline(rows)
    for author_id, post_id, clock in line.due(0, now_ms):
        sent += line.fire(0, author_id, post_id, clock)
        line.settle(0, clock)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(log=logs(("defamation", "crime_aid", "distress")), data=st.data())
def test_a_request_is_followed_by_one_removal_at_most_wherever_it_died(log: list[Step], data: st.DataObject) -> None:
    rows = MemoryRows(cut=data.draw(st.integers(0, 90), label="cut"))
    steps: list[list[Output]] = []
    removals: list[Output] = []
    try:
        for number, step in enumerate(log):
            steps += live(rows, [step], drift=0.0)
            if len(steps) == number:
                break
            if data.draw(st.booleans(), label="caught up"):
                tick(rows, AT_MS + DAY_MS + number * HOUR_MS, removals)
    except Cut:
        pass
    event(f"removals before: {bool(removals)}")
    rows = rows.after(len(rows.log))
    rest = log[data.draw(st.integers(0, len(steps)), label="committed") :]
    again = live(rows, rest, drift=0.0)
    assert len(again) == len(rest)
    after: list[Output] = []
    tick(rows, AT_MS + 9 * DAY_MS, after)
    event(f"removals after: {bool(after)}")
    late: list[Output] = []
    tick(rows, AT_MS + 99 * DAY_MS, late)
    assert late == []
    assert rows.buckets() == {}

    bytes_of: dict[tuple[str, str], set[bytes]] = defaultdict(set)
    for output in [*removals, *after, *(output for outputs in [*steps, *again] for output in outputs)]:
        check(output)
        bytes_of[identity(output)].add(output.value)
    assert all(len(versions) == 1 for versions in bytes_of.values())
    acts = [json.loads(next(iter(v))) for (topic, _), v in bytes_of.items() if topic == "moderation-actions"]
    asked = {act["action_id"] for act in acts if act["action"] == "request_removal"}
    followed = [act["cause"] for act in acts if act["action"] == "remove"]
    assert len(followed) == len(set(followed))
    assert set(followed) <= asked
    for act in acts:
        row = rows.post(act["post_id"], act["author_id"])
        assert row.clock is None
        if row.standing == "remove":
            assert row.standing_id in {act["action_id"] for act in acts}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(log=logs(), data=st.data())
def test_the_order_of_unrelated_authors_does_not_matter(log: list[Step], data: st.DataObject) -> None:
    queues = [[step for step in log if step[0].key == key] for key in sorted({step[0].key or b"" for step in log})]
    mixed: list[Step] = []
    while any(queues):
        mixed.append(data.draw(st.sampled_from([queue for queue in queues if queue])).pop(0))
    event(f"mixed: {mixed != log}")
    told, ends = [], []
    for steps in (log, mixed):
        rows = MemoryRows()
        outputs = live(rows, steps, drift=0.0)
        told.append({(step[0].kind, step[0].offset): found for step, found in zip(steps, outputs, strict=True)})
        kept = {key: raw for (_, key), raw in rows.rows.items() if not key.startswith("t")}
        ends.append((kept, sorted(clock[2].action_id for clock in rows.clocks())))
    assert told[0] == told[1]
    assert ends[0] == ends[1]
