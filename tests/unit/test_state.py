"""The rows: keys that cannot collide, effects that lead from one author's row to the next."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers import state
from workers.errors import GuaranteeAtRisk
from workers.events import Priority
from workers.state import AuthorRow, Case, Effect, Strike, apply_effect, effect_between

PARTS = st.text(max_size=6)
LABELS = st.lists(st.sampled_from(["insult", "threat"]), max_size=2)
STRIKE = st.builds(
    Strike,
    post_id=st.sampled_from([f"p{n}" for n in range(6)]),
    labels=LABELS,
    at_ms=st.integers(0, 5),
    decision_id=st.just("d"),
    confirmed=st.booleans(),
)
CASE = st.builds(
    Case,
    case_id=st.just(""),
    group=st.just("rights"),
    status=st.sampled_from(["open", "updated", "closed"]),
    priority=st.sampled_from(Priority),
    last_ms=st.integers(0, 5),
    post_id=st.just("p"),
    decision_id=st.just("d"),
    categories=LABELS,
)


def _strikes(found: list[Strike]) -> list[Strike]:
    return sorted(found, key=lambda strike: (strike.at_ms, strike.post_id))[-state.MAX_STRIKES :]


@st.composite
def steps(draw: st.DrawFn) -> tuple[AuthorRow, AuthorRow]:
    """An author before and after a step: strikes come, change and go; cases come and change; care and cries move on."""
    unique = st.lists(STRIKE, unique_by=lambda strike: strike.post_id, max_size=6)
    was = [state.changed(case, case_id=f"c{n}") for n, case in enumerate(draw(st.lists(CASE, max_size=3)))]
    now = [draw(st.sampled_from([case, state.changed(case, status="closed", last_ms=9)])) for case in was]
    new = [state.changed(case, case_id=f"n{n}") for n, case in enumerate(draw(st.lists(CASE, max_size=2)))]
    posts, care, cry = draw(st.integers(0, 3)), draw(st.none() | st.integers(0, 9)), draw(st.none() | st.integers(0, 9))
    before = AuthorRow(
        posts=posts,
        strikes=_strikes(draw(unique)),
        cases=was,
        care_ms=care,
        distress_ms=cry,
        suspended=draw(st.booleans()),
    )
    after = AuthorRow(
        posts=posts + draw(st.integers(0, 1)),
        strikes=_strikes(draw(unique)),
        cases=now + new,
        care_ms=draw(st.sampled_from([care, (care or 0) + 5])),
        distress_ms=draw(st.sampled_from([cry, (cry or 0) + 5])),
        suspended=draw(st.booleans()),
    )
    return before, after


@settings(deadline=None)
@given(steps())
def test_an_effect_leads_from_before_to_after(pair: tuple[AuthorRow, AuthorRow]) -> None:
    before, after = pair
    reached = apply_effect(before, effect_between(before, after), "posts", 7)
    assert reached == state.changed(after, applied={"posts": 7})


@settings(deadline=None)
@given(steps())
def test_no_change_is_no_effect(pair: tuple[AuthorRow, AuthorRow]) -> None:
    assert effect_between(pair[0], pair[0]) == Effect()


@settings(deadline=None)
@given(steps())
def test_rows_come_back_as_they_were_stored(pair: tuple[AuthorRow, AuthorRow]) -> None:
    for row in pair:
        assert state.parse(AuthorRow, state.dump(row)) == row


def test_each_topic_has_its_own_offset() -> None:
    row = apply_effect(AuthorRow(applied={"posts": 3, "staff-reviews": 9}), Effect(), "posts", 4)
    assert row.applied == {"posts": 4, "staff-reviews": 9}


def test_a_strike_more_than_the_limit_drops_the_oldest() -> None:
    full = [Strike(post_id=f"p{n:03}", labels=[], at_ms=n, decision_id="d") for n in range(state.MAX_STRIKES)]
    new = Strike(post_id="new", labels=[], at_ms=999, decision_id="d")
    before, after = AuthorRow(strikes=full), AuthorRow(strikes=[*full[1:], new])
    assert apply_effect(before, effect_between(before, after), "posts", 0).strikes == after.strikes


def test_no_step_leaves_more_strikes_than_the_limit() -> None:
    """Whatever it says of the oldest: a row that grows without end would make each of the author's records dearer."""
    full = [Strike(post_id=f"p{n:03}", labels=[], at_ms=n, decision_id="d") for n in range(state.MAX_STRIKES)]
    new = [Strike(post_id=f"new{n}", labels=[], at_ms=1_000 + n, decision_id="d") for n in range(3)]
    kept = apply_effect(AuthorRow(strikes=full), Effect(strikes=new), "posts", 0).strikes
    assert kept == [*full[3:], *new]


def test_a_case_more_than_the_limit_drops_the_first() -> None:
    full = [
        Case(
            case_id=f"c{n}",
            group="g",
            status="open",
            priority=Priority.P3,
            last_ms=n,
            post_id="p",
            decision_id="d",
            categories=[],
        )
        for n in range(state.MAX_CASES)
    ]
    new = state.changed(full[0], case_id="new")
    before, after = AuthorRow(cases=full), AuthorRow(cases=[*full[1:], new])
    assert apply_effect(before, effect_between(before, after), "posts", 0).cases == after.cases


@settings(deadline=None)
@given(st.lists(st.tuples(PARTS, PARTS), min_size=2, max_size=2, unique=True))
def test_different_ids_have_different_keys(pairs: list[tuple[str, str]]) -> None:
    one, other = pairs
    assert state.post_key(*one) != state.post_key(*other)
    assert state.review_key(*one) != state.review_key(*other)
    assert state.clock_key(*one) != state.clock_key(*other)


def test_ids_full_of_separators_stay_apart() -> None:
    nasty = ["", "1", ":", "1:", "1:a", "a1:", "2:a1"]
    keys = [state.post_key(a, b) for a, b in product(nasty, nasty)]
    keys += [state.revision_key(a, b, n) for a, b in product(nasty, nasty) for n in (1, 11)]
    keys += [state.author_key(a) for a in nasty] + [state.dead_key(a) for a in nasty]
    assert len(set(keys)) == len(keys)


def test_no_row_is_none_and_a_broken_row_ends_the_worker() -> None:
    assert state.parse(AuthorRow, None) is None
    for raw in (b"", b"\xc1", b"\x93\x01\x02\x03", state.dump(AuthorRow(posts=1)).replace(b"posts\x01", b"posts\xa1x")):
        with pytest.raises(GuaranteeAtRisk, match="AuthorRow"):
            state.parse(AuthorRow, raw)


def test_a_row_of_an_older_or_newer_version_can_be_read() -> None:
    assert state.parse(AuthorRow, b"\x80") == AuthorRow()
    assert state.parse(AuthorRow, b"\x82\xa5posts\x02\xa5fresh\x01") == AuthorRow(posts=2)
