"""What staff say counts for the decision that they name; a post is one strike, of what still stands against it."""

import pytest

from tests.unit.desk import UNDOES, Desk, acts, case, fault, seen
from tests.unit.memory import AT_MS, DAY_MS, HOUR_MS, POLICY, only, read
from workers import strikes
from workers.events import Action, Topic
from workers.state import AuthorRow, Finding, PostRow, Strike, changed, dump, parse, post_key


@pytest.fixture
def desk() -> Desk:
    return Desk()


def struck(desk: Desk) -> list[tuple[list[str], bool]]:
    """Labels of the strikes, and whether a person confirmed them."""
    return [(strike.labels, strike.confirmed) for strike in desk.strikes]


# -- a confirmation ----------------------------------------------------------------------------------------------------


def test_a_confirmation_of_a_harmless_edit_confirms_nothing(desk: Desk) -> None:
    desk.post("p1", "insult")
    desk.edit()
    desk.review("confirm", revision=2)
    assert struck(desk) == [(["insult"], False)]
    desk.review("confirm", revision=1)
    assert struck(desk) == [(["insult"], True)]


def test_a_case_named_alone_stands_for_its_last_decision_on_the_post(desk: Desk) -> None:
    case_id = case(desk.post("p1", "defamation"))["case_id"]
    desk.edit()
    desk.review("confirm", case_id=case_id)
    assert struck(desk) == [(["defamation"], True)]


def test_a_person_may_confirm_the_violation_beside_distress_and_not_the_distress(desk: Desk) -> None:
    desk.post("p1", "insult", "distress", at_ms=AT_MS)
    desk.post("p2", "distress")
    for post_id in ("p1", "p2"):
        desk.review("confirm", post_id)
    assert [(strike.post_id, strike.at_ms) for strike in desk.strikes] == [("p1", AT_MS)]
    assert struck(desk) == [(["insult"], True)]


@pytest.mark.parametrize("verdict", UNDOES)
def test_what_staff_said_was_none_stays_none_until_it_is_reopened(desk: Desk, verdict: str) -> None:
    desk.post("p1", "insult")
    desk.review(verdict)
    desk.edit()
    for revision in (1, 2):
        desk.review("confirm", revision=revision)
        assert struck(desk) == []
    desk.review("reopen", revision=1)
    assert struck(desk) == []
    desk.review("confirm", revision=1)
    assert struck(desk) == [(["insult"], True)]


def test_a_case_reopened_by_its_id_may_be_confirmed_again(desk: Desk) -> None:
    case_id = case(desk.post("p1", "defamation"))["case_id"]
    for verdict in ("overturn", "confirm", "reopen", "confirm"):
        desk.review(verdict, case_id=case_id)
    assert struck(desk) == [(["defamation"], True)]


# -- three confirmed violations ----------------------------------------------------------------------------------------


def test_the_third_confirmation_in_90_days_asks_for_the_suspension(desk: Desk) -> None:
    reason = POLICY.reason("suspend", days=90, count=3)
    for number in range(4):
        at_ms = AT_MS + number * 40 * DAY_MS
        desk.post(f"p{number}", "insult", at_ms=at_ms)
        asked = case(desk.review("confirm", f"p{number}", at_ms=at_ms + HOUR_MS))
        assert (reason in asked["reasons"]) == (number >= 2)
        assert asked["human_required"]
    assert desk.author.suspended is False
    desk.review("change_action", "p3", action="suspend")
    assert reason not in case(desk.review("confirm", "p3"))["reasons"]  # it was done


def test_what_a_confirmation_asks_for_is_not_over_with_another_post(desk: Desk) -> None:
    for number in range(4):
        desk.post(f"p{number}", "threat")
    for number in range(3):
        desk.review("confirm", f"p{number}")
        desk.review("appeal_denied", f"p{number}") if number < 2 else None
    asked = case(desk.review("overturn", "p3"))
    assert (asked["status"], asked["human_required"]) == ("updated", True)


