"""Which case and decision a review is about, and when it is a dead letter: also after the worker has forgotten."""

import pytest

from tests.unit.desk import Desk, acts, bodies, fault
from tests.unit.memory import AT_MS, DAY_MS, HOUR_MS, POLICY, only, read, when
from workers.codec import decision_id, output_id
from workers.events import Topic
from workers.state import MAX_CASES, MAX_DECISION_IDS, author_key

REMEMBER_DAYS = POLICY.data.windows.remember_days
ASKING = ("appeal_filed", "removal_requested")
NOT_ASKING = ("confirm", "overturn", "hold", "close", "appeal_granted", "change_action")


@pytest.fixture
def desk() -> Desk:
    return Desk()


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
    edited = read(desk.post("p1", "crime_aid", revision=2, text="別"), Topic.ESCALATIONS)
    (crime,) = (record["case_id"] for record in edited if record["categories"] == ["crime_aid"])
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


# -- two cases of one post ---------------------------------------------------------------------------------------------


def test_a_case_id_finds_the_second_of_two_cases_of_one_post(desk: Desk) -> None:
    first, second = read(desk.post("p1", "threat", "defamation"), Topic.ESCALATIONS)
    for record in (second, first):
        closed = only(desk.review("close", case_id=record["case_id"]), Topic.ESCALATIONS)
        assert (closed["case_id"], closed["categories"]) == (record["case_id"], record["categories"])
    assert [case.status for case in desk.author.cases] == ["closed", "closed"]


def test_it_is_found_after_later_decisions_moved_the_post(desk: Desk) -> None:
    _, second = read(desk.post("p1", "threat", "defamation"), Topic.ESCALATIONS)
    for revision in range(2, 6):
        desk.post("p1", "crime_aid", revision=revision, text=f"別{revision}")
    assert only(desk.review("close", case_id=second["case_id"]), Topic.ESCALATIONS)["case_id"] == second["case_id"]


def test_a_review_of_a_case_that_the_authors_row_has_dropped_opens_another(desk: Desk) -> None:
    old = only(desk.post("p1", "defamation"), Topic.ESCALATIONS)["case_id"]
    desk.review("close")
    for number in range(MAX_CASES):
        desk.post(f"q{number}", "defamation")
        desk.review("close", f"q{number}")
    assert old not in [case.case_id for case in desk.author.cases]
    filed = only(desk.review("appeal_filed", case_id=old), Topic.ESCALATIONS)
    assert filed["case_id"] != old
    assert (filed["status"], filed["human_required"], filed["previous_sha256"]) == ("reopened", True, None)
    assert acts(desk.review("appeal_granted", case_id=filed["case_id"])) == ["restore"]


# -- what was forgotten ------------------------------------------------------------------------------------------------


def forgotten(days: float = REMEMBER_DAYS + 2) -> tuple[Desk, int]:
    """Ann wrote a harmless post that many days ago, and its row went with what is past its time. The desk, and now."""
    desk, now_ms = Desk(), AT_MS + round(days * DAY_MS)
    desk.post("p1")
    desk.line.note(AT_MS)
    while desk.line.forget(0, AT_MS + (REMEMBER_DAYS + 2) * DAY_MS):
        pass
    assert [key for _, key in desk.rows.rows if key[0] in "pr"] == []
    return desk, now_ms


@pytest.mark.parametrize("verdict", ASKING)
def test_what_is_asked_about_a_forgotten_post_opens_a_case_for_a_person(verdict: str) -> None:
    desk, now_ms = forgotten()
    occurred_ms = now_ms - HOUR_MS
    outputs = desk.review(verdict, review_id="r", at_ms=now_ms, occurred_at=when(occurred_ms), requested_by="victim")
    record = only(outputs, Topic.ESCALATIONS)
    assert record["case_id"] == output_id(Topic.ESCALATIONS, "r", "case:review")
    assert (record["post_id"], record["decision_id"]) == ("p1", decision_id("p1", 1))
    assert (record["human_required"], record["categories"], bodies(record)) == (True, [], ["staff"])
    evidence = record["dossier"]["post"]
    assert evidence == {"post_id": "p1", "revision": 0, "text": None, "occurred_at": when(occurred_ms)}
    assert record["dossier"]["author_history"]["posts"] == 0  # of which this is one


def test_staff_go_on_with_it_by_case_and_by_decision() -> None:
    desk, now_ms = forgotten()
    case_id = only(desk.review("removal_requested", at_ms=now_ms), Topic.ESCALATIONS)["case_id"]
    removed = desk.review("change_action", action="remove", at_ms=now_ms)
    (action,) = read(removed, Topic.ACTIONS)
    assert (action["action"], action["decision_id"]) == ("remove", decision_id("p1", 1))
    assert only(removed, Topic.ESCALATIONS)["case_id"] == case_id
    again = only(desk.review("removal_requested", revision=2, at_ms=now_ms), Topic.ESCALATIONS)
    assert again["case_id"] == case_id  # another revision of the same post
    assert only(desk.review("close", case_id=case_id, at_ms=now_ms), Topic.ESCALATIONS)["status"] == "closed"


