"""What is past its time goes, a page at a time; nothing younger, and nothing that something stands on."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.memory import AT_MS, DAY_MS, POLICY, Cut, MemoryRows, apply, only, pipeline, post, review
from workers import forget
from workers.events import Topic
from workers.pipeline import Incoming, Pipeline
from workers.state import post_key, review_key, revision_key

REMEMBER = POLICY.data.windows.remember_days
AFTER_MS = AT_MS + (REMEMBER + 1) * DAY_MS


def batch(line: Pipeline, *records: Incoming, labels: tuple[str, ...] = (), day: int = 0) -> None:
    for record in records:
        apply(line, record, *labels)
    line.note(AT_MS + day * DAY_MS)


def drain(line: Pipeline, now_ms: int) -> list[int]:
    """Forget until nothing more goes; how many went with each page."""
    return [count for count in (line.forget(0, now_ms) for _ in range(60)) if count]


def kinds(rows: MemoryRows) -> set[str]:
    return {key[0] for _, key in rows.rows}


def test_a_benign_post_goes_with_its_entry_and_the_author_stays() -> None:
    rows = MemoryRows()
    line = pipeline(rows)
    batch(line, post())
    assert kinds(rows) == {"r", "a", "p", "f"}
    assert drain(line, AFTER_MS) == [1]
    assert kinds(rows) == {"a", "f"}
    assert rows.author().posts == 1
    assert [key for _, key in rows.rows if key.startswith("f")] == ["f"]  # no page is left behind


def test_one_page_at_a_time_and_the_oldest_day_first() -> None:
    rows = MemoryRows()
    line = pipeline(rows)
    for number, (day, size) in enumerate([(0, 3), (0, 2), (1, 4)]):
        batch(line, *(post(f"p{number}{n}", offset=10 * number + n) for n in range(size)), day=day)
    now_ms = AFTER_MS + DAY_MS
    assert line.forget(0, now_ms) == 2
    assert line.forget(0, now_ms) == 3
    assert line.forget(0, now_ms) == 0  # the day itself
    assert line.forget(0, now_ms) == 4
    assert drain(line, now_ms) == []
    assert kinds(rows) == {"a", "f"}


@pytest.mark.parametrize("days", range(REMEMBER + 3))
def test_nothing_goes_within_the_days_it_is_remembered(days: int) -> None:
    rows = MemoryRows()
    line = pipeline(rows)
    batch(line, post())
    went = drain(line, AT_MS + days * DAY_MS)
    assert went == ([1] if days > REMEMBER else [])
    assert (rows.get(0, revision_key("ann", "p1", 1)) is None) is (days > REMEMBER)


@settings(deadline=None, max_examples=60)
@given(days=st.lists(st.integers(0, 80), min_size=1, max_size=10), now=st.integers(0, 130))
def test_exactly_what_is_older_goes(days: list[int], now: int) -> None:
    rows = MemoryRows()
    line = pipeline(rows)
    for n, day in enumerate(sorted(days)):
        batch(line, post(f"p{n}", offset=n, at_ms=AT_MS + day * DAY_MS), day=day)
    drain(line, AT_MS + now * DAY_MS)
    for n, day in enumerate(sorted(days)):
        kept = day >= now - REMEMBER
        assert (rows.get(0, revision_key("ann", f"p{n}", 1)) is not None) is kept
        assert (rows.get(0, post_key("ann", f"p{n}")) is not None) is kept


def test_other_partitions_keep_theirs() -> None:
    rows = MemoryRows()
    forget.note(rows, 0, AT_MS, [("x", "")])
    forget.note(rows, 1, AT_MS, [("x", "")])
    rows.put(0, "x", b"\x80")
    rows.put(1, "x", b"\x80")
    assert forget.forget_page(rows, 0, AFTER_MS, REMEMBER) == 1
    assert (rows.get(0, "x"), rows.get(1, "x")) == (None, b"\x80")


@pytest.mark.parametrize("labels", [("insult",), ("defamation",), ("threat",), ("distress",), ("insult", "distress")])
@pytest.mark.parametrize("then", ["nothing", "edited", "deleted"])
def test_a_post_that_was_flagged_stays_for_its_reviews(labels: tuple[str, ...], then: str) -> None:
    rows = MemoryRows()
    line = pipeline(rows)
    batch(line, post(), labels=labels)
    if then != "nothing":
        batch(line, post(revision=2, text="別" if then == "edited" else None, offset=1))
    assert sum(drain(line, AFTER_MS)) > 0
    assert rows.get(0, revision_key("ann", "p1", 1)) is None
    if labels == ("distress",) and then == "edited":
        return  # nothing of it is left: no case, and its latest text is benign
    assert rows.post().decision_ids
    late = apply(line, review("overturn", at_ms=AFTER_MS))
    assert [output.topic for output in late][-1:] == [Topic.ESCALATIONS]


def test_a_post_that_staff_took_up_stays() -> None:
    rows = MemoryRows()
    line = pipeline(rows)
    batch(line, post())
    opened = only(apply(line, review("removal_requested")), Topic.ESCALATIONS)
    line.note(AT_MS)
    drain(line, AFTER_MS)
    assert rows.get(0, review_key("ann", "r0")) is None
    closed = only(apply(line, review("close", offset=1, at_ms=AFTER_MS)), Topic.ESCALATIONS)
    assert (closed["case_id"], closed["status"]) == (opened["case_id"], "closed")


@pytest.mark.parametrize("occurred_ms", [None, AT_MS - 400 * DAY_MS])
def test_a_post_edited_lately_stays_whenever_it_says_it_was_edited(occurred_ms: int | None) -> None:
    rows = MemoryRows()
    line = pipeline(rows)
    batch(line, post())
    edited_ms = AT_MS + 20 * DAY_MS
    batch(line, post(revision=2, text="別", offset=1, at_ms=edited_ms, occurred_ms=occurred_ms), day=20)
    assert drain(line, AFTER_MS) == [1]
    assert rows.post().latest_revision == 2
    assert rows.get(0, revision_key("ann", "p1", 2)) is not None
    third = apply(line, post(revision=3, text="また", offset=2, at_ms=AFTER_MS))
    assert only(third, Topic.DECISIONS)["history"]["posts"] == 0
    assert rows.author().posts == 1


def test_dead_letters_are_forgotten_too() -> None:
    rows = MemoryRows()
    line = pipeline(rows)
    batch(line, review("confirm"))
    assert kinds(rows) == {"d", "f"}
    assert drain(line, AFTER_MS) == [1]
    assert kinds(rows) == {"f"}


def test_a_fired_clock_is_forgotten_and_the_removed_post_stays() -> None:
    rows = MemoryRows()
    line = pipeline(rows)
    batch(line, post(), labels=("defamation",))
    for author_id, post_id, clock in line.due(0, AT_MS + DAY_MS):
        line.fire(0, author_id, post_id, clock)
        line.settle(0, clock)
    line.note(AT_MS + DAY_MS)
    assert drain(line, AFTER_MS + DAY_MS) == [1, 1]
    assert "c" not in kinds(rows)
    assert rows.post().standing == "remove"


def test_a_crash_while_forgetting_leaves_nothing_behind() -> None:
    whole = MemoryRows()
    line = pipeline(whole)
    batch(line, post(), post("p2", offset=1))
    batch(line, post("p3", offset=2), day=1)
    before = len(whole.log)
    drain(line, AFTER_MS + DAY_MS)
    for cut in range(before, len(whole.log) + 1):
        rows = whole.after(before)
        rows.cut = cut - before
        with suppress(Cut):
            drain(pipeline(rows), AFTER_MS + DAY_MS)
        rows.cut = None
        drain(pipeline(rows), AFTER_MS + DAY_MS)
        assert rows.rows == whole.rows


def test_nothing_noted_is_nothing_to_forget() -> None:
    rows = MemoryRows()
    assert forget.forget_page(rows, 0, AFTER_MS, REMEMBER) == 0
    pipeline(rows).note(AT_MS)
    assert rows.rows == {}
