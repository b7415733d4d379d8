"""Requests for removal in a yearly report: who asked and why, answered when and how."""

import pytest

from tests.unit.accounts import DAY_MS, HOUR_MS, Log
from tests.unit.memory import Json
from workers.events import Action, Verdict

WEEK: int = 7 * DAY_MS


def asked(
    log: Log, post_id: str = "p1", *labels: str, at: int = DAY_MS, by: str = "victim", author: str = "ann"
) -> str:
    """A post, its case, and a request for its removal; returns the case."""
    log.decide(post_id, *labels, author=author)
    case = log.case(post_id, *labels, author=author)
    log.review(Verdict.REMOVAL_REQUESTED, post_id, *labels, case=case, at=at, requested_by=by, by="desk", author=author)
    return case


def answers(log: Log) -> Json:
    """The row of all requests, without its zeros."""
    return {column: count for column, count in log.row("requests_by_requester", requester="all").items() if count}


@pytest.mark.parametrize(
    ("after", "state"),
    [
        (0, "in_time"),
        (WEEK, "in_time"),
        (WEEK + 1, "late"),
        (2 * WEEK, "late"),
        (2 * WEEK + 1, "after_ceiling"),
    ],
)
def test_an_answer_is_in_time_late_or_after_the_ceiling(after: int, state: str) -> None:
    log = Log()
    case = asked(log)
    log.review(Verdict.ANSWERED, "p1", case=case, at=DAY_MS + after)
    assert answers(log) == {"requester": "all", "requests": 1, state: 1, "refused_with_reason": 1}


@pytest.mark.parametrize(("now", "state"), [(DAY_MS + WEEK, "not_yet_due"), (DAY_MS + WEEK + 1, "overdue")])
def test_without_an_answer_it_is_due_or_not_by_the_last_record(now: int, state: str) -> None:
    log = Log()
    asked(log)
    log.ends(now)
    assert answers(log) == {"requester": "all", "requests": 1, state: 1}


@pytest.mark.parametrize(
    "verdict", [Verdict.ANSWERED, Verdict.CLOSE, Verdict.OVERTURN, Verdict.APPEAL_GRANTED, Verdict.APPEAL_DENIED]
)
def test_what_answers_or_closes_the_case_is_the_answer(verdict: Verdict) -> None:
    log = Log()
    case = asked(log)
    log.review(verdict, "p1", case=case, at=2 * DAY_MS)
    log.ends(30 * DAY_MS)
    assert answers(log)["in_time"] == 1


@pytest.mark.parametrize(
    "verdict", [Verdict.CONFIRM, Verdict.CHANGE_ACTION, Verdict.LEGAL_HOLD, Verdict.HAND_OFF, Verdict.REOPEN]
)
def test_what_leaves_the_case_open_is_none(verdict: Verdict) -> None:
    log = Log()
    case = asked(log)
    log.review(verdict, "p1", case=case, at=2 * DAY_MS, action=Action.WARN)
    log.ends(30 * DAY_MS)
    assert answers(log)["overdue"] == 1


def test_an_answer_before_the_request_answers_nothing() -> None:
    log = Log()
    log.decide("p1")
    case = log.case("p1")
    log.review(Verdict.CLOSE, "p1", case=case, at=HOUR_MS)
    log.review(Verdict.REMOVAL_REQUESTED, "p1", case=case, at=DAY_MS)
    log.ends(30 * DAY_MS)
    assert answers(log)["overdue"] == 1


def test_what_became_a_dead_letter_answers_nothing() -> None:
    log = Log()
    asked(log)
    for verdict in (Verdict.ANSWERED, Verdict.OVERTURN, Verdict.HOLD):
        log.review(verdict, "p1", case=None, at=2 * DAY_MS)
    log.ends(30 * DAY_MS)
    assert answers(log) == {"requester": "all", "requests": 1, "overdue": 1}
    assert log.report()["left_out"]["reviews_without_effect"] == 3


def test_one_answer_of_a_case_answers_requests_about_its_other_posts_too() -> None:
    log = Log()
    case = asked(log, "p1")
    log.decide("p2")
    log.review(Verdict.REMOVAL_REQUESTED, "p2", case=case, at=DAY_MS)
    log.review(Verdict.ANSWERED, "p2", case=case, at=2 * DAY_MS)
    assert answers(log)["in_time"] == 2


def test_what_ends_the_matter_of_the_post_answers_though_the_case_goes_on() -> None:
    log = Log()
    case = asked(log, "p1")
    log.decide("p2")
    log.review(Verdict.REMOVAL_REQUESTED, "p2", case=case, at=DAY_MS)
    log.review(Verdict.OVERTURN, "p2", case=case, at=2 * DAY_MS, status="updated")
    log.ends(30 * DAY_MS)
    found = answers(log)
    assert (found["in_time"], found["overdue"], found["refused_with_reason"]) == (1, 1, 1)


def test_a_review_of_several_cases_answers_in_each() -> None:
    log = Log()
    cases = [asked(log, "p1"), log.case("p1x")]
    log.review(Verdict.REMOVAL_REQUESTED, "p1x", case=cases[1], at=DAY_MS)
    log.review(Verdict.CLOSE, "p1", case=cases[0], beside=cases[1], at=2 * DAY_MS)
    assert answers(log)["in_time"] == 2


