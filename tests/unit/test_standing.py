"""What stands on a post: beside a suspension, through an appeal, and once what was asked for was done."""

from contextlib import suppress
from dataclasses import replace

import pytest

from tests.unit.desk import UNDOES, Desk, acts, case
from tests.unit.memory import (
    AT_MS,
    CONTEXT,
    DAY_MS,
    HOUR_MS,
    POLICY,
    Cut,
    apply,
    only,
    pipeline,
    post,
    read,
    review,
    when,
)
from workers.decide import Context
from workers.events import Action, Topic
from workers.state import Output, changed


@pytest.fixture
def desk() -> Desk:
    return Desk()


def action(outputs: list[Output]) -> tuple[str, list[str]]:
    """The one action, and what it takes the place of."""
    found = only(outputs, Topic.ACTIONS)
    return found["action"], found["supersedes"]


def run_out(desk: Desk, at_ms: int) -> list[str]:
    """What the clocks lead to."""
    outputs: list[Output] = []
    for author_id, post_id, clock in desk.line.due(0, at_ms):
        outputs += desk.line.fire(0, author_id, post_id, clock)
        desk.line.settle(0, clock)
    return acts(outputs)


def suspended(*edit: str, context: Context = CONTEXT) -> tuple[Desk, str, list[Output]]:
    """Ann, suspended for p1, edits it. The suspension's id, and what the edit led to."""
    desk = Desk(context=context)
    desk.post("p1", "insult")
    suspension = only(desk.review("change_action", action="suspend"), Topic.ACTIONS)["action_id"]
    return desk, suspension, desk.edit(*edit)


# -- beside a suspension -----------------------------------------------------------------------------------------------


def test_a_suspended_authors_post_that_gets_worse_is_hidden_and_the_suspension_stands() -> None:
    desk, _, outputs = suspended("threat")
    assert action(outputs) == ("limit_visibility", [])
    assert case(outputs)["human_required"]
    assert (desk.row.standing, desk.row.beside, desk.author.suspended) == (
        Action.SUSPEND,
        Action.LIMIT_VISIBILITY,
        True,
    )
    assert acts(desk.edit("threat")) == []  # once


@pytest.mark.parametrize("labels", [(), ("insult",), ("defamation",), ("distress", "insult")])
def test_a_suspended_author_is_neither_warned_nor_asked(labels: tuple[str, ...]) -> None:
    desk, _, outputs = suspended(*labels)
    assert (acts(outputs), desk.row.beside, desk.row.standing) == ([], Action.NONE, Action.SUSPEND)


def test_a_clean_edit_lifts_that_hold_and_not_the_suspension() -> None:
    desk, _, outputs = suspended("threat")
    hold = only(outputs, Topic.ACTIONS)["action_id"]
    lifted = desk.edit()
    assert action(lifted) == ("restore", [hold])
    assert "表示されるように" in only(lifted, Topic.ACTIONS)["notice"]["body"]
    assert (desk.row.standing, desk.row.beside, desk.author.suspended) == (Action.SUSPEND, Action.NONE, True)


def test_a_deletion_ends_that_hold_and_not_the_suspension() -> None:
    desk, suspension, _ = suspended("threat")
    desk.edit(text=None)
    assert (desk.row.standing_id, desk.row.beside) == (suspension, Action.NONE)
    assert action(desk.edit("threat"))[0] == "limit_visibility"  # posted anew


@pytest.mark.parametrize("verdict", UNDOES)
def test_an_overturn_of_the_whole_lifts_both_and_says_so(verdict: str) -> None:
    desk, suspension, outputs = suspended("threat")
    hold = only(outputs, Topic.ACTIONS)["action_id"]
    restored = desk.review(verdict, revision=2)
    assert action(restored) == ("restore", [suspension, hold])
    notice = only(restored, Topic.ACTIONS)["notice"]
    assert "アカウント" in notice["title"]
    assert "アカウント" in notice["body"]
    assert "表示されるように" in notice["body"]
    assert (desk.row.standing, desk.row.beside, desk.author.suspended) == (Action.NONE, Action.NONE, False)


@pytest.mark.parametrize("verdict", UNDOES)
def test_an_overturn_of_the_suspension_leaves_the_hold_of_the_later_text(verdict: str) -> None:
    desk, suspension, outputs = suspended("threat")
    hold = only(outputs, Topic.ACTIONS)["action_id"]
    assert action(desk.review(verdict, revision=1)) == ("restore", [suspension])
    assert (desk.row.standing_id, desk.row.beside, desk.author.suspended) == (hold, Action.NONE, False)
    assert action(desk.edit()) == ("restore", [hold])


