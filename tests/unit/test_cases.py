"""Cases: which a post calls for, the episode it belongs to, the evidence and the records."""

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.builders import AT_MS, DAY_MS, HOUR_MS, Life, post, when
from tests.unit.memory import POLICY
from workers import cases, codec
from workers.cases import Wanted
from workers.events import History, Priority, from_kafka_ms
from workers.policy import Policy
from workers.state import MAX_CASES, MAX_WAITING, AuthorRow, Case, PostRow, Waits, changed

PAST = History(posts=3, strikes=1, strikes_by_label={"insult": 1}, confirmed=0, suspended=False)
RIGHTS = Wanted("rights", ["insult"], Priority.P3, False, False, True)


def wanted(*violations: str, policy: Policy = POLICY, **more: Any) -> list[tuple[str, list[str], str]]:
    """(group, categories, priority) of the cases called for."""
    settings: dict[str, Any] = {
        "in_distress": False,
        "human": False,
        "distress_priority": None,
        "imminent": False,
        "reports": 0,
    }
    found = cases.wanted(policy, list(violations), **settings | more)
    return [(one.group, one.categories, one.priority.value) for one in found]


# -- which cases -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "group", "priority"),
    [
        ("defamation", "rights", "P3"),
        ("privacy", "rights", "P1"),
        ("threat", "safety", "P1"),
        ("suicide_inducement", "life", "P1"),
        ("crime_aid", "crime", "P3"),
        ("obscene", "crime", "P3"),
    ],
)
def test_a_violation_goes_to_the_queue_of_its_group(label: str, group: str, priority: str) -> None:
    assert wanted(label) == [(group, [label], priority)]


def test_an_insult_needs_a_rung_that_asks_for_a_person() -> None:
    assert wanted("insult") == []
    assert wanted("insult", human=True) == [("rights", ["insult"], "P3")]


def test_labels_of_one_group_share_a_case_at_the_most_urgent_priority() -> None:
    assert wanted("defamation", "insult", "threat", "privacy", human=True) == [
        ("rights", ["defamation", "insult", "privacy"], "P1"),
        ("safety", ["threat"], "P1"),
    ]


def test_signs_that_it_may_be_now_make_an_inducement_p0_and_nothing_else() -> None:
    assert wanted("suicide_inducement", imminent=True) == [("life", ["suicide_inducement"], "P0")]
    assert wanted("threat", imminent=True) == [("safety", ["threat"], "P1")]


@pytest.mark.parametrize(("reports", "priority"), [(0, "P3"), (4, "P3"), (5, "P2"), (500, "P2")])
def test_many_reports_make_it_p2_at_least(reports: int, priority: str) -> None:
    assert wanted("defamation", reports=reports) == [("rights", ["defamation"], priority)]
    assert wanted("threat", reports=reports) == [("safety", ["threat"], "P1")]


@pytest.mark.parametrize(("priority", "opens"), [("P0", True), ("P1", True), ("P2", False), ("P3", False)])
def test_distress_alone_opens_a_case_from_p1(priority: str, opens: bool) -> None:
    found = wanted(in_distress=True, distress_priority=Priority(priority))
    assert found == ([("care", ["distress"], priority)] if opens else [])


@pytest.mark.parametrize("priority", Priority)
def test_who_is_watched_over_already_is_heard_of_whatever_the_priority(priority: Priority) -> None:
    assert wanted(watched=True, in_distress=True, distress_priority=priority) == [("care", ["distress"], priority)]
    beside = wanted("insult", watched=True, in_distress=True, human=True, distress_priority=priority)
    assert [group for group, _, _ in beside] == ["rights", "care"]
    assert wanted("insult", watched=True, human=True) == [("rights", ["insult"], "P3")], "no cry, no record"


@pytest.mark.parametrize(
    ("status", "days", "watched"),
    [("open", 0, True), ("answered", 30, True), ("open", 31, False), ("closed", 0, False)],
)
def test_a_person_is_watched_over_while_the_case_of_this_episode_is_open(status: str, days: int, watched: bool) -> None:
    _, case = opened(AuthorRow(), want=Wanted("care", ["distress"], Priority.P1, True, True, True))
    author = AuthorRow(cases=[changed(case, status=status)])
    assert (cases.current(POLICY, author, "care", AT_MS + days * DAY_MS) is not None) is watched
    assert cases.current(POLICY, author, "rights", AT_MS) is None


