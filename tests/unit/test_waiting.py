"""What waits in a case: a verdict on one post is about that post, and the rest of the case waits on."""

import pytest

from tests.unit.desk import UNDOES, Desk, acts, case
from tests.unit.memory import AT_MS, DAY_MS, HOUR_MS, Json, only, read, when
from workers.events import Action, Topic

ENDS = (*UNDOES, "appeal_denied")
MINUTE_MS = 60_000


@pytest.fixture
def desk() -> Desk:
    return Desk()


def stands(record: Json) -> tuple[str, bool]:
    """Where a case stands, and whether a person has to decide."""
    return record["status"], record["human_required"]


# -- a verdict on one post ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", ENDS)
@pytest.mark.parametrize("first", ["p1", "p2"])
def test_a_case_is_closed_when_the_last_of_its_posts_is_decided(desk: Desk, verdict: str, first: str) -> None:
    desk.post("p1", "threat")
    desk.post("p2", "threat")
    assert stands(case(desk.review(verdict, first))) == ("updated", True)
    assert stands(case(desk.review(verdict, "p2" if first == "p1" else "p1"))) == ("closed", False)


@pytest.mark.parametrize("verdict", ENDS)
def test_a_post_that_nobody_has_looked_at_keeps_it_open_without_calling_anybody(desk: Desk, verdict: str) -> None:
    desk.post("p1", "privacy")
    desk.post("p2", "defamation")  # asked to go by the machine
    assert stands(case(desk.review(verdict, "p1"))) == ("updated", False)
    assert stands(case(desk.review(verdict, "p2"))) == ("closed", False)


def test_what_a_person_has_carried_out_waits_no_more(desk: Desk) -> None:
    desk.post("p1", "threat")
    desk.post("p2", "threat")
    desk.review("change_action", "p1", action="remove")
    assert stands(case(desk.review("overturn", "p2"))) == ("closed", False)


@pytest.mark.parametrize(
    "asks",
    ["confirm", "hold", "legal_hold", "reopen", "appeal_filed", "removal_requested", "terminate"],
)
def test_what_a_person_has_not_carried_out_or_asked_for_waits_on(desk: Desk, asks: str) -> None:
    desk.post("p1", "threat")
    desk.post("p2", "threat")
    if asks == "terminate":  # the first of two
        desk.review("change_action", "p1", action="suspend")
        desk.review("change_action", "p1", action="terminate")
    else:
        desk.review(asks, "p1")
    assert stands(case(desk.review("overturn", "p2"))) == ("updated", True)


def test_a_case_that_was_closed_and_called_back_by_one_post_is_closed_with_it(desk: Desk) -> None:
    desk.post("p1", "threat")
    desk.post("p2", "threat")
    desk.review("close", "p1")
    desk.review("appeal_filed", "p2")
    assert stands(case(desk.review("appeal_denied", "p2"))) == ("closed", False)


@pytest.mark.parametrize("passed_on", ["hand_off", "answered"])
def test_what_was_passed_on_has_been_looked_at_but_a_hold_is_not_decided_by_that(desk: Desk, passed_on: str) -> None:
    desk.post("p1", "defamation")
    desk.post("p2", "defamation")
    desk.review(passed_on, "p1")
    assert stands(case(desk.review("overturn", "p1"))) == ("closed", False)
    desk.post("p3", "threat")
    desk.post("p4", "threat")
    desk.review(passed_on, "p3")
    assert stands(case(desk.review("overturn", "p3"))) == ("updated", True)


@pytest.mark.parametrize("verdict", ENDS)
def test_a_verdict_on_a_revision_leaves_the_post_waiting_for_the_next_one(desk: Desk, verdict: str) -> None:
    desk.post("p1", "threat")
    desk.edit("threat")
    assert stands(case(desk.review(verdict, revision=1))) == ("updated", True)
    assert desk.row.standing is Action.LIMIT_VISIBILITY  # nobody has looked at what hides it now
    assert stands(case(desk.review(verdict, revision=2))) == ("closed", False)