@pytest.mark.parametrize("verdict", NOT_ASKING)
def test_what_staff_decide_names_something_that_is_there(verdict: str) -> None:
    desk, now_ms = forgotten()
    more = {"action": "remove"} if verdict == "change_action" else {}
    assert fault(desk.review(verdict, at_ms=now_ms, **more)) == "unknown_subject"


@pytest.mark.parametrize("verdict", ASKING)
def test_a_case_that_nobody_opened_is_unknown_whoever_asks(verdict: str) -> None:
    desk, now_ms = forgotten()
    assert fault(desk.review(verdict, case_id="no such case", at_ms=now_ms)) == "unknown_subject"


@pytest.mark.parametrize("verdict", ASKING)
def test_nothing_of_an_author_is_forgotten_before_the_author_was_known_for_a_month(verdict: str) -> None:
    """So a post without a row was never decided: the request may be sent again once it was."""
    desk = Desk()
    desk.post("p1")
    soon_ms, late_ms = (AT_MS + REMEMBER_DAYS * DAY_MS - 1, AT_MS + REMEMBER_DAYS * DAY_MS)
    assert fault(desk.review(verdict, "p9", at_ms=soon_ms)) == "unknown_subject"
    assert only(desk.review(verdict, "p9", at_ms=late_ms), Topic.ESCALATIONS)["post_id"] == "p9"


@pytest.mark.parametrize("verdict", ASKING)
def test_an_author_whom_nobody_knows_has_nothing_that_was_forgotten(desk: Desk, verdict: str) -> None:
    assert fault(desk.review(verdict, at_ms=AT_MS + 99 * DAY_MS)) == "unknown_subject"


def test_an_author_from_before_this_was_kept_counts_as_known_for_long() -> None:
    desk = Desk()
    desk.post("p1")
    desk.rows.put(0, author_key("ann"), b"\x81\xa5posts\x01")
    assert only(desk.review("removal_requested", "p9"), Topic.ESCALATIONS)["human_required"]


@pytest.mark.parametrize("edits", [3, MAX_DECISION_IDS + 1])
@pytest.mark.parametrize("verdict", [*ASKING, "confirm"])
def test_a_decision_is_known_however_many_edits_came_after_it(desk: Desk, edits: int, verdict: str) -> None:
    desk.post("p1", "insult")
    for _ in range(edits):
        desk.edit()
    outputs = desk.review(verdict, revision=1)
    assert only(outputs, Topic.ESCALATIONS)["decision_id"] == decision_id("p1", 1)
    if verdict == "confirm":
        assert [(strike.labels, strike.confirmed) for strike in desk.strikes] == [(["insult"], True)]


@pytest.mark.parametrize("verdict", ASKING)
@pytest.mark.parametrize("subject", [("p1", 0), ("p1", 99), ("p2", 1)])
def test_a_decision_that_never_was_is_unknown_whoever_asks(desk: Desk, verdict: str, subject: tuple[str, int]) -> None:
    desk.post("p1", "insult")
    for _ in range(MAX_DECISION_IDS):
        desk.edit()
    outputs = desk.review(verdict, decision_id=decision_id(*subject))
    assert fault(outputs) == "unknown_subject"


def test_a_decision_from_before_the_row_was_forgotten_is_known_by_its_hash() -> None:
    desk, now_ms = forgotten()
    desk.post("p1", revision=3, text="あとで", at_ms=now_ms)
    for revision in (1, 2, 3):
        asked = only(desk.review("removal_requested", revision=revision, at_ms=now_ms), Topic.ESCALATIONS)
        assert asked["decision_id"] == decision_id("p1", revision)
    assert fault(desk.review("removal_requested", revision=4, at_ms=now_ms)) == "unknown_subject"


def test_where_revisions_are_too_many_to_try_whoever_asks_is_heard(desk: Desk) -> None:
    desk.post("p1", revision=2_000_000)
    assert only(desk.review("removal_requested", revision=1_999_999), Topic.ESCALATIONS)["human_required"]
    assert fault(desk.review("overturn", revision=1_999_998)) == "unknown_subject"


# -- which posts are counted -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [False, True])
def test_an_edit_of_a_forgotten_post_is_no_second_post(asked: bool) -> None:
    desk, now_ms = forgotten()
    if asked:
        desk.review("removal_requested", at_ms=now_ms)
    edited = desk.post("p1", revision=2, text="別", at_ms=now_ms)
    assert only(edited, Topic.DECISIONS)["history"]["posts"] == 0
    assert desk.author.posts == 1
    desk.post("p2", at_ms=now_ms)
    assert desk.author.posts == 2


def test_a_post_that_was_asked_about_before_it_came_is_counted_when_it_comes() -> None:
    desk, now_ms = forgotten()
    desk.review("removal_requested", "p9", at_ms=now_ms)
    desk.post("p9", at_ms=now_ms)
    assert desk.author.posts == 2


def test_an_older_post_of_an_author_who_is_new_to_us_is_counted_by_its_edit(desk: Desk) -> None:
    desk.post("p1", revision=2)
    desk.post("p2", revision=2, at_ms=AT_MS + (REMEMBER_DAYS - 1) * DAY_MS)
    assert desk.author.posts == 2