def test_distress_beside_a_violation_has_a_case_of_the_violation_and_its_own_where_urgent() -> None:
    both: dict[str, Any] = {"in_distress": True, "human": True}
    assert wanted("insult", distress_priority=Priority.P2, **both) == [("rights", ["insult"], "P3")]
    assert wanted("insult", distress_priority=Priority.P0, **both) == [
        ("rights", ["insult"], "P3"),
        ("care", ["distress"], "P0"),
    ]


def test_a_hold_waits_for_a_person_even_of_a_label_that_is_never_escalated() -> None:
    insult = changed(POLICY.data.labels["insult"], escalate="never")
    never = replace(POLICY, data=changed(POLICY.data, labels=POLICY.data.labels | {"insult": insult}))
    assert wanted("insult", policy=never) == []
    assert wanted("insult", policy=never, human=True) == [("rights", ["insult"], "P3")]
    assert wanted("insult", "threat", policy=never, human=True) == [("safety", ["threat"], "P1")]
    assert wanted("insult", "threat", policy=never, human=True, in_distress=True, distress_priority=Priority.P2) == [
        ("rights", ["insult"], "P3"),
        ("safety", ["threat"], "P1"),
    ]


def test_a_hold_that_stands_over_distress_needs_a_person_whatever_the_priority() -> None:
    assert wanted(in_distress=True, human=True, distress_priority=Priority.P2) == [("care", ["distress"], "P2")]


# -- episodes --------------------------------------------------------------------------------------------------------


def opened(author: AuthorRow, at_ms: int = AT_MS, post_id: str = "p1", want: Wanted = RIGHTS) -> tuple[AuthorRow, Case]:
    return cases.find_or_open(POLICY, author, want, at_ms, from_kafka_ms(at_ms), post_id, f"decision of {post_id}")


def test_the_id_of_a_case_comes_from_the_decision_that_opened_it() -> None:
    _, case = opened(AuthorRow())
    assert case.case_id == codec.make_id("consultation-escalations", "decision of p1", "case:rights")


@pytest.mark.parametrize(("days", "same"), [(0, True), (30, True), (30.001, False), (-30, True), (-30.001, False)])
def test_an_episode_ends_30_quiet_days_after_its_last_post(days: float, same: bool) -> None:
    author, first = opened(AuthorRow())
    author, second = opened(author, AT_MS + round(days * DAY_MS), "p2")
    assert (second.case_id == first.case_id) == same
    assert second.status == ("updated" if same else "open")
    assert len(author.cases) == (1 if same else 2)


def test_every_post_prolongs_the_episode() -> None:
    author, first = opened(AuthorRow())
    for month in range(1, 5):
        author, case = opened(author, AT_MS + month * 29 * DAY_MS, f"p{month}")
        assert case.case_id == first.case_id


def test_a_closed_case_is_not_taken_up_again_nor_one_of_another_group() -> None:
    author, first = opened(AuthorRow())
    author = cases.replace(author, changed(first, status="closed"))
    author, second = opened(author, post_id="p2")
    author, third = opened(author, post_id="p3", want=Wanted("life", ["threat"], Priority.P1, False, False, True))
    assert len({first.case_id, second.case_id, third.case_id}) == 3


def test_a_case_grows_and_never_becomes_less_urgent() -> None:
    author, _ = opened(AuthorRow(), want=Wanted("rights", ["privacy"], Priority.P1, False, True, True))
    _, case = opened(
        author, AT_MS - HOUR_MS, "p2", Wanted("rights", ["insult", "privacy"], Priority.P3, False, False, True)
    )
    assert (case.priority, case.categories, case.in_distress) == (Priority.P1, ["privacy", "insult"], True)
    assert (case.post_id, case.decision_id, case.last_ms) == ("p2", "decision of p2", AT_MS)


def test_the_row_keeps_the_latest_cases_only() -> None:
    author = AuthorRow()
    for number in range(MAX_CASES + 3):
        author, case = opened(author, AT_MS + number * 31 * DAY_MS, f"p{number}")
    assert len(author.cases) == MAX_CASES
    assert author.cases[-1] == case


# -- records ---------------------------------------------------------------------------------------------------------


