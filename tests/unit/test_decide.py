"""One post after another: what a reader of the topics sees. Stories; every record is checked against its schema."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.labels import LABEL_IDS
from tests.unit.builders import AT_MS, DAY_MS, HOUR_MS, Life, Seen, post, scores, when
from tests.unit.memory import POLICY
from workers import codec
from workers.decide import content_of
from workers.events import ReplyTo, Topic
from workers.judge import Scored

UNSPEAKABLE = re.compile("希死念慮|自殺|死|違反|規約|条項|禁止|侮辱|誹謗|脅迫|スコア|確率|しきい値|AI|自動")


@pytest.fixture
def ann() -> Life:
    return Life()


# -- the ladder, told ------------------------------------------------------------------------------------------------


def test_insult_after_insult(ann: Life) -> None:
    first = ann.write("p1", "insult")
    assert (first.act, first.cases, first.care) == ("warn", [], [])
    assert first.action["due_at"] is None
    assert first.action["clause"] == "model-rights"
    assert first.action["appeal_until"] == when(AT_MS + 14 * DAY_MS)

    second = ann.write("p2", "insult", at_ms=AT_MS + 10 * DAY_MS)
    assert (second.act, second.cases) == ("request_removal", [])
    assert second.action["due_at"] == when(AT_MS + 11 * DAY_MS)

    third = ann.write("p3", "insult", at_ms=AT_MS + 20 * DAY_MS)
    assert third.act == "limit_visibility"
    assert (third.case["status"], third.case["priority"], third.case["human_required"]) == ("open", "P3", True)
    assert third.case["categories"] == ["insult"]
    assert third.case["dossier"]["author_history"]["strikes"] == 2

    fourth = ann.write("p4", "insult", at_ms=AT_MS + 21 * DAY_MS)
    assert (fourth.act, fourth.case["status"]) == ("limit_visibility", "updated")
    assert fourth.case["case_id"] == third.case["case_id"]
    assert fourth.case["escalation_id"] != third.case["escalation_id"]
    assert [strike.post_id for strike in ann.author.strikes] == ["p1", "p2", "p3", "p4"]


@pytest.mark.parametrize(("after_ms", "action"), [(90 * DAY_MS, "request_removal"), (90 * DAY_MS + 1, "warn")])
def test_after_90_days_the_count_starts_afresh(ann: Life, after_ms: int, action: str) -> None:
    ann.write("p1", "insult")
    assert ann.write("p2", "insult", at_ms=AT_MS + after_ms).act == action


def test_the_window_is_event_time_however_late_the_broker_gets_the_post(ann: Life) -> None:
    ann.write("p1", "insult")
    late = ann.write("p2", "insult", at_ms=AT_MS + 89 * DAY_MS, kafka_ms=AT_MS + 99 * DAY_MS)
    assert late.act == "request_removal"
    assert late.action["due_at"] == when(AT_MS + 100 * DAY_MS)  # the clock runs from the Kafka timestamp


def test_a_platform_whose_clock_runs_ahead_gains_nothing(ann: Life) -> None:
    ann.write("p1", "insult")
    assert ann.write("p2", "insult", at_ms=AT_MS + 99 * DAY_MS, kafka_ms=AT_MS + DAY_MS).act == "request_removal"
    assert ann.author.strikes[-1].at_ms == AT_MS + DAY_MS


def test_defamation_is_asked_to_go_within_24_hours_of_the_kafka_timestamp(ann: Life) -> None:
    seen = ann.write("p1", "defamation", at_ms=AT_MS - 5 * HOUR_MS, kafka_ms=AT_MS)
    assert seen.act == "request_removal"
    assert seen.action["due_at"] == when(AT_MS + DAY_MS)
    assert seen.decision["decided_at"] == when(AT_MS)
    assert seen.decision["occurred_at"] == when(AT_MS - 5 * HOUR_MS)
    assert "2026年11月2日 9時00分（日本時間）までに" in seen.action["notice"]["body"]
    (clock,) = seen.entry.clocks_set
    assert (clock.action_id, clock.due_ms) == (seen.action["action_id"], AT_MS + DAY_MS)
    assert seen.routes == ["staff", "ihaho", "moj_jinken", "sia_hotline", "houterasu"]
    assert not seen.case["human_required"]


@pytest.mark.parametrize(("imminent", "priority", "minutes"), [(False, "P1", 60), (True, "P0", 15)])
def test_inducement_is_held_and_a_person_called(ann: Life, imminent: bool, priority: str, minutes: int) -> None:
    seen = ann.write("p1", "suicide_inducement", imminent=imminent, text="一緒に")
    assert (seen.act, seen.care) == ("limit_visibility", [])
    assert (seen.action["clause"], seen.action["reversible"]) == ("model-suicide", True)
    assert (seen.case["priority"], seen.case["human_required"]) == (priority, True)
    assert seen.case["due_at"] == when(AT_MS + minutes * 60_000)
    assert seen.routes == ["staff", *["police_110", "fire_119"] * imminent, "ihc", "safeline"]
    assert seen.case["dossier"]["post"]["text"] == "一緒に"
    assert ("切迫の兆候" in seen.case["reasons"]) == imminent


def test_a_benign_post_is_decided_and_nothing_else(ann: Life) -> None:
    seen = ann.write("p1", text="推しが尊くて死んだ")
    assert (seen.act, len(seen.entry.outputs)) == ("none", 1)
    assert seen.decision["reasons"] == ["違反に当たらない"]
    assert "推し" not in json.dumps(seen.decision, ensure_ascii=False)
    assert ann.author.posts == 1
    assert ann.author.strikes == []


def test_a_decision_holds_what_the_contract_lists(ann: Life) -> None:
    record = post(reports=2, lang="ja", platform="sns", reply_to=ReplyTo(post_id="p0", author_id="bob"), text="あほ")
    seen = ann.see(record, Scored(scores("insult"), [(0, 2, "insult")], False))
    assert seen.decision == {
        "schema": "decision/1",
        "decision_id": codec.make_id("p1", 1),
        "post_id": "p1",
        "revision": 1,
        "event": "created",
        "author_id": "ann",
        "platform": "sns",
        "occurred_at": when(AT_MS),
        "source": {"topic": "test-posts", "partition": 0, "offset": 0},
        "context": {
            "reply_to": {"post_id": "p0", "author_id": "bob"},
            "reports": 2,
            "minor_suspected": False,
            "lang": "ja",
            "text_sha256": codec.text_sha256("あほ"),
            "length": 2,
        },
        "history": {"posts": 0, "strikes": 0, "strikes_by_label": {}, "confirmed": 0, "suspended": False},
        "scores": dict.fromkeys(LABEL_IDS, 0.1) | {"insult": 0.8},
        "flagged": ["insult"],
        "spans": [[0, 2, "insult"]],
        "severity": "borderline",
        "action": "warn",
        "clauses": ["model-rights"],
        "reasons": ["侮辱・誹謗中傷の疑い（しきい値 0.50 を超過）"],
        "policy_version": POLICY.version,
        "model_version": "model-1",
        "automated": True,
        "shadow": False,
        "decided_at": when(AT_MS),
    }
    assert seen.action["action_id"] == codec.make_id("moderation-actions", seen.decision["decision_id"], "warn")
    assert (seen.action["cause"], seen.action["automated"]) == (seen.decision["decision_id"], True)


# -- distress --------------------------------------------------------------------------------------------------------


@given(st.floats(0.5, 1.0), st.booleans(), st.booleans(), st.integers(0, 99))
def test_distress_alone_brings_care_and_no_action_whatever_the_score(
    score: float, imminent: bool, minor: bool, reports: int
) -> None:
    seen = Life().write(
        "p1", score={"distress": score}, imminent=imminent, minor_suspected=minor, reports=reports, text="消えたい"
    )
    assert (seen.act, seen.actions, seen.decision["clauses"]) == ("none", [], [])
    (care,) = seen.care
    priority = "P0" if imminent else "P1" if score >= 0.9 or minor else "P2"
    assert care["priority"] == priority
    assert care["due_at"] == when(AT_MS + {"P0": 15, "P1": 60, "P2": 1440}[priority] * 60_000)
    assert care["message"]["title"] == "あなたのことが気がかりです"
    assert care["message"]["contacts"][0]["name"] == "よりそいホットライン"
    assert "消えたい" not in json.dumps(care, ensure_ascii=False)
    if priority == "P2":
        assert seen.cases == []
    else:
        assert seen.routes == ["staff", "police_110", "fire_119"]
        assert (seen.case["priority"], seen.case["categories"]) == (priority, ["distress"])
        assert seen.case["human_required"]
        assert ("切迫の兆候" in seen.case["reasons"]) == imminent
    assert seen.entry.effect.strikes == []


def test_distress_is_no_strike_and_moves_nobody_up(ann: Life) -> None:
    for number in range(5):
        ann.write(f"p{number}", "distress", at_ms=AT_MS + number)
        ann.write(f"q{number}", "distress", "insult", "threat", at_ms=AT_MS + number)
    assert ann.author.strikes == []
    assert ann.write("last", "insult", at_ms=AT_MS + DAY_MS).act == "warn"


@pytest.mark.parametrize("violation", ["insult", "defamation", "crime_aid", "obscene"])
def test_distress_with_a_violation_waits_for_a_person(ann: Life, violation: str) -> None:
    ann.write("before", violation, at_ms=AT_MS - DAY_MS)
    seen = ann.write("p1", "distress", violation)
    assert (seen.act, seen.actions) == ("none", [])
    assert (seen.case["human_required"], seen.routes) == (True, ["staff"])
    assert seen.case["categories"] == [violation]
    assert [strike.post_id for strike in ann.author.strikes] == ["before"]
    assert seen.care[0]["message"] is not None


@pytest.mark.parametrize("violation", ["threat", "privacy", "suicide_inducement"])
@pytest.mark.parametrize("imminent", [False, True])
def test_beside_a_grave_violation_it_is_hidden_without_a_word_of_why(ann: Life, violation: str, imminent: bool) -> None:
    seen = ann.write("p1", "distress", violation, imminent=imminent)
    assert (seen.act, seen.action["reversible"], seen.action["due_at"]) == ("limit_visibility", True, None)
    assert seen.action["reasons"] == ["担当者の確認を待つ"]
    notice = seen.action["notice"]
    told = "\n".join([*seen.action["reasons"], notice["title"], notice["body"], *notice["resources"]])
    assert not UNSPEAKABLE.search(told)
    assert not any(clause.title in told for clause in POLICY.data.clauses.values())
    assert ann.author.strikes == []
    assert all(case["human_required"] for case in seen.cases)
    bodies = {route["body"] for case in seen.cases for route in case["routes"]}
    assert bodies == {"staff", "police_110", "fire_119"}
    assert [case["categories"] for case in seen.cases] == [[violation], *[["distress"]] * imminent]


def test_the_care_message_comes_once_in_24_hours(ann: Life) -> None:
    def message(post_id: str, at_ms: int, **more: Any) -> Any:
        (care,) = ann.write(post_id, "distress", at_ms=at_ms, **more).care
        assert ("24時間以内に案内済み" in care["reasons"]) == (care["message"] is None)
        return care["message"]

    assert message("p1", AT_MS)
    assert message("p2", AT_MS + DAY_MS - 1) is None
    assert message("p1", AT_MS + 2 * HOUR_MS) is None  # an edit
    assert message("p3", AT_MS + DAY_MS)  # 24 h after the message, not after the last record
    assert message("p4", AT_MS + DAY_MS + 1) is None
    assert message("p5", AT_MS + 40 * HOUR_MS, kafka_ms=AT_MS + 90 * HOUR_MS) is None  # event time
    assert message("p6", AT_MS - 9 * DAY_MS, kafka_ms=AT_MS + 91 * HOUR_MS) is None  # an old post that comes late
    assert message("p7", AT_MS + 2 * DAY_MS)


def test_later_posts_join_the_case_of_the_first(ann: Life) -> None:
    first = ann.write("p1", score={"distress": 0.95})
    second = ann.write("p2", "distress", at_ms=AT_MS + HOUR_MS, imminent=True)
    third = ann.write("p3", score={"distress": 0.95}, at_ms=AT_MS + 2 * HOUR_MS)
    later = ann.write("p4", score={"distress": 0.95}, at_ms=AT_MS + 33 * DAY_MS)
    assert first.case["case_id"] == second.case["case_id"] == third.case["case_id"] != later.case["case_id"]
    assert [seen.case["priority"] for seen in (first, second, third, later)] == ["P1", "P0", "P0", "P1"]
    assert [seen.case["status"] for seen in (first, second, third, later)] == ["open", "updated", "updated", "open"]


# -- memory, determinism ----------------------------------------------------------------------------------------------


def test_a_revision_is_known_again_by_its_text_and_event() -> None:
    assert content_of(post(text="a")) == content_of(post(text="a", reports=9))
    assert content_of(post(text="a")) != content_of(post(text="b"))
    assert content_of(post(text="a")) != content_of(post(text="a", event="edited"))
    assert content_of(post(text=None)) != content_of(post(text="", event="created"))


STORY: list[Callable[[Life, int], Seen]] = [
    lambda ann, at: ann.write("p1", "insult", at_ms=at),
    lambda ann, at: ann.write("p2", "defamation", at_ms=at + 1),
    lambda ann, at: ann.write("p3", "suicide_inducement", at_ms=at + 2, imminent=True),
    lambda ann, at: ann.write("p4", "distress", at_ms=at + 3, imminent=True),
    lambda ann, at: ann.write("p5", "distress", "threat", at_ms=at + 4),
    lambda ann, at: ann.write("p3", at_ms=at + 5),
    lambda ann, at: ann.delete("p2", at_ms=at + 6),
]


def times(value: Any, path: str = "") -> list[tuple[str, datetime]]:
    """Every time in a record, and where it stands."""
    if isinstance(value, dict):
        return [found for key, item in value.items() for found in times(item, f"{path}.{key}")]
    if isinstance(value, list):
        return [found for item in value for found in times(item, path)]
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", value):
        return [(path, datetime.fromisoformat(value))]
    return []


def test_no_output_holds_the_wall_clock() -> None:
    """The same story in 2001 and in 2041: every time is as far from its post, every id the same."""
    told = []
    for year in (2001, 2041):
        start = datetime(year, 3, 1, tzinfo=UTC)
        ann, at_ms = Life(), round(start.timestamp() * 1000)
        seen = [output for step in STORY for output in step(ann, at_ms).entry.outputs]
        records = [json.loads(output.value) for output in seen]
        gaps = [(path, moment - start) for record in records for path, moment in times(record)]
        ids = [value for record in records for key, value in record.items() if key.endswith("_id")]
        told.append((gaps, ids))
    assert told[0] == told[1]
    assert len(told[0][0]) > 30
    known = [timedelta(), *(timedelta(**{unit: n}) for unit, n in (("minutes", 15), ("hours", 1), ("hours", 24)))]
    known += [timedelta(hours=72), timedelta(days=14)]
    assert {gap - gap % timedelta(seconds=1) for _, gap in told[0][0]} == set(known)


def test_scores_are_passed_on_as_they_are(ann: Life) -> None:
    scores = {label: n / 100 for n, label in enumerate(LABEL_IDS)}
    assert ann.see(post(), Scored(scores, [], False)).decision["scores"] == scores
    assert [output.topic for output in ann.write("p2", "distress", "threat").entry.outputs] == [
        Topic.DECISIONS,
        Topic.ACTIONS,
        Topic.ESCALATIONS,
        Topic.CARE,
    ]