def test_a_persons_measure_takes_the_place_of_both() -> None:
    desk, suspension, outputs = suspended("threat")
    hold = only(outputs, Topic.ACTIONS)["action_id"]
    assert action(desk.review("change_action", action="remove", revision=2)) == ("remove", [suspension, hold])
    assert (desk.row.beside, desk.author.suspended) == (Action.NONE, False)


def test_with_more_authority_a_rung_against_the_author_removes_the_post_of_one_who_is_suspended() -> None:
    authority = changed(POLICY.data.authority, model=[*POLICY.data.authority.model, Action.REMOVE, Action.SUSPEND])
    raised = replace(CONTEXT, policy=replace(POLICY, data=changed(POLICY.data, authority=authority)))
    desk = Desk(context=raised)
    desk.post("p0", "suicide_inducement", at_ms=AT_MS - DAY_MS)
    desk.post("p1", "insult")
    desk.review("change_action", "p1", action="suspend")
    assert acts(desk.edit("suicide_inducement")) == ["remove"]  # a second one would suspend
    assert desk.row.beside == "remove"
    desk.edit(text=None)
    assert desk.row.beside == "remove"  # an appeal may still restore it
    desk.edit()
    assert desk.row.beside == "none"  # written anew


def test_a_measure_for_a_later_revision_is_not_lifted_by_a_verdict_on_an_earlier_one(desk: Desk) -> None:
    desk.post("p1", "insult")
    desk.edit(text="モデルには見えない違反")
    desk.review("change_action", action="remove", revision=2)
    assert acts(desk.review("overturn", revision=1)) == []
    assert acts(desk.review("overturn", revision=2)) == ["restore"]


# -- what a restore says -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stands", "title"),
    [
        ("warn", "お願いを取り消しました"),
        ("request_removal", "投稿の削除のお願いを取り消しました"),
        ("limit_visibility", "投稿の表示を元に戻しました"),
        ("remove", "投稿の表示を元に戻しました"),
        ("suspend", "アカウントの利用停止を解除しました"),
    ],
)
@pytest.mark.parametrize("how", ["overturn", "change_action"])
def test_a_restore_tells_what_was_taken_back(desk: Desk, stands: str, title: str, how: str) -> None:
    desk.post("p1", "insult")
    desk.review("change_action", action=stands)
    more = {"action": "none"} if how == "change_action" else {}
    restored = only(desk.review(how, **more), Topic.ACTIONS)
    assert (restored["notice"]["title"], restored["notice"]["resources"]) == (title, [])


def test_a_policy_without_these_words_says_what_it_said() -> None:
    plain = replace(CONTEXT, policy=replace(POLICY, data=changed(POLICY.data, restored={})))
    desk = Desk(context=plain)
    desk.post("p1", "insult")
    assert only(desk.review("overturn"), Topic.ACTIONS)["notice"]["title"] == "投稿の表示を元に戻しました"


# -- an appeal against a request ---------------------------------------------------------------------------------------


def test_a_request_waits_for_the_decision_on_its_appeal_and_is_asked_anew_when_denied(desk: Desk) -> None:
    request = only(desk.post("p1", "defamation"), Topic.ACTIONS)["action_id"]
    desk.review("appeal_filed")
    assert (run_out(desk, AT_MS + 9 * DAY_MS), desk.row.standing) == ([], Action.REQUEST_REMOVAL)
    at_ms = AT_MS + 9 * DAY_MS
    denied = desk.review("appeal_denied", at_ms=at_ms, reviewer_id="s2")
    asked = only(denied, Topic.ACTIONS)
    assert action(denied) == ("request_removal", [request])
    assert (asked["automated"], asked["due_at"], asked["clause"]) == (False, when(at_ms + DAY_MS), "model-rights")
    assert run_out(desk, at_ms + DAY_MS) == ["remove"]
    assert acts(desk.review("appeal_denied", at_ms=at_ms + 2 * DAY_MS)) == []  # nothing of it was stopped