def test_a_verdict_on_a_revision_calls_nobody_back_to_a_later_one_that_was_decided(desk: Desk) -> None:
    desk.post("p1", "threat")
    desk.edit("threat")
    desk.review("appeal_denied", revision=2)
    assert stands(case(desk.review("appeal_denied", revision=1))) == ("closed", False)


@pytest.mark.parametrize("verdict", UNDOES)
def test_what_is_undone_is_over_in_every_case_that_waits_for_the_post(desk: Desk, verdict: str) -> None:
    desk.post("p1", "threat", "crime_aid")
    desk.post("p2", "crime_aid")
    over = {
        tuple(record["categories"]): stands(record) for record in read(desk.review(verdict, "p1"), Topic.ESCALATIONS)
    }
    assert over == {("threat",): ("closed", False), ("crime_aid",): ("updated", False)}  # p2 is asked to go


def test_but_not_in_the_case_of_a_person_in_distress(desk: Desk) -> None:
    desk.post("p1", "threat", "distress", imminent=True)
    assert case(desk.review("overturn"))["categories"] == ["threat"]
    assert [(one.group, one.status, one.human) for one in desk.author.cases] == [
        ("safety", "closed", False),
        ("care", "open", True),
    ]


def test_nor_does_a_verdict_that_goes_to_such_a_case_end_another(desk: Desk) -> None:
    desk.post("p1", "threat")
    desk.edit("distress")
    outputs = desk.review("overturn", revision=2)
    assert (acts(outputs), case(outputs)["categories"]) == (["restore"], ["distress"])
    assert [(one.group, one.status) for one in desk.author.cases] == [("safety", "open"), ("care", "closed")]


def test_a_case_named_alone_is_about_its_own_labels(desk: Desk) -> None:
    threat, crime = read(desk.post("p1", "threat", "crime_aid"), Topic.ESCALATIONS)
    outputs = desk.review("overturn", case_id=threat["case_id"])
    assert (acts(outputs), stands(case(outputs))) == ([], ("closed", False))
    assert (desk.strikes[0].labels, desk.row.standing) == (["crime_aid"], Action.LIMIT_VISIBILITY)
    outputs = desk.review("overturn", case_id=crime["case_id"])
    assert (acts(outputs), stands(case(outputs)), desk.strikes) == (["restore"], ("closed", False), [])


# -- when a person must have looked ------------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", ["confirm", "overturn", "appeal_denied", "change_action"])
def test_who_looked_at_one_post_has_not_looked_at_another(desk: Desk, verdict: str) -> None:
    desk.post("p1", "threat")
    desk.post("p2", "threat", at_ms=AT_MS + 10 * MINUTE_MS)
    more = {"action": "remove"} if verdict == "change_action" else {}
    looked = case(desk.review(verdict, "p1", at_ms=AT_MS + 20 * MINUTE_MS, **more))
    assert looked["due_at"] == when(AT_MS + 60 * MINUTE_MS)
    looked = case(desk.review("hold", "p2", at_ms=AT_MS + 30 * MINUTE_MS))
    assert looked["due_at"] == when(AT_MS + 90 * MINUTE_MS)


@pytest.mark.parametrize("verdict", ["appeal_filed", "removal_requested"])
def test_nothing_that_is_asked_puts_off_when_a_person_must_look(desk: Desk, verdict: str) -> None:
    desk.post("p1", "threat")
    for minutes in (20, 40, 59):
        asked = case(desk.review(verdict, at_ms=AT_MS + minutes * MINUTE_MS))
        assert asked["due_at"] == when(AT_MS + 60 * MINUTE_MS)
    assert case(desk.post("p2", "threat", at_ms=AT_MS + HOUR_MS))["due_at"] == when(AT_MS + 60 * MINUTE_MS)


def test_an_appeal_that_calls_people_back_gives_them_their_time(desk: Desk) -> None:
    desk.post("p1", "threat")
    desk.review("close")
    assert case(desk.review("appeal_filed", at_ms=AT_MS + DAY_MS))["due_at"] == when(AT_MS + DAY_MS + HOUR_MS)


