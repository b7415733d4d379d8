"""The scenarios' own language: what is not told must not happen, a wrong expectation fails, nonsense is refused."""

from typing import Any

import pytest

from tests.scenarios.expecting import Mismatch
from tests.scenarios.telling import DAY_MS, DAY_ONE_MS, Mistold, Post, Review, moment, scenario
from tests.unit.test_scenarios import act_out

THREAT = "day 1 10:00 ann writes p1, threat"
HELD = {"action": "limit_visibility", "case A": "open P1 threat"}


def story(*steps: tuple[str, Any], **more: Any) -> Any:
    return scenario("here", {"title": "told", "story": [dict([step]) for step in steps], **more})


def test_a_true_story_passes() -> None:
    edited = {"action": "restore", "case A": "updated P1 threat"}
    act_out(story((THREAT, HELD), ("day 1 10:30 ann edits p1", edited)))


@pytest.mark.parametrize(
    "wrong",
    [
        "nothing",
        {"action": "limit_visibility"},
        {"case A": "open P1 threat"},
        HELD | {"care": "P2 with message"},
        HELD | {"dead letter": "wrong_key"},
        HELD | {"case B": "open P1 threat"},
        HELD | {"action": "warn"},
        HELD | {"action": "limit_visibility under model-privacy"},
        HELD | {"case A": "updated P1 threat"},
        HELD | {"case A": "open P2 threat"},
        HELD | {"case A": "open P1 privacy"},
        HELD | {"severity": "serious"},
        HELD | {"flagged": "insult"},
        HELD | {"decides": "warn"},
        HELD | {"history": {"strikes": 1}},
        HELD | {"because": "minor"},
        HELD | {"not because": "authority"},
        HELD | {"notice": "削除しました"},
        HELD | {"never in the notice": "異議"},
        *(
            HELD | {"action": f"limit_visibility; {words}"}
            for words in (
                "due day 2 10:00",
                "appeal until day 2 10:00",
                "no appeal",
                "by a person",
                "for good",
                "supersedes warn",
            )
        ),
        *(
            HELD | {"case A": f"open P1 threat; {words}"}
            for words in (
                "due day 1 10:59",
                "needs nobody",
                "to staff",
                "on p2",
                "no text",
                "text「別」",
                "seen 1 strike",
            )
        ),
    ],
    ids=str,
)
def test_a_wrong_expectation_fails(wrong: Any) -> None:
    with pytest.raises(Mismatch, match=r"here\.yml: told\nday 1 10:00 ann writes p1, threat\n"):
        act_out(story((THREAT, wrong)))


@pytest.mark.parametrize(
    "wrong",
    [
        "nothing",
        {"care": "P1 with message"},
        {"care": "P2 without message"},
        {"care": "P2 with message; due day 1 10:01"},
        {"care": "P2 with message", "message": "頑張"},
        {"care": "P2 with message", "never in the message": "心配"},
        {"care": "P2 with message", "because": "imminent"},
    ],
    ids=str,
)
def test_a_wrong_expectation_of_care_fails(wrong: Any) -> None:
    with pytest.raises(Mismatch):
        act_out(story(("day 1 10:00 ann writes p1, distress", wrong)))


def test_a_name_is_one_case() -> None:
    second = ("day 1 10:01 bob writes b1, threat", HELD)
    with pytest.raises(Mismatch):
        act_out(story((THREAT, HELD), second))
    other = ("day 1 10:01 ann writes p2, threat", {"action": "limit_visibility", "case B": "updated P1 threat"})
    with pytest.raises(Mismatch):
        act_out(story((THREAT, HELD), other))


def test_a_repeat_that_yields_other_bytes_fails() -> None:
    with pytest.raises(Mismatch):
        act_out(story((THREAT, HELD), ("day 1 10:01 ann writes p2", {"bytes": "as before"})))


@pytest.mark.parametrize(
    "line",
    [
        "ann writes p1",
        "day 1 ann writes p1",
        "day 1 10:00 ann sings p1",
        "day 1 10:00 ann writes p1, rudeness",
        "day 1 10:00 ann writes p1, insult 2.0",
        "day 1 10:00 s1 kicks ann's p1",
        "day 1 10:00 s1 confirms ann's p1, loudly",
        "day 1 10:00 time flies",
    ],
)
def test_what_cannot_be_understood_is_refused(line: str) -> None:
    with pytest.raises(Mistold):
        story((line, "nothing"))


@pytest.mark.parametrize(
    "expected",
    [
        HELD | {"actoin": "warn"},
        HELD | {"action": "limit_visibility; soon"},
        HELD | {"case A": "open P1 threat; soon"},
    ],
    ids=str,
)
def test_an_expectation_that_cannot_be_understood_is_refused(expected: Any) -> None:
    with pytest.raises(Mistold):
        act_out(story((THREAT, expected)))


def test_a_story_cannot_go_back_in_time_nor_past_a_clock() -> None:
    with pytest.raises(Mistold, match="too late"):
        act_out(story((THREAT, HELD), ("day 1 09:00 ann writes p2", "nothing")))
    asked = ("day 1 10:00 ann writes p1, crime_aid", {"action": "request_removal", "case A": "open P3 crime_aid"})
    with pytest.raises(Mistold, match="time passes"):
        act_out(story(asked, ("day 3 10:00 ann writes p2", "nothing")))
    act_out(story(asked, ("day 3 10:00 ann writes p2, while the worker is behind", "nothing")))


@pytest.mark.parametrize("more", [{"wrong_today": "because"}, {"wrong": "because"}, {"title": ""}, {"story": []}])
def test_a_scenario_has_its_parts_and_no_others(more: dict[str, Any]) -> None:
    with pytest.raises(Mistold):
        story((THREAT, HELD), **more)


def test_what_is_wrong_today_is_told_with_what_happens_today() -> None:
    told = story((THREAT, HELD | {"severity": "serious", "today": {"severity": "grave"}}), wrong_today="because")
    act_out(told, today=True)
    with pytest.raises(Mismatch, match="severity"):
        act_out(told)


def test_lines_become_records() -> None:
    details = "text「死ぬ、ほど, 笑った」, insult 0.55, reports 3, a minor, revision 7, said at day 1 09:00"
    (step,) = story((f"day 2 10:00:05.250 ann edits p1, {details}", "nothing")).steps
    assert step.at_ms == DAY_ONE_MS + DAY_MS + 36_005_250
    assert step.act == Post(
        "ann",
        "p1",
        "edited",
        revision=7,
        scores={"insult": 0.55},
        text="死ぬ、ほど, 笑った",
        said_ms=moment("day 1 09:00"),
        fields={"reports": 3, "minor_suspected": True},
    )
    (step,) = story(("day 1 10:00 police ask to remove ann's p1, by case A, writing「照会 12」", "nothing")).steps
    fields = {"requested_by": "police", "reason": "照会 12"}
    assert step.act == Review("ann", "p1", "removal_requested", "desk", case="A", fields=fields)
    assert len(story(("day 1 10:00 ann edits p1, 3 times", "nothing")).steps) == 3