def test_the_dossier_is_sealed_by_the_hash_of_the_post_as_it_stands_in_it() -> None:
    evidence = cases.dossier(
        post(text="あの店は産地偽装", url="https://sns.example/p1"),
        {"defamation": 0.9},
        [(0, 8, "defamation")],
        PAST,
        from_kafka_ms(AT_MS),
    )
    stored = json.loads(codec.encode(evidence))
    canonical = json.dumps(stored["post"], ensure_ascii=False, separators=(",", ":")).encode()
    assert hashlib.sha256(canonical).hexdigest() == stored["sha256"]
    assert stored["post"] == {
        "post_id": "p1",
        "revision": 1,
        "text": "あの店は産地偽装",
        "occurred_at": when(AT_MS),
    }
    assert (stored["url"], stored["scores"]) == ("https://sns.example/p1", {"defamation": 0.9})
    assert (stored["spans"], stored["collected_at"]) == ([[0, 8, "defamation"]], when(AT_MS))
    assert stored["author_history"]["strikes_by_label"] == {"insult": 1}


@pytest.mark.parametrize(("priority", "minutes"), [("P0", 15), ("P1", 60), ("P2", 24 * 60), ("P3", 72 * 60)])
def test_a_case_is_due_by_its_priority(priority: str, minutes: int) -> None:
    want = Wanted("rights", ["insult"], Priority(priority), False, False, False)
    _, case = opened(AuthorRow(), want=want)
    at = from_kafka_ms(AT_MS)
    evidence = cases.dossier(post(), {}, [], PAST, at)
    record = cases.record(POLICY, "m", case, evidence, "ann", "cause", ["why"])
    assert record.due_at == from_kafka_ms(AT_MS + minutes * 60_000)
    assert record.escalation_id == codec.make_id("consultation-escalations", "cause", f"escalation:{case.case_id}")
    assert (record.status, record.human_required, record.reasons) == ("open", False, ["why"])


def test_one_post_can_move_two_cases_under_different_ids() -> None:
    ann = Life()
    seen = ann.write("p1", "defamation", "threat")
    assert [case["categories"] for case in seen.cases] == [["defamation"], ["threat"]]
    assert len({case["case_id"] for case in seen.cases}) == len({case["escalation_id"] for case in seen.cases}) == 2
    gone = ann.delete("p1")
    assert [case["case_id"] for case in gone.cases] == [case["case_id"] for case in seen.cases]


def test_a_deletion_is_told_to_a_case_that_moved_on_to_another_post_and_not_to_a_closed_one() -> None:
    ann = Life()
    ann.write("p1", "defamation", text="あの店")
    moved = ann.write("p2", "defamation")
    gone = ann.delete("p1")
    assert (gone.case["post_id"], gone.case["decision_id"]) == ("p1", gone.decision["decision_id"])
    assert gone.case["dossier"]["post"]["text"] == "あの店"
    (case,) = ann.author.cases
    assert (case.post_id, case.decision_id, case.waiting) == ("p2", moved.decision["decision_id"], {"p2": "look"})
    ann.author = changed(ann.author, cases=[changed(case, status="closed")])
    assert ann.delete("p2").cases == []


def test_routes_and_categories_are_those_of_the_whole_case() -> None:
    ann = Life()
    assert ann.write("p1", "crime_aid").routes == ["staff", "police_cyber", "ihc"]
    seen = ann.write("p2", "obscene")
    assert (seen.case["categories"], seen.routes) == (
        ["crime_aid", "obscene"],
        ["staff", "police_cyber", "ihc", "safeline"],
    )
    assert [route["body"] for route in ann.delete("p1").case["routes"]] == seen.routes


# -- which decision has which cases ----------------------------------------------------------------------------------


def test_a_decision_knows_all_its_cases_and_its_own_first() -> None:
    _, case = opened(AuthorRow())
    row = PostRow()
    for decision, case_id in [("d1", "a"), ("d1", "b"), ("d2", "b"), ("d1", "a"), ("d1", "c"), ("d3", "a")]:
        row = cases.joined(row, decision, changed(case, case_id=case_id))
    assert {decision: cases.of_decision(row, decision) for decision in ("d1", "d2", "d3", "d4")} == {
        "d1": ["a", "b", "c"],
        "d2": ["b"],
        "d3": ["a"],
        "d4": [],
    }
    assert cases.of_post(row) == ["a", "b", "c"]
    assert cases.of_post(PostRow(cases={"d1": "a", "d2": "b"})) == ["b", "a"]  # as rows were before


# -- what waits ------------------------------------------------------------------------------------------------------


