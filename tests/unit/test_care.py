"""What reaches a person in distress, and what is left of the machine's authority over somebody who lately was."""

from dataclasses import replace
from typing import Final

import pytest

from tests.unit.builders import AT_MS, DAY_MS, HOUR_MS, Life, post, scored
from tests.unit.memory import POLICY
from workers import care, judge
from workers.events import Action, History
from workers.judge import Judgement
from workers.policy import MILD_TO_HARSH
from workers.state import AuthorRow, apply_effect, effect_between, parse

PAST: Final = History(posts=1, strikes=0, strikes_by_label={}, confirmed=0, suspended=False)
DAYS: Final = POLICY.data.windows.distress_days


def judged(*labels: str, action: Action) -> Judgement:
    """A judgement that would lead to `action`, by whatever ladder."""
    return replace(judge.judge(POLICY, scored(*labels), PAST, post()), action=action, human=False)


# -- lately ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("after_ms", "lately"),
    [(0, True), (DAYS * DAY_MS, True), (DAYS * DAY_MS + 1, False), (-400 * DAY_MS, True)],
)
def test_a_cry_is_recent_for_the_policys_days_and_what_comes_late_is_no_earlier(after_ms: int, lately: bool) -> None:
    author = AuthorRow(distress_ms=AT_MS)
    assert care.lately_in_distress(POLICY, author, AT_MS + after_ms) is lately


def test_who_never_cried_is_not_in_distress() -> None:
    assert not care.lately_in_distress(POLICY, AuthorRow(), AT_MS)


def test_a_row_from_before_cries_were_noted_goes_by_the_last_message_of_care() -> None:
    old = parse(AuthorRow, b"\x82\xa5posts\x01\xa7care_ms\xcf" + AT_MS.to_bytes(8, "big"))
    assert old == AuthorRow(posts=1, care_ms=AT_MS)
    assert care.lately_in_distress(POLICY, old, AT_MS + DAYS * DAY_MS)
    assert not care.lately_in_distress(POLICY, old, AT_MS + DAYS * DAY_MS + 1)


def test_the_latest_cry_is_kept_whatever_order_they_come_in_and_whether_a_message_goes_out_or_not() -> None:
    ann = Life()
    ann.write("p1", "distress", at_ms=AT_MS)
    later = ann.write("p2", "distress", at_ms=AT_MS + HOUR_MS)
    assert later.care[0]["message"] is None
    assert (ann.author.care_ms, ann.author.distress_ms) == (AT_MS, AT_MS + HOUR_MS)
    ann.write("p3", "distress", at_ms=AT_MS - DAY_MS, kafka_ms=AT_MS + 2 * HOUR_MS)
    assert ann.author.distress_ms == AT_MS + HOUR_MS


def test_an_effect_that_comes_again_moves_the_last_cry_nowhere() -> None:
    before, after = AuthorRow(), AuthorRow(distress_ms=AT_MS)
    later = AuthorRow(distress_ms=AT_MS + 1)
    effect = effect_between(before, after)
    assert apply_effect(later, effect, "posts", 1).distress_ms == AT_MS + 1


# -- what the machine may still do -------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", MILD_TO_HARSH)
def test_nothing_for_good_and_no_deadline_without_a_person(action: Action) -> None:
    found = care.considerate(POLICY, judged("insult", action=action))
    if action in (Action.NONE, Action.WARN, Action.LIMIT_VISIBILITY):
        assert (found.action, found.human) == (action, False)
    elif action is Action.REQUEST_REMOVAL:
        assert (found.action, found.human) == (action, True)
    else:
        assert (found.action, found.human) == (Action.LIMIT_VISIBILITY, True)


def test_it_never_makes_an_act_harsher_and_finds_nothing_else() -> None:
    for action in MILD_TO_HARSH:
        before = judged("defamation", action=action)
        found = care.considerate(POLICY, before)
        assert MILD_TO_HARSH.index(found.action) <= MILD_TO_HARSH.index(action)
        assert replace(found, action=before.action, human=before.human) == before


def test_a_post_in_distress_itself_is_judged_as_such() -> None:
    before = judge.judge(POLICY, scored("distress", "threat"), PAST, post())
    assert care.considerate(POLICY, before) is before


# -- what others are told ----------------------------------------------------------------------------------------------


def test_a_platform_is_not_told_why_the_words_are_gentle() -> None:
    """The decision and the case say that a person decides, and why; the action only what was found."""
    ann = Life()
    ann.write("p1", "distress")
    seen = ann.write("p2", "defamation", at_ms=AT_MS + HOUR_MS)
    considerate = POLICY.reason("considerate")
    assert considerate in seen.decision["reasons"]
    assert considerate in seen.case["reasons"]
    assert considerate not in seen.action["reasons"]
    assert "名誉毀損" in seen.action["reasons"][0]
    assert (seen.action["due_at"], seen.entry.clocks_set) == (None, [])
    assert seen.action["notice"]["title"] == POLICY.data.notices_in_distress[Action.REQUEST_REMOVAL].title


def test_somebody_else_is_asked_with_a_deadline() -> None:
    seen = Life().write("p2", "defamation")
    assert POLICY.reason("considerate") not in seen.decision["reasons"]
    assert len(seen.entry.clocks_set) == 1


def test_a_lifted_hold_is_told_plainly() -> None:
    ann = Life()
    ann.write("p1", "threat")
    ann.write("p2", "distress", at_ms=AT_MS + HOUR_MS)
    seen = ann.write("p1", at_ms=AT_MS + 2 * HOUR_MS)
    assert seen.act == "restore"
    assert seen.action["notice"]["title"] == POLICY.data.notices[Action.RESTORE].title
