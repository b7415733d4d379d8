"""What each verdict does to the strike, the standing action, the clock and the case."""

import json
from typing import Any

import pytest

from tests.unit import memory
from tests.unit.builders import check
from tests.unit.memory import (
    AT_MS,
    DAY_MS,
    HOUR_MS,
    POLICY,
    Json,
    MemoryRows,
    apply,
    only,
    pipeline,
    post,
    read,
    review,
)
from workers.codec import decision_id, output_id
from workers.events import Action, Topic, Verdict
from workers.pipeline import Pipeline
from workers.state import Output

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
UNDOES = {"overturn", "appeal_granted"}
BODIES_IN_DISTRESS = {"staff", "police_110", "fire_119"}


class Desk:
    """A pipeline, and the offsets of both topics."""

    def __init__(self) -> None:
        self.rows = MemoryRows()
        self.line: Pipeline = pipeline(self.rows)
        self.offset = 0

    def post(self, post_id: str = "p1", *labels: str, **more: Any) -> list[Output]:
        self.offset += 1
        given = {name: more.pop(name) for name in ("distress", "imminent") if name in more}
        return self.checked(apply(self.line, post(post_id, offset=self.offset, **more), *labels, **given))

    def review(self, verdict: str, post_id: str = "p1", **more: Any) -> list[Output]:
        self.offset += 1
        return self.checked(apply(self.line, review(verdict, post_id, offset=self.offset, **more)))

    @staticmethod
    def checked(outputs: list[Output]) -> list[Output]:
        for output in outputs:
            check(output)
        return outputs


@pytest.fixture
def desk() -> Desk:
    return Desk()


def bodies(record: Json) -> list[str]:
    return [route["body"] for route in record["routes"]]


def fault(outputs: list[Output]) -> str:
    return str(only(outputs, Topic.DEAD_LETTERS)["error"]["type"])


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
    assert case["due_at"] == memory.when(AT_MS + HOUR_MS + (24 if verdict == "removal_requested" else 72) * HOUR_MS)
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
        assert (row.standing, row.standing_id, row.clock) == (request.standing, request.standing_id, request.clock)
        assert len(desk.rows.clocks()) == 1
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
    assert desk.rows.author().suspended is True
    desk.review("appeal_granted")
    assert desk.rows.author().suspended is False


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


# -- termination -------------------------------------------------------------------------------------------------------


def test_a_termination_needs_two_different_reviewers(desk: Desk) -> None:
    desk.post("p1", "threat")
    for _ in range(2):  # the same person twice is one person
        outputs = desk.review("change_action", action="terminate", reviewer_id="s1")
        assert [output.topic for output in outputs] == [Topic.ESCALATIONS]
        assert POLICY.reason("second_person") in only(outputs, Topic.ESCALATIONS)["reasons"]
        assert desk.rows.post().standing == Action.LIMIT_VISIBILITY
    outputs = desk.review("change_action", action="terminate", reviewer_id="s2")
    assert only(outputs, Topic.ACTIONS)["action"] == "terminate"
    assert desk.rows.post().standing == Action.TERMINATE


@pytest.mark.parametrize("between", ["overturn", "appeal_granted", "warn", "none"])
@pytest.mark.parametrize("terminated", [False, True])
def test_a_withdrawn_termination_needs_two_reviewers_again(desk: Desk, between: str, terminated: bool) -> None:
    desk.post("p1", "threat")
    desk.review("change_action", action="terminate", reviewer_id="s1")
    if terminated:
        desk.review("change_action", action="terminate", reviewer_id="s2")
    if between in UNDOES:
        desk.review(between, reviewer_id="s3")
    else:
        desk.review("change_action", action=between, reviewer_id="s3")
    assert read(desk.review("change_action", action="terminate", reviewer_id="s2"), Topic.ACTIONS) == []
    assert len(read(desk.review("change_action", action="terminate", reviewer_id="s1"), Topic.ACTIONS)) == 1


