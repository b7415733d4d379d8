"""解約: after a suspension, by two people; by policy one of them of the legal staff. Never by the model."""

from dataclasses import replace

import pytest

from tests.unit.desk import UNDOES, Desk, acts, case
from tests.unit.memory import CONTEXT, POLICY
from workers.events import Action
from workers.state import changed


@pytest.fixture
def desk() -> Desk:
    return suspended()


def suspended(legal_reviewers: str | None = None) -> Desk:
    """Ann is suspended for p1."""
    data = changed(POLICY.data, legal_reviewers=legal_reviewers)
    desk = Desk(context=replace(CONTEXT, policy=replace(POLICY, data=data)))
    desk.post("p1", "threat")
    desk.review("change_action", action="suspend", reviewer_id="s0")
    return desk


def terminate(desk: Desk, reviewer_id: str, post_id: str = "p1") -> tuple[list[str], list[str]]:
    """What the platform is told, and the reasons in the case."""
    outputs = desk.review("change_action", post_id, action="terminate", reviewer_id=reviewer_id)
    record = case(outputs)
    assert record["human_required"] is True
    return acts(outputs), record["reasons"][1:]


def test_a_termination_needs_two_different_reviewers(desk: Desk) -> None:
    for _ in range(2):  # the same person twice is one person
        assert terminate(desk, "s1") == ([], [POLICY.reason("second_person")])
        assert desk.row.standing == Action.SUSPEND
    assert terminate(desk, "s2") == (["terminate"], [])
    assert desk.row.standing == Action.TERMINATE


def test_nobodys_contract_ends_before_they_were_suspended() -> None:
    desk = Desk()
    desk.post("p1", "threat")
    for reviewer_id in ("s1", "s2", "s3"):
        assert terminate(desk, reviewer_id) == ([], [POLICY.reason("not_suspended")])
    assert desk.row.standing == Action.LIMIT_VISIBILITY
    desk.review("change_action", action="suspend")
    assert terminate(desk, "s2") == ([], [POLICY.reason("second_person")])  # what was said before does not count


def test_the_suspension_may_be_for_another_post(desk: Desk) -> None:
    desk.post("p2", "threat")
    assert terminate(desk, "s1", "p2")[0] == []
    assert terminate(desk, "s2", "p2")[0] == ["terminate"]


@pytest.mark.parametrize("between", ["overturn", "appeal_granted", "warn", "none"])
@pytest.mark.parametrize("terminated", [False, True])
def test_a_withdrawn_termination_needs_a_suspension_and_two_reviewers_again(
    desk: Desk, between: str, terminated: bool
) -> None:
    terminate(desk, "s1")
    if terminated:
        terminate(desk, "s2")
    if between in UNDOES:
        desk.review(between, reviewer_id="s3")
    else:
        desk.review("change_action", action=between, reviewer_id="s3")
    assert desk.author.suspended is False
    assert terminate(desk, "s2") == ([], [POLICY.reason("not_suspended")])
    desk.review("change_action", action="suspend", reviewer_id="s3")
    assert terminate(desk, "s2") == ([], [POLICY.reason("second_person")])
    assert terminate(desk, "s1") == (["terminate"], [])


def test_two_reviewers_of_different_posts_are_not_two_of_one(desk: Desk) -> None:
    desk.post("p2", "threat")
    assert terminate(desk, "s1", "p1") == ([], [POLICY.reason("second_person")])
    assert terminate(desk, "s2", "p2") == ([], [POLICY.reason("second_person")])


@pytest.mark.parametrize(
    ("reviewers", "ends"),
    [
        (["s1", "legal-1"], True),
        (["legal-1", "s1"], True),
        (["legal-1", "legal-2"], True),
        (["s1", "s2"], False),
        (["s1", "s2", "s3"], False),
        (["s1", "s2", "legal-1"], True),
        (["s1", "paralegal-1"], False),
        (["legal-1", "legal-1"], False),
    ],
)
def test_a_policy_may_want_one_of_the_two_to_be_legal_staff(reviewers: list[str], ends: bool) -> None:
    desk = suspended("^legal-")
    told = [terminate(desk, reviewer_id) for reviewer_id in reviewers]
    assert [actions for actions, _ in told] == [[]] * (len(told) - 1) + [["terminate"] if ends else []]
    if not ends and len(set(reviewers)) > 1:
        assert told[-1] == ([], [POLICY.reason("legal_person")])
