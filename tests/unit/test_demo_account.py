"""When the demo may end: a request that ran out is answered by a removal, or settled by its author."""

from typing import Any

import pytest

from workers.cases import record_id
from workers.demo import Account
from workers.events import Topic

DUE = "2026-11-01T00:00:00Z"
AFTER, BEFORE = 1_793_491_201.0, 1_793_491_199.0


def decision(revision: int, event: str = "created", flagged: tuple[str, ...] = ("defamation",)) -> dict[str, Any]:
    return {"decision_id": f"d{revision}", "post_id": "p", "revision": revision, "event": event, "flagged": flagged}


def action(kind: str, cause: str, due: str | None = None, supersedes: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "action_id": f"a-{kind}",
        "action": kind,
        "cause": cause,
        "decision_id": "d1",
        "post_id": "p",
        "due_at": due,
        "supersedes": supersedes,
    }


def asked() -> Account:
    account = Account()
    account.take(Topic.DECISIONS, decision(1))
    account.take(Topic.ACTIONS, action("request_removal", "d1", DUE))
    return account


def test_a_request_that_ran_out_waits_for_its_removal() -> None:
    account = asked()
    assert not account.overdue(BEFORE)
    assert account.overdue(AFTER)
    account.take(Topic.ACTIONS, action("remove", "a-request_removal"))
    assert not account.overdue(AFTER)


@pytest.mark.parametrize("case_first", [True, False])
def test_a_clock_that_led_to_a_person_is_answered(case_first: bool) -> None:
    """Its author was lately in distress. Another record of the case answers nothing."""
    account = Account()
    account.take(Topic.DECISIONS, decision(1))
    request = (Topic.ACTIONS, action("request_removal", "d1", DUE))
    told = {"post_id": "p", "case_id": "c", "escalation_id": record_id("d1", "c")}
    asked = (Topic.ESCALATIONS, told | {"escalation_id": record_id("a-request_removal", "c")})
    account.take(Topic.ESCALATIONS, told)
    for topic, record in [asked, request] if case_first else [request, asked]:
        assert account.overdue(AFTER) == (topic is Topic.ESCALATIONS and not case_first)
        account.take(topic, record)
    assert not account.overdue(AFTER)
    assert account.summary()["escalations"] == 2


@pytest.mark.parametrize(
    "later", [decision(2, "deleted"), decision(2, "edited", ()), decision(2, "edited", ("defamation", "distress"))]
)
@pytest.mark.parametrize("decision_first", [True, False])
def test_its_author_settles_it_in_whatever_order_the_topics_are_read(
    later: dict[str, Any], decision_first: bool
) -> None:
    account = Account()
    outputs = [
        (Topic.DECISIONS, decision(1)),
        (Topic.DECISIONS, later),
        (Topic.ACTIONS, action("request_removal", "d1", DUE)),
    ]
    for topic, record in outputs if decision_first else reversed(outputs):
        account.take(topic, record)
    assert not account.overdue(AFTER)


def test_an_edit_that_is_still_flagged_settles_nothing() -> None:
    account = asked()
    account.take(Topic.DECISIONS, decision(2, "edited"))
    assert account.overdue(AFTER)


def test_what_came_before_the_request_settles_nothing() -> None:
    account = Account()
    account.take(Topic.DECISIONS, decision(0, flagged=()))
    account.take(Topic.DECISIONS, decision(1))
    account.take(Topic.ACTIONS, action("request_removal", "d1", DUE))
    assert account.overdue(AFTER)
