"""What a sender and a person in distress read."""

import re
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.labels import BY_ID, DISTRESS, LABEL_IDS, VIOLATION_IDS
from tests.unit.builders import AT_MS, DAY_MS, Life, post
from tests.unit.memory import POLICY
from workers import notices
from workers.events import Action, Notice, from_kafka_ms
from workers.judge import Scored
from workers.policy import MILD_TO_HARSH

MEASURES: Final = MILD_TO_HARSH[1:]
TOLD: Final = [*MEASURES, Action.RESTORE]
TEXT: Final = "⟦投稿の本文⟧"


def notice(action: Action, labels: list[str], clause: str = "model-rights", **more: Any) -> Notice:
    settings: dict[str, Any] = {
        "due_at": from_kafka_ms(AT_MS + DAY_MS),
        "appeal_until": from_kafka_ms(AT_MS + 14 * DAY_MS),
        "in_distress": False,
    }
    return notices.notice(POLICY, action, clause=clause, labels=labels, **settings | more)


def test_a_warning_in_full() -> None:
    found = notice(Action.WARN, ["insult"], due_at=None)
    assert found.title == "ご投稿についてのお願い"
    assert found.body == (
        "あなたの投稿は、利用規約の「他者の名誉・信用を毀損し、または侮辱・誹謗中傷する行為」に当たるおそれがあります。\n"
        "理由: 侮辱・誹謗中傷\n"
        "内容を見直し、必要に応じて編集または削除をお願いします。\n"
        "この判断に納得できないときは、2026年11月15日 9時00分（日本時間）までに異議を申し立てることができます。"
    )
    assert found.resources == ["https://no-heart-no-sns.smaj.or.jp/"]


@pytest.mark.parametrize("action", TOLD)
@pytest.mark.parametrize("label", VIOLATION_IDS)
def test_every_action_has_words_without_a_gap(action: Action, label: str) -> None:
    clause = POLICY.data.labels[label].clause
    found = notice(action, [label], clause)
    assert found.title
    assert not re.search(r"[{}]|「」|: \n", found.title + found.body)
    if action is not Action.RESTORE:
        assert POLICY.data.clauses[clause].title in found.body
        assert "異議" in found.body
        assert "2026年11月15日 9時00分（日本時間）" in found.body
    if action is Action.REQUEST_REMOVAL:
        assert "2026年11月2日 9時00分（日本時間）までに" in found.body


def test_several_labels_are_named_and_their_links_given_once() -> None:
    found = notice(Action.WARN, ["defamation", "insult", "privacy"])
    assert "理由: 名誉毀損・信用毀損・侮辱・誹謗中傷・プライバシー・肖像権侵害" in found.body
    assert found.resources == [
        "https://www.soumu.go.jp/use_the_internet_wisely/",
        "https://no-heart-no-sns.smaj.or.jp/",
    ]


def test_a_clause_that_the_policy_has_dropped_since_is_cited_by_its_id() -> None:
    """A clock that runs out after a reload would otherwise end the worker, again and again."""
    assert "利用規約の「old-clause」に当たる" in notice(Action.REMOVE, ["insult"], "old-clause").body


@pytest.mark.parametrize("action", MEASURES)
def test_beside_distress_no_clause_no_label_no_deadline(action: Action) -> None:
    found = notice(action, ["suicide_inducement"], "model-suicide", in_distress=True)
    told = "\n".join([found.title, found.body, *found.resources])
    assert not re.search("違反|規約|条項|禁止|理由|までに|異議|自殺|死|希死念慮|停止|解除", told)
    assert not any(label.japanese in told for label in BY_ID.values())
    assert found.resources == [
        "よりそいホットライン 0120-279-338",
        "まもろうよ こころ https://www.mhlw.go.jp/mamorouyokokoro/",
    ]


def test_beside_distress_each_measure_has_words_of_its_own() -> None:
    told = {action: notice(action, ["threat"], in_distress=True) for action in MEASURES}
    assert len({one.body for one in told.values()}) == len(MEASURES)
    for action, one in told.items():
        for_a_while = bool(re.search("一時|あいだ|見合わせ", one.title + one.body))
        assert for_a_while == (action is Action.LIMIT_VISIBILITY)
        assert ("返信" in one.body) == (action is not Action.LIMIT_VISIBILITY), "how to object"
    assert "削除しました" in told[Action.REMOVE].title


def test_what_is_taken_back_is_told_plainly_to_anybody() -> None:
    assert notice(Action.RESTORE, [], "", in_distress=True) == notice(Action.RESTORE, [], "")


def test_every_label_that_can_be_warned_of_links_to_something_that_teaches() -> None:
    data = POLICY.data
    warned = {
        label
        for label, rule in data.labels.items()
        for ladder in [rule.ladder, *([data.borderline_ladder] if rule.borderline_below else [])]
        if Action.WARN in [rung.action for rung in data.ladders[ladder].rungs]
    }
    assert warned <= data.resources.keys()


@given(st.fixed_dictionaries(dict.fromkeys(LABEL_IDS, st.integers(0, 9999).map(lambda n: n / 10_000))))
def test_nobody_reads_a_score_or_the_text(scores: dict[str, float]) -> None:
    seen = Life().see(post(text=TEXT), Scored(scores, [], False))
    told = [action["notice"] for action in seen.actions] + [care["message"] for care in seen.care]
    reasons = [reason for record in [*seen.actions, *seen.care, seen.decision] for reason in record["reasons"]]
    words = "\n".join(map(str, [*told, *reasons]))
    assert TEXT not in words
    assert set(re.findall(r"0\.\d+", words)) <= {"0.50"}  # the threshold stands in reasons
    assert not re.search(r"0\.\d", str(told))


def test_the_care_message_is_the_policys_own_with_its_helplines() -> None:
    message = notices.care_message(POLICY)
    assert (message.title, message.body) == (POLICY.data.care.title, POLICY.data.care.body)
    assert [(one.name, one.contact) for one in message.contacts] == [
        ("よりそいホットライン", "0120-279-338"),
        ("#いのちSOS", "0120-061-338"),
        ("いのちの電話", "0120-783-556"),
        ("まもろうよ こころ", "https://www.mhlw.go.jp/mamorouyokokoro/"),
    ]
    assert all(one.hours for one in message.contacts)
    assert DISTRESS not in str(message)