def test_of_a_case_from_before_it_was_kept_the_last_post_waits() -> None:
    _, case = opened(AuthorRow())
    for human, what in ((True, "decide"), (False, "look")):
        assert cases.waiting(changed(case, waiting=None, human=human)) == {"p1": what}
    assert cases.waiting(changed(case, waiting=None, status="closed")) == {}


def test_a_post_waits_for_the_most_that_was_asked_of_it() -> None:
    known = cases.waits({}, "p1", "look")
    known = cases.waits(known, "p1", "asked")
    known = cases.waits(known, "p1", "decide")
    assert known == {"p1": "asked"}
    assert cases.decides(known)
    assert not cases.decides(cases.waits({}, "p2", "look"))


def test_posts_beyond_what_a_case_can_list_keep_it_open() -> None:
    known: dict[str, Waits] = {}
    for number in range(MAX_WAITING + 5):
        known = cases.waits(known, f"p{number}", "decide" if number > MAX_WAITING else "look")
    assert len(known) == MAX_WAITING + 1
    for number in range(MAX_WAITING + 5):
        known = cases.without(known, f"p{number}")
    assert known == {"": "decide"}


def test_a_deletion_that_moves_cases_of_two_episodes_tells_their_records_apart() -> None:
    ann = Life()
    first = ann.write("p1", "defamation")
    second = ann.write("p1", "defamation", at_ms=AT_MS + 31 * DAY_MS)
    gone = ann.delete("p1", at_ms=AT_MS + 32 * DAY_MS)
    assert [case["case_id"] for case in gone.cases] == [first.case["case_id"], second.case["case_id"]]
    assert len({case["escalation_id"] for case in gone.cases}) == 2


# -- until a person looks --------------------------------------------------------------------------------------------


def due(at_ms: int, minutes: int) -> str:
    return when(at_ms + minutes * 60_000)


def test_nothing_an_author_does_puts_off_when_a_person_must_look() -> None:
    ann = Life()
    held = ann.write("p1", "threat")
    assert held.case["due_at"] == due(AT_MS, 60)
    for n in range(1, 4):
        edit = ann.write("p1", "threat", at_ms=AT_MS + n * 50 * 60_000)
        assert edit.case["due_at"] == due(AT_MS, 60)
    assert ann.write("p2", "threat", at_ms=AT_MS + DAY_MS).case["due_at"] == due(AT_MS, 60)
    assert ann.delete("p2", at_ms=AT_MS + 2 * DAY_MS).case["due_at"] == due(AT_MS, 60)


def test_what_is_more_urgent_comes_sooner() -> None:
    ann = Life()
    ann.write("p1", "suicide_inducement")
    now = ann.write("p2", "suicide_inducement", at_ms=AT_MS + 10 * 60_000, imminent=True)
    assert now.case["due_at"] == due(AT_MS, 25)
    late = ann.write("p3", "suicide_inducement", at_ms=AT_MS + 50 * 60_000, imminent=True)
    assert late.case["due_at"] == due(AT_MS, 25)


def test_a_later_post_does_not_take_the_case_away_from_the_person_who_has_to_decide() -> None:
    ann = Life()
    assert ann.write("p1", "privacy").case["human_required"]
    asked = ann.write("p2", "defamation")
    assert (asked.act, asked.case["categories"]) == ("request_removal", ["privacy", "defamation"])
    assert asked.case["human_required"]


@pytest.mark.parametrize(("label", "human"), [("defamation", False), ("threat", True)])
def test_a_deletion_calls_for_a_person_only_where_one_was_called_before(label: str, human: bool) -> None:
    ann = Life()
    ann.write("p1", label)
    assert ann.delete("p1").case["human_required"] is human


@pytest.mark.parametrize("status", ["updated", "reopened", "claimed", "answered", "closed"])
@pytest.mark.parametrize("human", [False, True])
def test_a_follow_up_keeps_the_evidence_and_says_whether_a_person_has_to_act(status: Any, human: bool) -> None:
    _, case = opened(AuthorRow())
    case = changed(case, human=human, due_ms=0)
    at = from_kafka_ms(AT_MS)
    evidence = cases.dossier(post(), {}, [], PAST, at)
    record = cases.follow_up(POLICY, "m", case, codec.encode(evidence), "ann", "review-1", at, [], status)
    assert (record.status, record.human_required, record.dossier) == (status, human, evidence)
    assert record.due_at == from_kafka_ms(AT_MS + 72 * HOUR_MS)
    assert [route.body for route in record.routes] == ["staff", "ihaho", "moj_jinken", "sia_hotline"]