def test_a_confirmation_from_a_clock_that_is_behind_counts_the_strike_it_confirms(desk: Desk) -> None:
    desk = Desk()
    for number in range(3):
        desk.post(f"p{number}", "insult")
        asked = case(desk.review("confirm", f"p{number}", occurred_at="2026-10-31T00:00:00Z"))
    assert POLICY.reason("suspend", days=90, count=3) in asked["reasons"]


# -- an overturn -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", UNDOES)
def test_an_overturn_reaches_the_decision_that_it_names_and_those_before(desk: Desk, verdict: str) -> None:
    desk.post("p1", "insult")
    desk.edit("threat")
    desk.review("confirm", revision=2)
    outputs = desk.review(verdict, revision=1)
    assert (acts(outputs), struck(desk)) == ([], [(["threat"], True)])
    assert desk.row.standing is Action.LIMIT_VISIBILITY
    outputs = desk.review(verdict, revision=2)
    assert (acts(outputs), struck(desk)) == (["restore"], [])


@pytest.mark.parametrize("verdict", UNDOES)
def test_an_overturn_of_the_latest_revision_undoes_the_whole_post(desk: Desk, verdict: str) -> None:
    """As staff see it: what they look at is the post as it is now, and all that was done about it was wrong."""
    desk.post("p1", "insult")
    desk.edit()
    outputs = desk.review(verdict, revision=2)
    assert (acts(outputs), struck(desk)) == (["restore"], [])


def test_a_strike_of_the_edit_counts_from_the_post_that_it_was(desk: Desk) -> None:
    desk.post("p1", "insult")
    desk.edit("defamation", at_ms=AT_MS + DAY_MS)
    desk.review("overturn", revision=1)
    assert [(strike.labels, strike.at_ms) for strike in desk.strikes] == [(["defamation"], AT_MS)]


def test_what_is_flagged_anew_after_an_overturn_is_a_new_matter(desk: Desk) -> None:
    desk.post("p1", "insult")
    desk.review("overturn")
    assert acts(desk.edit("insult")) == ["warn"]
    assert struck(desk) == [(["insult"], False)]


def test_two_cases_of_a_post_have_two_verdicts(desk: Desk) -> None:
    threat, crime = read(desk.post("p1", "threat", "crime_aid"), Topic.ESCALATIONS)
    desk.review("overturn", case_id=crime["case_id"])
    desk.review("confirm", case_id=threat["case_id"])
    assert struck(desk) == [(["threat"], True)]


# -- the clause of a person's action -----------------------------------------------------------------------------------


def cited(desk: Desk, **more: str) -> tuple[str, str]:
    """Clause and notice of a removal by a person."""
    action = only(desk.review("change_action", action="remove", **more), Topic.ACTIONS)
    return action["clause"], action["notice"]["body"]


def test_where_the_model_saw_nothing_the_notice_cites_no_empty_clause(desk: Desk) -> None:
    desk.post("p1")
    clause, body = cited(desk)
    assert (clause, "「禁止事項」" in body, "理由" in body, "異議" in body) == ("", True, False, True)


def test_a_reviewer_may_name_the_clause(desk: Desk) -> None:
    desk.post("p1")
    clause, body = cited(desk, clause="model-privacy")
    assert (clause, "プライバシー" in body, "理由" in body) == ("model-privacy", True, False)
    desk.post("p2", "insult", "obscene")
    outputs = desk.review("change_action", "p2", action="remove", clause="model-obscene")
    action = only(outputs, Topic.ACTIONS)
    assert action["clause"] == "model-obscene"
    assert "理由: わいせつ・児童の性的搾取\n" in action["notice"]["body"]


def test_a_clause_that_the_policy_has_not_is_a_dead_letter_that_may_be_sent_again(desk: Desk) -> None:
    desk.post("p1")
    before = desk.row
    assert fault(desk.review("change_action", action="remove", clause="model-nonsense")) == "unknown_subject"
    assert desk.row == before