@pytest.mark.parametrize("meanwhile", ["deleted", "edited", "granted", "closed"])
def test_a_request_that_was_settled_meanwhile_is_not_asked_anew(desk: Desk, meanwhile: str) -> None:
    desk.post("p1", "defamation")
    desk.review("appeal_filed")
    if meanwhile == "deleted":
        desk.edit(text=None)
    elif meanwhile == "edited":
        assert "投稿者の対応により削除要請は完了" in only(desk.edit(), Topic.DECISIONS)["reasons"]
    elif meanwhile == "granted":
        desk.review("appeal_granted")
    else:
        desk.review("change_action", action="none")
    assert acts(desk.review("appeal_denied", at_ms=AT_MS + DAY_MS)) == []
    assert run_out(desk, AT_MS + 99 * DAY_MS) == []


def test_a_request_that_an_appeal_stopped_is_dropped_as_any_when_its_author_despairs(desk: Desk) -> None:
    desk.post("p1", "defamation")
    desk.review("appeal_filed")
    desk.edit("defamation", "distress")
    assert (desk.row.standing, desk.row.stopped) == (Action.NONE, False)
    assert acts(desk.review("appeal_denied", revision=2)) == []


def test_an_appeal_against_an_earlier_warning_does_not_stop_the_later_request(desk: Desk) -> None:
    desk.post("p1", "insult")
    desk.edit("defamation")
    desk.review("appeal_filed", revision=1)
    assert run_out(desk, AT_MS + 2 * DAY_MS) == ["remove"]


def test_an_appeal_names_the_latest_text_and_means_the_request_that_stands(desk: Desk) -> None:
    desk.post("p1", "defamation")
    desk.edit("defamation")
    desk.review("appeal_filed", revision=2)
    assert run_out(desk, AT_MS + 2 * DAY_MS) == []


# -- what the request asked for was done -------------------------------------------------------------------------------


def settled(outputs: list[Output]) -> bool:
    return "投稿者の対応により削除要請は完了" in only(outputs, Topic.DECISIONS)["reasons"]


def test_what_is_left_after_the_claim_is_gone_has_been_warned_of(desk: Desk) -> None:
    desk.post("p1", "defamation", "insult")
    edited = desk.edit("insult")
    assert (settled(edited), acts(edited), desk.row.standing, desk.row.clock) == (True, [], Action.WARN, None)
    assert acts(desk.edit("insult")) == []
    assert run_out(desk, AT_MS + 9 * DAY_MS) == []
    assert acts(desk.edit("defamation")) == ["request_removal"]


@pytest.mark.parametrize("labels", [("defamation",), ("crime_aid",), ("defamation", "insult")])
def test_what_still_deserves_a_request_settles_none(desk: Desk, labels: tuple[str, ...]) -> None:
    desk.post("p1", "defamation", "insult")
    edited = desk.edit(*labels)
    assert (settled(edited), acts(edited)) == (False, [])
    assert run_out(desk, AT_MS + 9 * DAY_MS) == ["remove"]


def test_a_claim_that_is_only_less_certain_is_still_there(desk: Desk) -> None:
    desk.post("p1", "defamation")
    record = post("p1", 2, text="少し変えた", offset=9, at_ms=AT_MS + HOUR_MS)
    assert not settled(apply(desk.line, record, defamation=0.55))
    assert run_out(desk, AT_MS + 9 * DAY_MS) == ["remove"]


def test_a_request_of_staff_is_about_all_that_was_found(desk: Desk) -> None:
    """The machine would only warn of an insult; who asked for its removal is not answered by another insult."""
    desk.post("p1", "insult")
    desk.review("change_action", action="request_removal")
    assert not settled(desk.edit("insult"))
    assert settled(desk.edit())


# -- a crash between the topics ----------------------------------------------------------------------------------------


def test_a_verdict_that_an_edit_overtook_after_a_crash_keeps_what_both_found(desk: Desk) -> None:
    desk.post("p1", "insult")
    overturn = review("overturn", offset=50)
    desk.rows.cut = len(desk.rows.log) + 1  # behind the entry
    with suppress(Cut):
        apply(pipeline(desk.rows), overturn)
    desk.rows.cut = None
    line = pipeline(desk.rows)
    apply(line, post("p1", 2, text="別", offset=51), "threat")
    assert [output.topic for output in apply(line, overturn)] == [Topic.ACTIONS, Topic.ESCALATIONS]
    first, second = desk.row.found.values()
    assert (first.stands, second.stands) == ([], ["threat"])
    assert read(apply(line, overturn), Topic.ACTIONS) != []
