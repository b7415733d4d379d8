"""What each verdict does to the strike, the standing action, the clock and the case."""

import json

import pytest

from tests.unit import memory
from tests.unit.desk import UNDOES, Desk
from tests.unit.memory import AT_MS, DAY_MS, HOUR_MS, apply, only, pipeline, read, review
from workers.codec import output_id
from workers.events import Action, Topic, Verdict

STATUS = {
    "confirm": "updated",
    "overturn": "closed",
    "change_action": "updated",
    "hold": "claimed",
    "legal_hold": "claimed",
    "hand_off": "handed_off",
    "answered": "answered",
    "close": "closed",
    "reopen": "reopened",
    "appeal_filed": "reopened",
    "appeal_granted": "closed",
    "appeal_denied": "closed",
    "removal_requested": "updated",
}


@pytest.fixture
def desk() -> Desk:
    return Desk()


# -- every verdict -----------------------------------------------------------------------------------------------------


def test_every_verdict_is_in_the_tables_below() -> None:
    assert set(STATUS) == {verdict.value for verdict in Verdict}


@pytest.mark.parametrize("verdict", STATUS)
def test_what_a_verdict_does(desk: Desk, verdict: str) -> None:
    opened = only(desk.post("p1", "defamation"), Topic.ESCALATIONS)
    request = desk.rows.post()
    more = {"action": "remove"} if verdict == "change_action" else {}
    outputs = desk.review(verdict, review_id="r", **more)

    case = only(outputs, Topic.ESCALATIONS)
    assert case["case_id"] == opened["case_id"]
    assert case["status"] == STATUS[verdict] == desk.rows.author().cases[0].status
    assert case["escalation_id"] == output_id(Topic.ESCALATIONS, "r", f"escalation:{opened['case_id']}")
    asked_at_ms = AT_MS if verdict == "appeal_filed" else AT_MS + HOUR_MS  # an appeal puts nothing off
    assert case["due_at"] == memory.when(asked_at_ms + (24 if verdict == "removal_requested" else 72) * HOUR_MS)
    assert case["human_required"] is (case["status"] in ("updated", "claimed", "reopened"))
    assert case["dossier"] == opened["dossier"]
    assert case["reasons"] == [f"スタッフの判断: {verdict}"]
    assert case["priority"] == ("P2" if verdict == "removal_requested" else "P3")

    strikes = desk.rows.author().strikes
    assert len(strikes) == (0 if verdict in UNDOES else 1)
    assert [strike.confirmed for strike in strikes if verdict == "confirm"] == [True] * (verdict == "confirm")
    if verdict != "confirm":
        assert not any(strike.confirmed for strike in strikes)

    actions = read(outputs, Topic.ACTIONS)
    row = desk.rows.post()
    if verdict in UNDOES:
        assert [action["action"] for action in actions] == ["restore"]
        assert (row.standing, row.standing_id, row.clock) == (Action.NONE, "", None)
        assert desk.rows.clocks() == []
        assert (actions[0]["appeal_until"], actions[0]["clause"]) == (None, "")
    elif verdict == "change_action":
        assert [action["action"] for action in actions] == ["remove"]
        assert (row.standing, row.standing_automated, row.clock) == (Action.REMOVE, False, None)
        assert desk.rows.clocks() == []
    else:
        assert actions == []
        runs = verdict != "appeal_filed"  # whoever appeals has not been silent
        assert (row.standing, row.standing_id) == (request.standing, request.standing_id)
        assert row.clock == (request.clock if runs else None)
        assert len(desk.rows.clocks()) == runs
    for action in actions:
        assert (action["cause"], action["automated"]) == ("r", False)
        assert action["action_id"] == output_id(Topic.ACTIONS, "r", action["action"])
        assert action["supersedes"] == [request.standing_id]


@pytest.mark.parametrize("action", [action.value for action in Action if action not in (Action.NONE, Action.TERMINATE)])
def test_change_action_does_what_it_says(desk: Desk, action: str) -> None:
    before = only(desk.post("p1", "threat"), Topic.ACTIONS)
    changed = only(desk.review("change_action", action=action), Topic.ACTIONS)
    assert (changed["action"], changed["supersedes"]) == (action, [before["action_id"]])
    assert desk.rows.post().standing == ("none" if action == "restore" else action)
    assert desk.rows.author().suspended is (action == "suspend")
    assert len(desk.rows.clocks()) == (action == "request_removal")
    assert changed["reversible"] is (action not in ("remove", "suspend"))


def test_a_request_by_staff_sets_its_clock_by_the_reviews_kafka_timestamp(desk: Desk) -> None:
    desk.post("p1", "threat")
    at_ms = AT_MS + 3 * HOUR_MS
    asked = only(desk.review("change_action", action="request_removal", at_ms=at_ms), Topic.ACTIONS)
    assert asked["due_at"] == memory.when(at_ms + DAY_MS)
    ((author_id, post_id, clock),) = desk.rows.clocks()
    assert (author_id, post_id, clock.action_id, clock.due_ms) == ("ann", "p1", asked["action_id"], at_ms + DAY_MS)
    assert desk.rows.post().clock == clock


@pytest.mark.parametrize("label", ["threat", "defamation", "insult"])
def test_change_action_to_none_takes_back_what_the_platform_was_told(desk: Desk, label: str) -> None:
    before = only(desk.post("p1", label), Topic.ACTIONS)
    taken_back = only(desk.review("change_action", action="none"), Topic.ACTIONS)
    assert (taken_back["action"], taken_back["supersedes"]) == ("restore", [before["action_id"]])
    assert (desk.rows.post().standing, desk.rows.clocks()) == ("none", [])
    assert len(desk.rows.author().strikes) == 1  # only an overturn says that it was none
    assert read(desk.review("change_action", action="none"), Topic.ACTIONS) == []