def test_the_clause_is_that_of_the_decision_named_or_of_what_still_stands(desk: Desk) -> None:
    desk.post("p1", "threat")
    desk.edit("obscene")
    desk.edit()
    assert cited(desk, decision_id=case(desk.review("hold", revision=1))["decision_id"])[0] == "model-rights"
    assert cited(desk, decision_id=case(desk.review("hold", revision=2))["decision_id"])[0] == "model-obscene"
    assert cited(desk, decision_id=case(desk.review("hold", revision=3))["decision_id"])[0] == "model-obscene"
    desk.review("overturn", revision=3)
    assert cited(desk)[0] == ""  # nothing of it stands


def test_the_clause_is_never_that_of_what_staff_took_back(desk: Desk) -> None:
    threat, _ = read(desk.post("p1", "threat", "obscene"), Topic.ESCALATIONS)
    assert only(desk.review("change_action", action="warn"), Topic.ACTIONS)["clause"] == "model-rights"
    desk.review("overturn", case_id=threat["case_id"])
    assert cited(desk)[0] == "model-obscene"


# -- rows from before decisions were told apart ------------------------------------------------------------------------


def old_row(desk: Desk) -> None:
    """The post's row as it was written then."""
    new = ("found", "more_cases", "standing_revision", "beside", "beside_id", "asked", "stopped")
    plain = PostRow()
    row = changed(desk.row, **{name: getattr(plain, name) for name in new})
    desk.rows.put(0, post_key("ann", "p1"), dump(row))
    assert not any(name.encode() in dump(row) for name in new)


@pytest.mark.parametrize("verdict", UNDOES)
def test_any_verdict_reaches_what_an_old_row_holds(desk: Desk, verdict: str) -> None:
    desk.post("p1", "insult")
    desk.edit("threat")
    old_row(desk)
    desk.review("confirm", revision=2)
    assert struck(desk) == [(["insult", "threat"], True)]
    old_row(desk)
    assert acts(desk.review(verdict, revision=1)) == ["restore"]
    assert struck(desk) == []


def test_an_edit_of_an_old_row_keeps_its_strike_and_adds_to_it(desk: Desk) -> None:
    desk.post("p1", "insult")
    desk.review("confirm")
    old_row(desk)
    desk.edit("defamation")
    assert struck(desk) == [(["insult", "defamation"], True)]
    assert seen(desk.post("p2"))["confirmed"] == 1
    desk.review("overturn", revision=2)
    assert struck(desk) == []


def test_a_clean_edit_of_an_old_row_tells_its_decisions_apart(desk: Desk) -> None:
    desk.post("p1", "insult")
    old_row(desk)
    desk.edit()
    desk.review("confirm", revision=2)
    assert struck(desk) == [(["insult"], False)]
    desk.review("confirm", revision=1)
    assert struck(desk) == [(["insult"], True)]


def test_an_old_row_without_a_strike_has_none_by_its_labels() -> None:
    row = PostRow(labels=["insult"], decision_id="d", last_ms=7, clause="model-rights")
    found = strikes.findings(AuthorRow(), row, "p1")
    assert found == {"d": Finding(revision=0, at_ms=7, labels=["insult"], clause="model-rights")}
    confirmed, _, violation = strikes.confirm(AuthorRow(), row, "p1", "any decision")
    strike = Strike(post_id="p1", labels=["insult"], at_ms=7, decision_id="d", confirmed=True)
    assert (confirmed.strikes, violation) == ([strike], True)


def test_findings_come_back_as_they_were_stored() -> None:
    finding = Finding(revision=3, at_ms=5, labels=["insult"], clause="c", strike=True, confirmed=True, cleared=["x"])
    row = PostRow(found={"d": finding}, more_cases={"d": ["a", "b"]}, asked=["insult"], stopped=True)
    assert parse(PostRow, dump(row)) == row