def test_a_request_for_removal_raises_the_case_but_never_lowers_it(desk: Desk) -> None:
    desk.post("p1", "privacy")
    assert only(desk.review("removal_requested", requested_by="police"), Topic.ESCALATIONS)["priority"] == "P1"
    desk.post("p2", "crime_aid")
    assert only(desk.review("removal_requested", "p2"), Topic.ESCALATIONS)["priority"] == "P2"
    assert only(desk.review("confirm", "p2"), Topic.ESCALATIONS)["priority"] == "P2"


# -- what the author does meanwhile ------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["deletes", "edits"])
def test_a_post_that_its_author_takes_away_waits_no_more(desk: Desk, how: str) -> None:
    desk.post("p1", "threat")
    desk.post("p2", "threat")
    told = case(desk.edit(post_id="p1") if how == "edits" else desk.edit(post_id="p1", text=None))
    assert (told["post_id"], stands(told)) == ("p1", ("updated", True))
    assert stands(case(desk.review("overturn", "p2"))) == ("closed", False)


def test_a_clean_edit_of_the_last_post_that_waited_calls_for_nobody_any_more(desk: Desk) -> None:
    desk.post("p1", "threat")
    outputs = desk.edit()
    assert (acts(outputs), stands(case(outputs))) == (["restore"], ("updated", False))
    assert read(desk.edit(), Topic.ESCALATIONS) == []  # told once
    assert stands(case(desk.edit("threat"))) == ("updated", True)


def test_a_hold_that_an_edit_does_not_lift_still_waits(desk: Desk) -> None:
    desk.post("p1", "threat")
    desk.review("change_action", action="limit_visibility")
    assert stands(case(desk.edit())) == ("updated", True)  # who put it on hears of the edit
    assert read(desk.edit(), Topic.ESCALATIONS) == []
    desk.review("reopen")
    assert stands(case(desk.edit())) == ("updated", True)
    desk.post("q1", "privacy")
    assert stands(case(desk.edit("insult", post_id="q1"))) == ("updated", True)
    assert desk.rows.post("q1").standing is Action.LIMIT_VISIBILITY


@pytest.mark.parametrize("asks", ["appeal_filed", "removal_requested", "hold"])
@pytest.mark.parametrize("how", ["deletes", "edits"])
def test_what_a_person_asked_for_is_decided_whatever_the_author_does(desk: Desk, asks: str, how: str) -> None:
    desk.post("p1", "threat")
    desk.post("p2", "threat")
    desk.review(asks, "p1")
    desk.edit(post_id="p1", **({} if how == "edits" else {"text": None}))
    assert stands(case(desk.review("overturn", "p2"))) == ("updated", True)


@pytest.mark.parametrize("how", ["deletes", "edits"])
def test_whatever_a_person_in_distress_takes_away_somebody_looks(desk: Desk, how: str) -> None:
    desk.post("p1", "distress", imminent=True)
    desk.post("p2", "distress", imminent=True)
    told = case(desk.edit(post_id="p1", **({} if how == "edits" else {"text": None})))
    assert stands(told) == ("updated", True)
    assert stands(case(desk.review("overturn", "p2"))) == ("updated", True)


def test_a_deletion_is_told_to_a_case_that_a_review_opened(desk: Desk) -> None:
    desk.post("p1", "insult")
    opened = case(desk.review("removal_requested", requested_by="victim"))
    gone = case(desk.edit(text=None))
    assert (gone["case_id"], stands(gone)) == (opened["case_id"], ("updated", True))
    assert gone["dossier"]["post"] == {"post_id": "p1", "revision": 1, "text": None, "occurred_at": when(AT_MS)}


def test_a_record_of_a_deletion_follows_the_record_before_it(desk: Desk) -> None:
    desk.post("p1", "threat")
    desk.post("p2", "threat")
    heads = [desk.author.cases[0].head]
    assert case(desk.edit(post_id="p1", text=None))["previous_sha256"] == heads[-1]
    heads.append(desk.author.cases[0].head)
    assert case(desk.edit(post_id="p2"))["previous_sha256"] == heads[-1]
    heads.append(desk.author.cases[0].head)
    assert len(set(heads)) == 3