def test_after_a_review_the_time_to_look_runs_from_what_comes_next(desk: Desk) -> None:
    desk.post("p1", "threat")
    desk.review("hold", at_ms=AT_MS + HOUR_MS)
    again = only(desk.post("p2", "threat", at_ms=AT_MS + 5 * HOUR_MS), Topic.ESCALATIONS)
    assert again["due_at"] == memory.when(AT_MS + 6 * HOUR_MS)


def test_a_person_who_has_decided_is_not_called_by_the_deletion(desk: Desk) -> None:
    desk.post("p1", "threat")
    desk.review("answered")
    assert only(desk.post("p1", revision=2, text=None), Topic.ESCALATIONS)["human_required"] is False


def test_a_confirmation_counts_in_the_next_decision(desk: Desk) -> None:
    desk.post("p1", "insult")
    desk.review("confirm")
    desk.review("confirm")
    seen = only(desk.post("p2"), Topic.DECISIONS)["history"]
    assert (seen["strikes"], seen["confirmed"]) == (1, 1)


def test_three_confirmed_violations_ask_a_person_to_suspend(desk: Desk) -> None:
    for n in range(3):
        desk.post(f"p{n}", "insult")
        desk.review("confirm", f"p{n}")
    outputs = desk.post("p9", "insult")
    assert only(outputs, Topic.ACTIONS)["action"] == "limit_visibility"
    assert only(outputs, Topic.ESCALATIONS)["human_required"] is True
    assert desk.rows.author().suspended is False


# -- overturn and appeal -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", sorted(UNDOES))
def test_undoing_restores_takes_the_strike_and_lifts_a_suspension(desk: Desk, verdict: str) -> None:
    desk.post("p1", "threat")
    suspended = only(desk.review("change_action", action="suspend"), Topic.ACTIONS)
    assert only(desk.post("p2"), Topic.DECISIONS)["history"]["suspended"] is True
    restored = only(desk.review(verdict), Topic.ACTIONS)
    assert (restored["action"], restored["supersedes"]) == ("restore", [suspended["action_id"]])
    author = desk.rows.author()
    assert (author.strikes, author.suspended) == ([], False)


@pytest.mark.parametrize("verdict", sorted(UNDOES))
def test_deleting_the_post_takes_no_appeal_away_from_a_suspended_author(desk: Desk, verdict: str) -> None:
    desk.post("p1", "threat")
    suspended = only(desk.review("change_action", action="suspend"), Topic.ACTIONS)
    desk.post("p1", revision=2, text=None)
    assert desk.rows.author().suspended is True
    restored = only(desk.review(verdict), Topic.ACTIONS)
    assert (restored["action"], restored["supersedes"]) == ("restore", [suspended["action_id"]])
    assert desk.rows.author().suspended is False


@pytest.mark.parametrize("verdict", sorted(UNDOES))
def test_a_removal_can_be_undone_after_the_platform_reported_the_post_as_deleted(desk: Desk, verdict: str) -> None:
    desk.post("p1", "threat")
    removed = only(desk.review("change_action", action="remove"), Topic.ACTIONS)
    desk.post("p1", revision=2, text=None)
    restored = only(desk.review(verdict), Topic.ACTIONS)
    assert (restored["action"], restored["supersedes"]) == ("restore", [removed["action_id"]])


@pytest.mark.parametrize("action", ["restore", "warn", "remove"])
def test_another_action_in_place_of_a_suspension_lifts_it(desk: Desk, action: str) -> None:
    desk.post("p1", "threat")
    desk.review("change_action", action="suspend")
    desk.review("change_action", action=action)
    assert desk.rows.author().suspended is False


def test_undoing_a_termination_that_followed_a_suspension_lifts_both(desk: Desk) -> None:
    desk.post("p1", "threat")
    desk.review("change_action", action="suspend")
    for reviewer_id in ("s1", "s2"):
        desk.review("change_action", action="terminate", reviewer_id=reviewer_id)
    assert (desk.row.standing, desk.author.suspended) == (Action.TERMINATE, True)
    desk.review("appeal_granted")
    assert desk.author.suspended is False


def test_undoing_one_post_leaves_the_strikes_and_the_suspension_of_another(desk: Desk) -> None:
    desk.post("p1", "threat")
    desk.post("p2", "threat")
    desk.review("change_action", "p1", action="suspend")
    desk.review("overturn", "p2")
    assert [strike.post_id for strike in desk.rows.author().strikes] == ["p1"]
    assert desk.rows.author().suspended is True


def test_nothing_is_restored_where_nothing_stands(desk: Desk) -> None:
    desk.post("p1")
    outputs = desk.review("overturn")
    assert [output.topic for output in outputs] == [Topic.ESCALATIONS]


# -- what is written ---------------------------------------------------------------------------------------------------


def test_a_review_owes_the_same_bytes_again(desk: Desk) -> None:
    desk.post("p1", "threat")
    record = review("appeal_granted", offset=50)
    first = apply(desk.line, record)
    rows = dict(desk.rows.rows)
    assert apply(pipeline(desk.rows), record) == first
    assert desk.rows.rows == rows


def test_the_reviewers_reason_reaches_no_output(desk: Desk) -> None:
    desk.post("p1", "threat", text="ひみつの本文")
    outputs = desk.review("change_action", action="remove", reason="ないしょ")
    for output in outputs:
        assert "ないしょ" not in output.value.decode()
        if output.topic is Topic.ACTIONS:
            assert "ひみつ" not in json.dumps(json.loads(output.value), ensure_ascii=False)
