"""A request for removal that nobody answers becomes a removal, once; every other clock does nothing."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit import memory
from tests.unit.builders import check
from tests.unit.memory import (
    AT_MS,
    CONTEXT,
    DAY_MS,
    HOUR_MS,
    POLICY,
    Cut,
    MemoryRows,
    apply,
    only,
    pipeline,
    post,
    review,
)
from workers import clocks
from workers.codec import decision_id, output_id
from workers.decide import Context
from workers.events import Action, Topic
from workers.pipeline import Incoming, Pipeline
from workers.state import AuthorRow, Bucket, BucketIndex, Clock, Output, PostRow, changed

DUE_MS = AT_MS + DAY_MS


def asked(*, labels: Sequence[str] = ("defamation",)) -> tuple[MemoryRows, Pipeline]:
    rows = MemoryRows()
    line = pipeline(rows)
    apply(line, post(), *labels)
    return rows, line


def run_out(line: Pipeline, now_ms: int = DUE_MS) -> list[Output]:
    """As the loop does: fire what is due, then take it out of its bucket."""
    outputs: list[Output] = []
    for author_id, post_id, clock in line.due(0, now_ms):
        outputs += line.fire(0, author_id, post_id, clock)
        line.settle(0, clock)
    return outputs


# -- firing ------------------------------------------------------------------------------------------------------------


def test_an_ignored_request_becomes_a_removal() -> None:
    rows, line = asked()
    request = rows.post().standing_id
    (output,) = run_out(line)
    assert (output.topic, output.key) == (Topic.ACTIONS, b"ann")
    removal = only([output], Topic.ACTIONS)
    assert removal["action_id"] == output_id(Topic.ACTIONS, request, "remove")
    assert (removal["cause"], removal["supersedes"]) == (request, [request])
    assert (removal["action"], removal["automated"], removal["reversible"]) == ("remove", True, False)
    assert (removal["decision_id"], removal["clause"]) == (decision_id("p1", 1), "model-rights")
    assert removal["due_at"] is None
    assert removal["appeal_until"] == memory.when(DUE_MS + 14 * DAY_MS)
    assert removal["notice"]["title"] == "投稿を削除しました"
    assert "名誉毀損・信用毀損" in removal["notice"]["body"]
    assert removal["reasons"] == ["削除要請の期限 2026年11月2日 9時00分（日本時間） までに対応がない"]
    row = rows.post()
    assert (row.standing, row.standing_id, row.clock) == (Action.REMOVE, removal["action_id"], None)
    assert row.standing_automated
    assert rows.buckets() == {}


def test_staffs_request_that_is_ignored_becomes_an_automated_removal() -> None:
    rows, line = asked(labels=("threat",))
    apply(line, review("change_action", action="request_removal", at_ms=AT_MS))
    assert not rows.post().standing_automated
    removal = only(run_out(line), Topic.ACTIONS)
    assert removal["automated"]
    assert rows.post().standing_automated


def test_a_clock_without_authority_removes_nothing_and_the_request_stands() -> None:
    rows, _ = asked()
    authority = changed(POLICY.data.authority, clock=[])
    asks_only = Context(replace(POLICY, data=changed(POLICY.data, authority=authority)), "model-1")
    line = pipeline(rows, context=asks_only)
    assert run_out(line) == []
    assert rows.buckets() == {}
    assert (rows.post().standing, rows.post().clock) == (Action.REQUEST_REMOVAL, None)


def test_never_before_it_is_due() -> None:
    _, line = asked()
    assert line.due(0, DUE_MS - 1) == []
    assert line.due(1, DUE_MS) == []  # another partition's clocks are another's
    assert len(line.due(0, DUE_MS)) == 1


def test_it_fires_once() -> None:
    rows, line = asked()
    assert len(run_out(line)) == 1
    after = dict(rows.rows)
    assert run_out(line, DUE_MS + DAY_MS) == []
    assert rows.rows == after


def test_a_replay_gives_the_same_bytes_whatever_the_policy_says_now() -> None:
    rows, line = asked()
    ((author_id, post_id, clock),) = line.due(0, DUE_MS)
    first = line.fire(0, author_id, post_id, clock)
    row = rows.post()
    assert line.due(0, DUE_MS) == [(author_id, post_id, clock)]  # until its outputs were acknowledged
    later = pipeline(rows, context=Context(POLICY, "model-2"))
    assert later.fire(0, author_id, post_id, clock) == first
    assert rows.post() == row
    later.settle(0, clock)
    assert later.due(0, DUE_MS) == []


@pytest.mark.parametrize("cut", range(4))
def test_a_crash_while_firing_ends_in_one_removal(cut: int) -> None:
    rows, line = asked()
    ((author_id, post_id, clock),) = line.due(0, DUE_MS)
    rows.cut = len(rows.log) + cut
    sent: list[Output] = []
    with suppress(Cut):
        sent = line.fire(0, author_id, post_id, clock)
        line.settle(0, clock)
    rows.cut = None
    again = run_out(pipeline(rows))
    assert len({output.value for output in [*sent, *again]}) == 1
    assert rows.buckets() == {}
    assert rows.post().standing is Action.REMOVE


def test_a_redelivered_post_sets_its_clock_once() -> None:
    rows, line = asked()
    apply(pipeline(rows), post(), "defamation")
    assert len(rows.clocks()) == 1
    first = run_out(line)
    apply(pipeline(rows), post(), "defamation")  # the commit was behind the firing
    assert run_out(pipeline(rows)) in ([], first)
    assert rows.post().standing is Action.REMOVE
    assert rows.buckets() == {}


# -- clocks that do nothing --------------------------------------------------------------------------------------------

SETTLED: dict[str, list[tuple[Incoming, tuple[str, ...]]]] = {
    "deleted": [(post(revision=2, text=None, offset=1), ())],
    "edited": [(post(revision=2, text="別", offset=1), ())],
    "edited into distress": [(post(revision=2, text="別", offset=1), ("distress",))],
    "edited into distress and a violation": [(post(revision=2, text="別", offset=1), ("defamation", "distress"))],
    "edited into a hold": [(post(revision=2, text="別", offset=1), ("threat",))],
    "overturned": [(review("overturn"), ())],
    "appeal granted": [(review("appeal_granted"), ())],
    "removed by staff": [(review("change_action", action="remove"), ())],
    "restored by staff": [(review("change_action", action="restore"), ())],
    "deleted and posted again": [
        (post(revision=2, text=None, offset=1), ()),
        (post(revision=3, text="別", offset=2), ()),
    ],
}


@pytest.mark.parametrize("how", SETTLED)
def test_a_settled_request_does_nothing_even_if_its_clock_is_still_there(how: str) -> None:
    rows, line = asked()
    (entry,) = rows.clocks()
    for record, labels in SETTLED[how]:
        apply(line, record, *labels)
    assert rows.buckets() == {}
    assert run_out(line) == []
    before = dict(rows.rows)
    assert line.fire(0, *entry) == []  # a redelivered post may have put it back
    assert rows.rows == before
    assert rows.post().standing is not Action.REMOVE or how == "removed by staff"


def test_an_edit_that_is_still_a_violation_keeps_the_clock() -> None:
    rows, line = asked()
    apply(line, post(revision=2, text="別", offset=1), "defamation")
    assert len(run_out(line)) == 1
    assert rows.post().standing is Action.REMOVE


def test_an_old_clock_does_not_fire_for_a_newer_request() -> None:
    _, line = asked()
    ((author_id, post_id, old),) = line.due(0, DUE_MS)
    apply(line, post(revision=2, text="別", offset=1))
    apply(line, post(revision=3, text="また", offset=2, at_ms=AT_MS + HOUR_MS), "defamation")
    assert line.fire(0, author_id, post_id, old) == []
    assert run_out(line, DUE_MS) == []
    assert len(run_out(line, DUE_MS + HOUR_MS)) == 1


CLOCK = Clock(action_id="a", due_ms=DUE_MS)
ROW = PostRow(standing=Action.REQUEST_REMOVAL, standing_id="a", clock=CLOCK, decision_id="d", clause="model-rights")


@pytest.mark.parametrize(
    "row", [None, changed(ROW, clock=None), changed(ROW, clock=Clock(action_id="b", due_ms=DUE_MS))]
)
def test_no_such_clock_on_the_post_means_no_step(row: PostRow | None) -> None:
    assert clocks.fire(CONTEXT, AuthorRow(), row, "ann", "p1", CLOCK) is None


def test_a_deleted_post_is_let_be() -> None:
    entry = clocks.fire(CONTEXT, AuthorRow(), changed(ROW, deleted=True), "ann", "p1", CLOCK)
    assert entry is not None
    assert entry.outputs == []
    assert (entry.post.clock, entry.post.standing, entry.post.version) == (None, Action.REQUEST_REMOVAL, 1)


# -- people in distress ------------------------------------------------------------------------------------------------

CRY_MS = DUE_MS - HOUR_MS


def cried(*, labels: Sequence[str] = ("defamation",), at_ms: int = CRY_MS) -> tuple[MemoryRows, Pipeline]:
    """A request that stands, and another post in which its author despairs."""
    rows, line = asked(labels=labels)
    apply(line, post("p2", text="消えたい", offset=1, at_ms=at_ms), "distress")
    return rows, line


def test_no_clock_acts_on_a_person_lately_in_distress_and_a_person_decides() -> None:
    rows, line = cried()
    (case,) = rows.author().cases
    request = rows.post().standing_id
    (output,) = run_out(line)
    check(output)
    record = only([output], Topic.ESCALATIONS)
    assert record["escalation_id"] == output_id(Topic.ESCALATIONS, request, f"escalation:{case.case_id}")
    assert (record["case_id"], record["status"], record["human_required"]) == (case.case_id, "updated", True)
    assert (record["post_id"], record["decision_id"]) == ("p1", decision_id("p1", 1))
    assert record["dossier"]["post"]["text"] == "本文"
    assert record["previous_sha256"] == case.head
    assert record["reasons"] == [
        "削除要請の期限 2026年11月2日 9時00分（日本時間） までに対応がない",
        "投稿者への配慮が必要なため、担当者が判断する",
    ]
    row, (moved,) = rows.post(), rows.author().cases
    assert (row.standing, row.standing_id, row.clock) == (Action.REQUEST_REMOVAL, request, None)
    assert (moved.human, moved.head) == (True, hashlib.sha256(output.value).hexdigest())
    assert moved.waiting == {"p1": "decide"}
    assert run_out(line, DUE_MS + DAY_MS) == []


@pytest.mark.parametrize(("days", "acts"), [(13.9, False), (14, False), (14.001, True)])
def test_how_long_a_cry_holds_the_clock_is_the_policys(days: float, acts: bool) -> None:
    rows, line = cried(at_ms=DUE_MS - round(days * DAY_MS))
    assert (rows.post().standing, len(rows.clocks())) == (Action.REQUEST_REMOVAL, 1)
    (output,) = run_out(line)
    assert (output.topic is Topic.ACTIONS) == acts


def test_rows_from_before_cries_were_noted_know_when_care_was_sent() -> None:
    author = AuthorRow(care_ms=CRY_MS)
    entry = clocks.fire(CONTEXT, author, changed(ROW, labels=["insult"]), "ann", "p1", CLOCK)
    assert entry is not None
    assert [output.topic for output in entry.outputs] == [Topic.ESCALATIONS]


def test_a_post_that_is_itself_in_distress_has_no_clock_and_would_not_be_removed() -> None:
    row = changed(ROW, in_distress=True, labels=["insult"])
    entry = clocks.fire(CONTEXT, AuthorRow(), row, "ann", "p1", CLOCK)
    assert entry is not None
    record = only(entry.outputs, Topic.ESCALATIONS)
    assert (record["status"], record["categories"], record["priority"]) == ("open", ["insult"], "P3")
    assert [route["body"] for route in record["routes"]] == ["staff"]


def test_a_clock_without_authority_asks_nobody_either() -> None:
    rows, _ = cried()
    authority = changed(POLICY.data.authority, clock=[])
    asks_only = Context(replace(POLICY, data=changed(POLICY.data, authority=authority)), "model-1")
    assert run_out(pipeline(rows, context=asks_only)) == []


@pytest.mark.parametrize("cut", range(6))
@pytest.mark.parametrize("labels", [("defamation",), ("insult",)])
def test_a_crash_while_asking_ends_in_one_record_and_one_case(cut: int, labels: tuple[str, ...]) -> None:
    rows, line = cried(labels=labels) if labels == ("defamation",) else _second_insult()
    ((author_id, post_id, clock),) = line.due(0, DUE_MS)
    rows.cut = len(rows.log) + cut
    sent: list[Output] = []
    with suppress(Cut):
        sent = line.fire(0, author_id, post_id, clock)
        line.settle(0, clock)
    rows.cut = None
    again = run_out(pipeline(rows))
    (value,) = {output.value for output in [*sent, *again]}
    (case,) = [case for case in rows.author().cases if case.group == "rights"]
    assert (case.head, case.human) == (hashlib.sha256(value).hexdigest(), True)
    assert (rows.buckets(), rows.post(post_id).clock) == ({}, None)


def _second_insult() -> tuple[MemoryRows, Pipeline]:
    """A request without a case."""
    rows = MemoryRows()
    line = pipeline(rows)
    apply(line, post("p0", offset=0, at_ms=AT_MS - HOUR_MS), "insult")
    apply(line, post("p1", offset=1), "insult")
    apply(line, post("p2", text="消えたい", offset=2, at_ms=CRY_MS), "distress")
    assert rows.author().cases == []
    return rows, line


def test_what_moved_the_case_on_since_a_crash_is_not_undone() -> None:
    """The entry is there, the author's row was cut off behind it, and staff acted before the clock was found again."""
    rows, line = cried()
    ((author_id, post_id, clock),) = line.due(0, DUE_MS)
    rows.cut = len(rows.log) + 1
    with suppress(Cut):
        line.fire(0, author_id, post_id, clock)
    rows.cut = None
    apply(line, review("close", at_ms=DUE_MS + 1))
    (closed,) = rows.author().cases
    assert closed.status == "closed"
    assert len(run_out(pipeline(rows))) == 1
    assert rows.author().cases == [closed]