def test_two_reviewers_of_different_posts_are_not_two_of_one(desk: Desk) -> None:
    desk.post("p1", "threat")
    desk.post("p2", "threat")
    desk.review("change_action", "p1", action="terminate", reviewer_id="s1")
    assert read(desk.review("change_action", "p2", action="terminate", reviewer_id="s2"), Topic.ACTIONS) == []


# -- which case --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "subject",
    [
        {"decision_id": decision_id("p1", 2)},
        {"case_id": "no such case"},
        {"post_id": "p9"},
        {"post_id": "p9", "case_id": "its own"},
        {"author_id": "bob"},
    ],
    ids=["decision", "case", "post", "post of a case", "author"],
)
def test_an_unknown_subject_is_a_dead_letter_and_changes_nothing(desk: Desk, subject: dict[str, str]) -> None:
    desk.post("p1")
    case_id = only(desk.post("p2", "defamation"), Topic.ESCALATIONS)["case_id"]
    if subject.get("case_id") == "its own":
        subject = {**subject, "case_id": case_id}
    author, row = desk.rows.author(), desk.rows.post()
    assert fault(desk.review("confirm", **{"post_id": "p1", **subject})) == "unknown_subject"
    assert (desk.rows.author(), desk.rows.post()) == (author, row)


@pytest.mark.parametrize("of_p2", ["case_id", "decision_id"])
def test_a_subject_of_another_post_is_unknown_also_where_the_post_has_a_case(desk: Desk, of_p2: str) -> None:
    """Else a review of p2 that names p1 by mistake would restore p1."""
    desk.post("p1", "threat")
    case = only(desk.post("p2", "defamation"), Topic.ESCALATIONS)
    before = dict(desk.rows.rows)
    letter = desk.review("overturn", "p1", **{of_p2: case[of_p2]})
    assert fault(letter) == "unknown_subject"
    assert {key: raw for key, raw in desk.rows.rows.items() if key[1][0] != "d"} == before


def test_a_case_id_finds_the_case(desk: Desk) -> None:
    rights = only(desk.post("p1", "defamation"), Topic.ESCALATIONS)["case_id"]
    crime = only(desk.post("p2", "crime_aid"), Topic.ESCALATIONS)["case_id"]
    assert only(desk.review("close", "p1", case_id=rights), Topic.ESCALATIONS)["case_id"] == rights
    assert [(case.case_id, case.status) for case in desk.rows.author().cases] == [(rights, "closed"), (crime, "open")]


def test_a_decision_id_alone_finds_the_decisions_own_case(desk: Desk) -> None:
    rights = only(desk.post("p1", "defamation"), Topic.ESCALATIONS)["case_id"]
    crime = only(desk.post("p1", "crime_aid", revision=2, text="別"), Topic.ESCALATIONS)["case_id"]
    assert only(desk.review("answered", revision=1), Topic.ESCALATIONS)["case_id"] == rights
    assert only(desk.review("answered", revision=2), Topic.ESCALATIONS)["case_id"] == crime


def test_a_decision_finds_its_case_after_other_posts_joined_the_episode(desk: Desk) -> None:
    case_id = only(desk.post("p1", "defamation"), Topic.ESCALATIONS)["case_id"]
    assert only(desk.post("p2", "defamation"), Topic.ESCALATIONS)["case_id"] == case_id
    desk.post("p1", revision=2)  # a benign edit: the decision has no case, its post has
    for number, revision in enumerate((1, 2)):
        record = only(desk.review("confirm", "p1", revision=revision), Topic.ESCALATIONS)
        assert record["case_id"] == case_id, number
        assert record["post_id"] == record["dossier"]["post"]["post_id"] == "p1"
        assert record["decision_id"] == decision_id("p1", revision)
    assert len(desk.rows.author().cases) == 1