def test_a_later_answer_does_not_undo_the_first() -> None:
    log = Log()
    case = asked(log)
    log.review(Verdict.ANSWERED, "p1", case=case, at=2 * DAY_MS)
    log.review(Verdict.CLOSE, "p1", case=case, at=29 * DAY_MS)
    assert answers(log)["in_time"] == 1


@pytest.mark.parametrize(
    ("reason", "at", "column", "excused"),
    [
        ("調査に時間を要する", 3 * DAY_MS, "interim_with_reason", 1),
        ("調査に時間を要する", 9 * DAY_MS, "interim_with_reason", 0),
        (" ", 3 * DAY_MS, "interim_without_reason", 0),
    ],
)
def test_an_interim_answer_with_its_reason(reason: str, at: int, column: str, excused: int) -> None:
    log = Log()
    case = asked(log)
    log.review(Verdict.HOLD, "p1", case=case, at=at, reason=reason)
    log.review(Verdict.ANSWERED, "p1", case=case, at=12 * DAY_MS)
    found = answers(log)
    assert (found["late"], found[column], found.get("late_after_interim", 0)) == (1, 1, excused)
    assert len({"interim_with_reason", "interim_without_reason"} & found.keys()) == 1


def test_a_hold_after_the_answer_is_no_interim_answer() -> None:
    log = Log()
    case = asked(log)
    log.review(Verdict.ANSWERED, "p1", case=case, at=2 * DAY_MS)
    log.review(Verdict.HOLD, "p1", case=case, at=3 * DAY_MS)
    assert "interim_with_reason" not in answers(log)


@pytest.mark.parametrize(
    ("action", "outcome"),
    [
        (Action.REMOVE, "done"),
        (Action.LIMIT_VISIBILITY, "done"),
        (Action.SUSPEND, "done"),
        (Action.WARN, "refused_with_reason"),
        (Action.REQUEST_REMOVAL, "refused_with_reason"),
        (Action.RESTORE, "refused_with_reason"),
    ],
)
def test_done_is_a_post_that_cannot_be_seen(action: Action, outcome: str) -> None:
    log = Log()
    case = asked(log)
    review = log.review(Verdict.CHANGE_ACTION, "p1", case=case, at=2 * DAY_MS, action=action)
    log.act(action, "p1", cause=review, automated=False, at=2 * DAY_MS)
    log.review(Verdict.ANSWERED, "p1", case=case, at=2 * DAY_MS + 1)  # before the worker has written the action
    assert answers(log)[outcome] == 1


def test_a_measure_after_the_answer_did_not_answer() -> None:
    log = Log()
    case = asked(log)
    log.review(Verdict.ANSWERED, "p1", case=case, at=2 * DAY_MS, reason="")
    log.decide("p1", "insult", revision=2, event="edited", at=3 * DAY_MS, action=Action.LIMIT_VISIBILITY)
    assert answers(log)["refused_without_reason"] == 1


def test_a_hold_that_staff_overturned_is_a_refusal() -> None:
    log = Log()
    log.decide("p1", "insult", action=Action.LIMIT_VISIBILITY)
    case = log.case("p1", "insult")
    log.review(Verdict.REMOVAL_REQUESTED, "p1", "insult", case=case, at=DAY_MS, requested_by="victim")
    log.review(Verdict.OVERTURN, "p1", "insult", case=case, at=2 * DAY_MS)
    assert answers(log)["refused_with_reason"] == 1


def test_done_is_also_a_post_that_its_author_took_away() -> None:
    log = Log()
    case = asked(log)
    log.decide("p1", revision=2, event="deleted", at=2 * DAY_MS)
    log.review(Verdict.CLOSE, "p1", case=case, at=3 * DAY_MS)
    assert answers(log)["done"] == 1
    again = Log()
    again.values = [*log.values]
    again.decide("p1", revision=3, event="edited", at=2 * DAY_MS + 1)
    assert answers(again)["refused_with_reason"] == 1, "it was back when they answered"


def test_who_asks_is_a_known_word_or_other() -> None:
    log = Log()
    for number, by in enumerate(("victim", "moj_jinken", "ihc", "山田花子 090-0000-0000")):
        asked(log, f"p{number}", by=by, author=f"a{number}")
    rows = {row["requester"]: row["requests"] for row in log.table("requests_by_requester")}
    assert rows == {"victim": 1, "moj_jinken": 1, "ihc": 1, "other": 1, "all": 4}


def test_grounds_are_the_labels_of_the_case_and_never_distress() -> None:
    log = Log()
    asked(log, "p1", "defamation", "insult", author="a1")
    asked(log, "p2", "distress", author="a2")
    log.review(Verdict.REMOVAL_REQUESTED, "p3", case=None, at=DAY_MS)
    rows = {row["ground"]: row["requests"] for row in log.table("requests_by_ground")}
    assert rows == {"defamation": 1, "insult": 1, "none": 2, "all": 3}
    assert log.row("overview", figure="requests_without_case")["value"] == 1


def test_only_requests_of_the_period_but_answers_from_whenever() -> None:
    log = Log()
    asked(log, "early", at=-10 * HOUR_MS, author="a1")  # November begins nine hours before AT_MS
    case = asked(log, "late", at=30 * DAY_MS - 9 * HOUR_MS - 1, author="a2")
    asked(log, "next", at=30 * DAY_MS - 9 * HOUR_MS, author="a3")
    log.review(Verdict.ANSWERED, "late", case=case, at=33 * DAY_MS, author="a2")
    assert answers(log)["requests"] == answers(log)["in_time"] == 1