# -- buckets -----------------------------------------------------------------------------------------------------------


def test_buckets_and_index_hold_what_is_running_and_nothing_more() -> None:
    rows = MemoryRows()
    line = pipeline(rows)
    for n in range(30):
        apply(line, post(f"p{n}", author_id=f"a{n}", offset=n, at_ms=AT_MS + n * 20_000), "defamation")
    assert len(rows.clocks()) == 30
    assert len(rows.buckets()) == 10  # three a minute
    for n in range(0, 30, 2):
        apply(line, post(f"p{n}", 2, author_id=f"a{n}", text=None, offset=100 + n))
    assert len(rows.clocks()) == 15
    assert all(rows.buckets().values())  # no empty bucket is kept
    assert len(run_out(line, DUE_MS + DAY_MS)) == 15
    assert rows.buckets() == {}
    assert not any(key.startswith("t") and key != "t" for _, key in rows.rows)


@settings(deadline=None, max_examples=60)
@given(
    starts=st.lists(st.integers(0, 300_000), min_size=1, max_size=12),
    now=st.integers(-1_000, 301_000),
)
def test_due_gives_what_ran_out_earliest_first(starts: list[int], now: int) -> None:
    rows = MemoryRows()
    line = pipeline(rows)
    for n, start in enumerate(starts):
        apply(line, post(f"p{n}", author_id=f"a{n}", offset=n, at_ms=AT_MS + start), "defamation")
    found = line.due(0, DUE_MS + now)
    assert [clock.due_ms - DUE_MS for _, _, clock in found] == sorted(start for start in starts if start <= now)
    assert found == sorted(found, key=lambda one: (one[2].due_ms, one[2].action_id))
    assert all(author_id[1:] == post_id[1:] for author_id, post_id, _ in found)


def test_adding_and_removing_are_idempotent() -> None:
    def twice(step: Callable[[Bucket], Bucket], bucket: Bucket) -> Bucket:
        once = step(bucket)
        assert step(once) == once
        return once

    bucket = twice(lambda b: clocks.added(b, "ann", "p1", CLOCK), Bucket())
    assert bucket == clocks.added(None, "ann", "p1", CLOCK)
    assert bucket.clocks == [("ann", "p1", CLOCK)]
    assert twice(lambda b: clocks.removed(b, "a"), bucket) == Bucket()
    assert clocks.removed(bucket, "other") == bucket


def test_the_index_is_sorted_and_lists_each_bucket_once() -> None:
    index: BucketIndex | None = None
    for number in (7, 3, 7, 5, 100):
        index = clocks.with_number(index, number)
    assert index == BucketIndex(numbers=[3, 5, 7, 100])
    assert clocks.without_number(index, 5).numbers == [3, 7, 100]
    assert clocks.without_number(index, 6) == index


def test_a_clock_is_in_the_bucket_of_its_minute() -> None:
    assert clocks.bucket_of(Clock(action_id="a", due_ms=59_999)) == 0
    assert clocks.bucket_of(Clock(action_id="a", due_ms=60_000)) == 1