def test_a_decision_without_a_case_gets_one_by_its_first_review(desk: Desk) -> None:
    desk.post("p1", "insult")
    first = only(desk.review("confirm", review_id="r"), Topic.ESCALATIONS)
    assert first["case_id"] == output_id(Topic.ESCALATIONS, "r", "case:rights")
    assert (first["status"], first["categories"], first["decision_id"]) == (
        "updated",
        ["insult"],
        decision_id("p1", 1),
    )
    assert first["dossier"]["post"]["text"] is None
    assert only(desk.review("close"), Topic.ESCALATIONS)["case_id"] == first["case_id"]
    assert len(desk.rows.author().cases) == 1


def test_a_closed_case_is_not_reused_by_a_later_post(desk: Desk) -> None:
    first = only(desk.post("p1", "defamation"), Topic.ESCALATIONS)["case_id"]
    desk.review("close")
    second = only(desk.post("p2", "defamation"), Topic.ESCALATIONS)
    assert (second["case_id"] != first, second["status"]) == (True, "open")


def test_a_request_for_removal_raises_the_case_but_never_lowers_it(desk: Desk) -> None:
    desk.post("p1", "privacy")
    assert only(desk.review("removal_requested", requested_by="police"), Topic.ESCALATIONS)["priority"] == "P1"
    desk.post("p2", "crime_aid")
    assert only(desk.review("removal_requested", "p2"), Topic.ESCALATIONS)["priority"] == "P2"
    assert only(desk.review("confirm", "p2"), Topic.ESCALATIONS)["priority"] == "P2"


# -- a person in distress ----------------------------------------------------------------------------------------------

DISTRESS: dict[str, list[Json]] = {
    "with a violation": [{"labels": ("insult", "distress")}],
    "urgent": [{"labels": ("distress",), "distress": 0.95}],
    "imminent": [{"labels": ("distress",), "imminent": True}],
    "alone": [{"labels": ("distress",)}],
    "after a warning": [{"labels": ("insult",)}, {"labels": ("distress",), "revision": 2, "text": "別"}],
    "after a case": [{"labels": ("defamation",)}, {"labels": ("distress",), "revision": 2, "text": "別"}],
    "after a hold": [{"labels": ("threat",)}, {"labels": ("distress",), "revision": 2, "text": "別"}],
    "then deleted": [
        {"labels": ("defamation",)},
        {"labels": ("distress",), "revision": 2, "text": "別"},
        {"labels": (), "revision": 3, "text": None},
    ],
}


@pytest.mark.parametrize("verdict", STATUS)
@pytest.mark.parametrize("past", DISTRESS)
def test_a_review_of_a_post_in_distress_sets_no_clock_and_keeps_to_staff(desk: Desk, past: str, verdict: str) -> None:
    found: list[Output] = []
    for step in DISTRESS[past]:
        arguments = dict(step)
        found = desk.post("p1", *arguments.pop("labels"), **arguments)
    more = {"action": "request_removal"} if verdict == "change_action" else {}
    outputs = desk.review(verdict, **more)
    assert desk.rows.clocks() == []
    assert desk.rows.post().clock is None
    for record in read([*found, *outputs], Topic.ESCALATIONS):
        assert set(bodies(record)) <= BODIES_IN_DISTRESS
        assert bodies(record)[0] == "staff"
        assert len(bodies(record)) == (3 if record["priority"] in ("P0", "P1") else 1)
    assert only(outputs, Topic.ESCALATIONS)
    for action in read(outputs, Topic.ACTIONS):
        assert action["due_at"] is None
        if action["action"] != "restore":
            assert action["notice"]["title"] == POLICY.data.notice_in_distress.title
    assert read(outputs, Topic.CARE) == []


def test_a_restored_post_in_distress_gets_the_plain_words(desk: Desk) -> None:
    desk.post("p1", "threat", "distress")
    restored = only(desk.review("overturn"), Topic.ACTIONS)
    assert restored["notice"]["title"] == POLICY.data.notices[Action.RESTORE].title


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
