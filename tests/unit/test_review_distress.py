"""Reviews of the posts of people in distress: no clock, gentle words, staff alone."""

import pytest

from tests.unit.desk import Desk, bodies
from tests.unit.memory import AT_MS, DAY_MS, HOUR_MS, POLICY, Json, only, read
from tests.unit.test_reviews import STATUS
from workers.events import Action, Topic
from workers.state import Output

BODIES_IN_DISTRESS = {"staff", "police_110", "fire_119"}


@pytest.fixture
def desk() -> Desk:
    return Desk()


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
            assert action["notice"]["title"] == POLICY.data.notices_in_distress[Action(action["action"])].title
    assert read(outputs, Topic.CARE) == []


def test_a_restored_post_in_distress_gets_the_plain_words(desk: Desk) -> None:
    desk.post("p1", "threat", "distress")
    restored = only(desk.review("overturn"), Topic.ACTIONS)
    assert restored["notice"]["title"] == POLICY.data.notices[Action.RESTORE].title


def test_a_request_of_staff_for_what_the_model_did_not_see_waits_for_a_person_when_its_author_despairs(
    desk: Desk,
) -> None:
    desk.post("p1")
    asked = desk.review("change_action", action="request_removal")
    assert len(desk.rows.clocks()) == 1
    desk.post("p2", "distress", at_ms=AT_MS + 2 * HOUR_MS)
    ((author_id, post_id, clock),) = desk.line.due(0, AT_MS + 2 * DAY_MS)
    told = desk.line.fire(0, author_id, post_id, clock)
    assert [output.topic for output in told] == [Topic.ESCALATIONS]
    case = only(told, Topic.ESCALATIONS)
    assert case["case_id"] == only(asked, Topic.ESCALATIONS)["case_id"]
    assert case["human_required"] is True
