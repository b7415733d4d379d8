"""Scores and a past → flagged labels, severity, rung, what the model alone may do."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.labels import DISTRESS, LABEL_IDS, VIOLATION_IDS
from tests.unit.builders import AT_MS, DAY_MS, post, scored, scores
from tests.unit.memory import POLICY
from workers.events import Action, History
from workers.judge import Judgement, Scored, history, judge
from workers.policy import MILD_TO_HARSH
from workers.state import AuthorRow, Strike, changed

NEW = History(posts=0, strikes=0, strikes_by_label={}, confirmed=0, suspended=False)
PROBABILITY = st.floats(0.0, 1.0)
SCORES = st.fixed_dictionaries(dict.fromkeys(LABEL_IDS, PROBABILITY))
PASTS = st.builds(
    History,
    posts=st.integers(0, 9),
    strikes=st.integers(0, 9),
    strikes_by_label=st.dictionaries(st.sampled_from(VIOLATION_IDS), st.integers(0, 9)),
    confirmed=st.integers(0, 5),
    suspended=st.booleans(),
)


def past(strikes: int = 0, confirmed: int = 0, **by_label: int) -> History:
    return History(posts=20, strikes=strikes, strikes_by_label=by_label, confirmed=confirmed, suspended=False)


def said(*labels: str, before: History = NEW, imminent: bool = False, **scores: float) -> Judgement:
    return judge(POLICY, scored(*labels, imminent=imminent, **scores), before, post())


def strike(post_id: str, at_ms: int, *labels: str, confirmed: bool = False) -> Strike:
    return Strike(post_id=post_id, labels=list(labels), at_ms=at_ms, decision_id="d", confirmed=confirmed)


# -- a first post ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "score", "severity", "action", "human"),
    [
        ("insult", 0.8, "borderline", "warn", False),
        ("insult", 0.99, "borderline", "warn", False),
        ("defamation", 0.55, "borderline", "warn", False),
        ("defamation", 0.6, "serious", "request_removal", False),
        ("crime_aid", 0.59, "borderline", "warn", False),
        ("crime_aid", 0.8, "serious", "request_removal", False),
        ("obscene", 0.8, "serious", "request_removal", False),
        ("threat", 0.5, "grave", "limit_visibility", True),
        ("privacy", 0.8, "grave", "limit_visibility", True),
        ("suicide_inducement", 0.8, "grave", "limit_visibility", True),
    ],
)
def test_a_first_violation_enters_the_ladder_by_its_severity(
    label: str, score: float, severity: str, action: str, human: bool
) -> None:
    found = judge(POLICY, Scored(scores() | {label: score}, [], False), NEW, post())
    assert (found.flagged, found.severity, found.action, found.human) == ([label], severity, action, human)
    assert found.clauses == [found.clause]


def test_at_the_threshold_is_flagged_and_just_below_is_not() -> None:
    assert said(insult=0.5).flagged == ["insult"]
    assert said(insult=0.4999).flagged == []


def test_a_benign_post_says_so() -> None:
    found = said()
    assert found == Judgement([], [], False, "none", Action.NONE, "", [], False, ["違反に当たらない"])


def test_the_harshest_of_several_labels_decides_and_names_the_clause() -> None:
    found = said("insult", "defamation", "threat", "privacy")
    assert found.flagged == ["defamation", "insult", "threat", "privacy"]
    assert (found.severity, found.action, found.clause) == ("grave", "limit_visibility", "model-rights")
    assert found.clauses == ["model-rights", "model-privacy"]
    assert said("insult", "crime_aid").clause == "model-crime"


def test_reasons_name_the_label_and_the_threshold_never_the_score() -> None:
    found = said(defamation=0.8765)
    assert found.reasons == ["名誉毀損・信用毀損の疑い（しきい値 0.50 を超過）"]


def test_a_person_is_called_where_any_rung_asks_for_one() -> None:
    first = changed(POLICY.data.ladders["caution"].rungs[0], human=True)
    caution = changed(POLICY.data.ladders["caution"], rungs=[first])
    watched = replace(POLICY, data=changed(POLICY.data, ladders=POLICY.data.ladders | {"caution": caution}))
    for labels, human in ((("insult",), True), (("insult", "crime_aid"), True), (("crime_aid",), False)):
        found = judge(watched, scored(*labels), NEW, post())
        assert (found.human, found.action) == (human, "warn" if labels == ("insult",) else "request_removal")


def test_a_borderline_score_says_so() -> None:
    assert "確度が境界付近" in said(defamation=0.55).reasons
    assert "確度が境界付近" not in said(defamation=0.55, threat=0.9).reasons
    assert "確度が境界付近" not in said("insult").reasons


# -- the ladder ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strikes", "action", "human"),
    [(0, "warn", False), (1, "request_removal", False), (2, "limit_visibility", True), (9, "limit_visibility", True)],
)
def test_an_insult_climbs_with_every_earlier_strike_and_the_last_rung_stays(
    strikes: int, action: str, human: bool
) -> None:
    found = said("insult", before=past(strikes, privacy=strikes))
    assert (found.action, found.human) == (action, human)
    assert (f"直近90日の違反 {strikes + 1} 件目" in found.reasons) == (strikes > 0)


def test_defamation_asks_twice_and_then_a_person_looks() -> None:
    actions = [said("defamation", before=past(n)).action for n in range(4)]
    assert actions == ["request_removal", "request_removal", "limit_visibility", "limit_visibility"]


@pytest.mark.parametrize(("before", "meant"), [(past(), "remove"), (past(5, insult=5), "remove")])
def test_a_first_inducement_would_be_removed_whatever_else_the_author_did(before: History, meant: str) -> None:
    found = said("suicide_inducement", before=before)
    assert (found.action, found.human) == ("limit_visibility", True)
    assert f"本来の段は{meant}。モデル単独の権限を超えるため人の判断を待つ" in found.reasons


def test_a_repeated_inducement_would_suspend() -> None:
    found = said("suicide_inducement", before=past(1, suicide_inducement=1))
    assert (found.action, found.human) == ("limit_visibility", True)
    assert "本来の段はsuspend。モデル単独の権限を超えるため人の判断を待つ" in found.reasons


@pytest.mark.parametrize(("confirmed", "action"), [(2, "warn"), (3, "limit_visibility"), (4, "limit_visibility")])
def test_after_three_confirmed_violations_a_person_is_asked_to_suspend(confirmed: int, action: str) -> None:
    found = said("insult", before=past(confirmed=confirmed))
    assert (found.action, found.human) == (action, confirmed >= 3)
    assert (f"確認済みの違反が90日で{confirmed}件" in found.reasons) == (confirmed >= 3)


def test_a_suspension_calls_a_person_also_where_the_operator_lets_the_model_suspend() -> None:
    authority = changed(POLICY.data.authority, model=[*POLICY.data.authority.model, Action.SUSPEND])
    raised = replace(POLICY, data=changed(POLICY.data, authority=authority))
    found = judge(raised, scored("insult"), past(confirmed=3), post())
    assert (found.action, found.human) == ("suspend", True)


@given(PASTS, SCORES, st.booleans())
def test_the_model_alone_never_goes_beyond_its_authority(
    before: History, scores: dict[str, float], imminent: bool
) -> None:
    found = judge(POLICY, Scored(scores, [], imminent), before, post())
    assert found.action in {"none", "warn", "request_removal", "limit_visibility"}
    assert found.human or found.action is not Action.LIMIT_VISIBILITY
    assert found.reasons


@given(SCORES, st.sampled_from(VIOLATION_IDS), PROBABILITY)
def test_a_higher_score_never_means_a_milder_act_for_a_first_time_author(
    scores: dict[str, float], label: str, other: float
) -> None:
    scores = scores | {DISTRESS: 0.0}
    low, high = sorted([scores[label], other])
    mild, harsh = (judge(POLICY, Scored(scores | {label: score}, [], False), NEW, post()) for score in (low, high))
    assert MILD_TO_HARSH.index(mild.action) <= MILD_TO_HARSH.index(harsh.action)
    assert mild.human <= harsh.human


# -- distress --------------------------------------------------------------------------------------------------------


@given(SCORES, PASTS, st.floats(0.5, 1.0), st.booleans(), st.integers(0, 99), st.booleans())
def test_distress_is_never_answered_but_by_a_hold_beside_a_grave_violation(
    scores: dict[str, float], before: History, distress: float, imminent: bool, reports: int, minor: bool
) -> None:
    found = judge(
        POLICY,
        Scored(scores | {DISTRESS: distress}, [], imminent),
        before,
        post(reports=reports, minor_suspected=minor),
    )
    grave = max(scores["threat"], scores["privacy"], scores["suicide_inducement"]) >= 0.5
    assert found.action == ("limit_visibility" if grave else "none")
    assert found.human == bool(found.violations)
    assert found.in_distress


@given(SCORES, PASTS, st.floats(0.5, 1.0), st.booleans())
def test_distress_never_makes_an_act_harsher(
    scores: dict[str, float], before: History, distress: float, imminent: bool
) -> None:
    calm, torn = (judge(POLICY, Scored(scores | {DISTRESS: d}, [], imminent), before, post()) for d in (0.0, distress))
    assert MILD_TO_HARSH.index(torn.action) <= MILD_TO_HARSH.index(calm.action)


@given(st.floats(0.5, 1.0), PASTS, st.booleans())
def test_distress_alone_breaks_no_clause(distress: float, before: History, imminent: bool) -> None:
    found = said(distress=distress, before=before, imminent=imminent)
    assert (found.flagged, found.violations, found.severity, found.clause) == (["distress"], [], "none", "")
    assert (found.action, found.clauses, found.human) == ("none", [], False)
    assert found.reasons == ["希死念慮の疑い。違反としては扱わない"] + ["切迫の兆候"] * imminent


def test_distress_with_a_violation_says_that_a_person_decides() -> None:
    assert "希死念慮と違反の疑いが重なるため人が判断する" in said("distress", "insult").reasons


# -- circumstances ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "noted"),
    [(("suicide_inducement",), True), (("distress",), True), (("threat",), False), ((), False)],
)
def test_imminent_signs_count_with_distress_or_inducement_only(labels: tuple[str, ...], noted: bool) -> None:
    assert ("切迫の兆候" in said(*labels, imminent=True).reasons) == noted


@pytest.mark.parametrize("label", ["insult", "distress"])
def test_reports_and_a_suspected_minor_are_told_to_staff(label: str) -> None:
    def reasons(**more: Any) -> list[str]:
        return judge(POLICY, scored(label), NEW, post(**more)).reasons

    assert "利用者からの通報 5 件" in reasons(reports=5)
    assert not any("通報" in reason for reason in reasons(reports=4))
    assert "未成年の可能性" in reasons(minor_suspected=True)


# -- history ---------------------------------------------------------------------------------------------------------


def test_history_counts_strikes_of_the_last_90_days_in_event_time() -> None:
    author = AuthorRow(
        posts=7,
        suspended=True,
        strikes=[
            strike("old", AT_MS - 90 * DAY_MS - 1, "insult"),
            strike("edge", AT_MS - 90 * DAY_MS, "insult", confirmed=True),
            strike("now", AT_MS, "insult", "threat"),
            strike("later", AT_MS + 1, "threat"),
        ],
    )
    assert history(POLICY, author, AT_MS) == History(
        posts=7, strikes=2, strikes_by_label={"insult": 2, "threat": 1}, confirmed=1, suspended=True
    )


def test_history_of_an_edit_leaves_out_the_post_itself_and_what_came_after_it() -> None:
    author = AuthorRow(
        posts=3,
        strikes=[strike("a", AT_MS, "insult"), strike("b", AT_MS + 5, "insult"), strike("c", AT_MS + 9, "insult")],
    )
    assert history(POLICY, author, AT_MS + 99, but="b") == History(
        posts=2, strikes=1, strikes_by_label={"insult": 1}, confirmed=0, suspended=False
    )
    assert history(POLICY, author, AT_MS + 99, but="no strike yet").strikes == 3


def test_an_edit_counts_what_came_a_moment_before_and_nothing_that_came_a_moment_after() -> None:
    strikes = [strike(name, AT_MS + n, "insult") for n, name in enumerate("abc")]
    assert history(POLICY, AuthorRow(posts=3, strikes=strikes), AT_MS + 99, but="b").strikes == 1
