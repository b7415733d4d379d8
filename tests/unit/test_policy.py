"""The policy file: the default loads, every contradiction stops the start, and its words obey the domain's rules."""

import copy
import re
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from models.labels import LABEL_IDS, VIOLATION_IDS
from models.normalize import plain
from tests.unit.builders import check
from tests.unit.memory import MemoryRows, apply, pipeline, post, review
from workers import policy
from workers.decide import Context
from workers.errors import PolicyError
from workers.events import Action, Topic, from_kafka_ms
from workers.pipeline import Incoming
from workers.policy import SEVERITIES, Body, Clause, Policy, PolicyFile

DEFAULT: Final = Path(policy.__file__).parent / "policies/default.yml"
POINTS: Final = dict.fromkeys(LABEL_IDS, 0.5)
LOADED: Final = policy.load(None, POINTS)
RAW: Final = yaml.safe_load(DEFAULT.read_text("utf-8"))
RIGHTS: Final = RAW["labels"]["insult"]
GONE: Final = object()

Edit = tuple[str, Any]


def parsed(*edits: Edit, points: dict[str, float] = POINTS) -> Policy:
    """The default with some places changed: ("a.b.0", value), or GONE to leave it out."""
    data = copy.deepcopy(RAW)
    for path, value in edits:
        *parents, last = path.split(".")
        place = data
        for name in parents:
            place = place[int(name) if isinstance(place, list) else name]
        if value is GONE:
            del place[last]
        else:
            place[int(last) if isinstance(place, list) else last] = value
    return policy.parse(yaml.safe_dump(data, allow_unicode=True), "mine.yml", points)


# -- loading ---------------------------------------------------------------------------------------------------------


def test_the_default_loads_and_has_every_label(tmp_path: Path) -> None:
    assert set(LOADED.data.labels) == set(VIOLATION_IDS)
    assert LOADED.thresholds == POINTS
    copy = tmp_path / "policy.yml"
    copy.write_bytes(DEFAULT.read_bytes())
    assert policy.load(copy, POINTS).version == LOADED.version


def test_a_number_overrides_the_operating_point() -> None:
    found = parsed(("labels.insult.threshold", 0.9), points=POINTS | {"insult": 0.3, "threat": 0.4})
    assert (found.thresholds["insult"], found.thresholds["threat"]) == (0.9, 0.4)


def test_the_version_follows_the_content_and_the_thresholds_and_no_comment() -> None:
    source = DEFAULT.read_text("utf-8")
    assert policy.parse(f"# a comment\n{source}", "other.yml", POINTS).version == LOADED.version
    assert parsed().version == LOADED.version
    assert parsed(("windows.strike_days", 91)).version != LOADED.version
    assert policy.parse(source, "x", POINTS | {"insult": 0.51}).version != LOADED.version
    assert re.fullmatch("[0-9a-f]{12}", LOADED.version)


def test_a_missing_or_unreadable_file_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yml", tmp_path):
        with pytest.raises(PolicyError, match=re.escape(f"{path}: cannot be read")):
            policy.load(path, POINTS)
    (tmp_path / "sjis.yml").write_bytes("題".encode("cp932"))
    with pytest.raises(PolicyError, match=r"sjis\.yml: cannot be read: UnicodeDecodeError"):
        policy.load(tmp_path / "sjis.yml", POINTS)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("title: [", "mine.yml:1: not valid YAML"),
        (
            "title: a\nlabels: {insult: {}, threat: {},\n  insult: {}}",
            "mine.yml:3: not valid YAML: 'insult' stands twice",
        ),
        ("title: a\n\ntitle: b\n", "mine.yml:3: not valid YAML: 'title' stands twice"),
        ("a: 1\nb: 2\n c: 3\n", "mine.yml:3: not valid YAML"),
        ("!!python/object:os.system {}", "mine.yml:1: not valid YAML"),
        ("\0", "mine.yml: not valid YAML"),
        ("", "mine.yml: Expected `object`, got `null`"),
        ("[]", "mine.yml: Expected `object`, got `array`"),
        ("schema: policy/1\neffective: 2025-13-45\n", "mine.yml: month must be in 1..12"),
    ],
)
def test_what_is_no_policy_is_named_with_its_line(source: str, problem: str) -> None:
    with pytest.raises(PolicyError, match=re.escape(problem)):
        policy.parse(source, "mine.yml", POINTS)


@pytest.mark.parametrize(
    ("edit", "place"),
    [
        # typos and types
        (("schema", "policy/2"), "$.schema"),
        (("titel", "x"), "unknown field `titel`"),
        (("labels.insult.laddder", "x"), "unknown field `laddder` - at `$.labels[...]`"),
        (("care", GONE), "missing required field `care`"),
        (("clauses.model-rights.verified_at", "soon"), "$.clauses[...].verified_at"),
        (("labels.insult.threshold", "modell"), "$.labels[...].threshold"),
        (("labels.insult.threshold", 1.0), "$.labels[...].threshold"),
        (("labels.insult.threshold", 0.0), "$.labels[...].threshold"),
        (("labels.insult.threshold", float("nan")), "$.labels[...].threshold"),
        (("labels.insult.severity", "none"), "$.labels[...].severity"),
        (("labels.insult.priority", "P4"), "$.labels[...].priority"),
        (("labels.insult.escalate", "sometimes"), "$.labels[...].escalate"),
        (("ladders.caution.count", "all"), "$.ladders[...].count"),
        (("ladders.caution.rungs", []), "$.ladders[...].rungs"),
        (("ladders.caution.rungs.0.action", "wran"), "$.ladders[...].rungs[0].action"),
        (("authority.model.0", "ban"), "$.authority.model[0]"),
        (("windows.care_hours", 23), "$.windows.care_hours"),
        (("windows.remember_days", 29), "$.windows.remember_days"),
        (("windows.strike_days", 0), "$.windows.strike_days"),
        (("clocks.removal_hours", 0), "$.clocks.removal_hours"),
        (("clocks.removal_hours", 87_601), "$.clocks.removal_hours"),
        (("clocks.appeal_days", 3_651), "$.clocks.appeal_days"),
        (("clocks.P3_minutes", 5_256_001), "$.clocks.P3_minutes"),
        (("windows.strike_days", 3_651), "$.windows.strike_days"),
        (("windows.episode_days", 3_651), "$.windows.episode_days"),
        (("windows.care_hours", 87_601), "$.windows.care_hours"),
        (("windows.remember_days", 3_651), "$.windows.remember_days"),
        (("contact_max_age_days", 3_651), "$.contact_max_age_days"),
        (("care.contacts", []), "$.care.contacts"),
        (("notices.ban", {"title": "", "body": ""}), "$.notices"),
        # unknown names
        (("labels.rude", RIGHTS), "labels: unknown `rude`"),
        (("labels.distress", RIGHTS), "labels: unknown `distress`"),
        (("labels.threat", GONE), "labels: `threat` is missing"),
        (("labels.insult.clause", "model-right"), "labels.insult.clause: unknown `model-right`"),
        (("labels.insult.ladder", "stairs"), "labels.insult.ladder: unknown `stairs`"),
        (("borderline_ladder", "stairs"), "borderline_ladder: unknown `stairs`"),
        (("routes.rude", []), "routes: unknown `rude`"),
        (("routes.distress", []), "routes: unknown `distress`"),
        (("routes.insult.0.body", "ihao"), "routes.insult.body: unknown `ihao`"),
        (("care.contacts.0", "yorisoy"), "care.contacts: unknown `yorisoy`"),
        (("resources_in_distress.0", "yorisoy"), "resources_in_distress: unknown `yorisoy`"),
        (("imminent_routes.0.body", "911"), "imminent_routes: unknown `911`"),
        (("staff_first.body", "boss"), "staff_first: unknown `boss`"),
        (("resources.rude", []), "resources: unknown `rude`"),
        (("notices.remove", GONE), "notices: `remove` is missing"),
        (("notices.restore", GONE), "notices: `restore` is missing"),
        (("reasons.benign", GONE), "reasons: `benign` is missing"),
        # contradictions
        (("labels.defamation.threshold", 0.6), "labels.defamation.borderline_below: not above the threshold 0.6"),
        (("ladders.caution.rungs.0.action", "remove"), "ladders.caution: rungs must be punishments that rise"),
        (("ladders.caution.rungs.0.action", "none"), "ladders.caution: rungs must be punishments that rise"),
        (("ladders.ask.rungs.2.action", "restore"), "ladders.ask: rungs must be punishments that rise"),
        (("authority.held_as", "remove"), "authority.held_as: must be limit_visibility"),
        (("distress.group", "life"), "distress.group: `life` is shared with a violation"),
        (("labels.insult.group", "care"), "distress.group: `care` is shared with a violation"),
        (("care.contacts.0", "ihaho"), "care.contacts: `ihaho` has no hours"),
        (("bodies.yorisoi.hours", GONE), "care.contacts: `yorisoi` has no hours"),
        (("distress.urgent_priority", "P3"), "distress.urgent_priority: less urgent than P2"),
        # regular expressions
        (("imminent_signs.0", "(今夜"), "imminent_signs: `(今夜` is no regular expression"),
        (("imminent_signs.0", "今夜|"), "imminent_signs: `今夜|` matches every text"),
        (("imminent_signs.0", ""), "imminent_signs: `` matches every text"),
        # placeholders
        (("notices.warn.body", "{score}"), "notices.warn.body: placeholder 'score' is not one of clause, label"),
        (("notices.warn.body", "{text}"), "notices.warn.body: placeholder 'text'"),
        (("notices.warn.body", "{}"), "notices.warn.body"),
        (("notices.warn.body", "{due_at.year}"), "notices.warn.body"),
        (("notices.warn.body", "{"), "notices.warn.body"),
        (("notices.warn.title", "{clause}"), "notices.warn.title: placeholder 'clause' is not one of none"),
        (("notice_in_distress.body", "{clause}"), "notice_in_distress.body: placeholder 'clause'"),
        (("care.body", "{name}さん"), "care.body: placeholder 'name'"),
        (("reasons.benign", "{label}"), "reasons.benign: placeholder 'label' is not one of none"),
        (("reasons.rung", "{count[0]}"), "reasons.rung"),
        (("reasons.flagged", "{label} {score}"), "reasons.flagged: placeholder 'score' is not one of label, threshold"),
    ],
)
def test_a_mistake_stops_the_start_and_says_where(edit: Edit, place: str) -> None:
    with pytest.raises(PolicyError) as raised:
        parsed(edit)
    assert str(raised.value).startswith("mine.yml: ")
    assert place in str(raised.value)


def test_all_contradictions_are_told_at_once() -> None:
    with pytest.raises(PolicyError, match=r"unknown `stairs`.*; distress\.group"):
        parsed(("borderline_ladder", "stairs"), ("distress.group", "life"))


def _places(data: Any, path: str = "") -> Iterator[str]:
    """Every place in the file."""
    for key, value in data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ():
        yield f"{path}{key}"
        yield from _places(value, f"{path}{key}.")


PLACES: Final = list(_places(RAW))
VALUES: Final[list[Any]] = [None, True, 0, 1, -1, 0.5, 10**6, 10**12, "", "x", "{", "{label}", "(", ".*", [], {}]
NAMES: Final = ["P0", "P3", "never", "human", "same", "model", "care", "rights", "borderline", "staff", "ihaho"]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(PLACES), st.sampled_from([*VALUES, *NAMES, *(action.value for action in Action)]))
def test_whatever_one_place_says_either_the_start_stops_or_every_post_is_decided(place: str, value: Any) -> None:
    try:
        found = parsed((place, value))
    except PolicyError:
        return
    assert not found.stale_contacts(date(2020, 1, 1))
    line = pipeline(MemoryRows(), context=Context(found, "model-1"))
    records: list[tuple[Incoming, tuple[str, ...]]] = []
    for number, labels in enumerate(
        [*((label,) for label in LABEL_IDS), ("distress", "threat"), ("distress", "insult")]
    ):
        at = number * 10
        records.append((post(f"p{number}", offset=at, reports=9, minor_suspected=True), labels))
        records.append((post(f"p{number}", 2, text="別", offset=at + 1), labels[:1]))
        for more, action in enumerate((*Action, Action.TERMINATE)):
            by = f"s{more}"
            told = review("change_action", f"p{number}", action=action.value, offset=at + more, reviewer_id=by)
            records.append((told, ()))
        records.append((review("overturn", f"p{number}", offset=at + 9), ()))
    for record, labels in records:
        for output in apply(line, record, *labels, imminent=True):
            check(output)
            assert output.topic is not Topic.DEAD_LETTERS


def test_every_reason_can_be_put_into_words() -> None:
    for key, values in policy.REASONS.items():
        assert "{" not in LOADED.reason(key, **values)
    assert LOADED.reason("flagged", label="脅迫", threshold=0.8123) == "脅迫の疑い（しきい値 0.81 を超過）"


# -- thresholds and severity -----------------------------------------------------------------------------------------


@given(st.fixed_dictionaries(dict.fromkeys(LABEL_IDS, st.floats(0.0, 1.0))))
def test_flagged_are_the_labels_at_or_over_their_thresholds_in_order(scores: dict[str, float]) -> None:
    assert LOADED.flagged(scores) == [label for label in LABEL_IDS if scores[label] >= 0.5]


def test_a_clause_that_is_off_flags_nothing_and_distress_has_no_clause() -> None:
    off = parsed(*((f"clauses.{name}.enabled", False) for name in LOADED.data.clauses))
    assert off.flagged(dict.fromkeys(LABEL_IDS, 1.0)) == ["distress"]
    rights = parsed(("clauses.model-rights.enabled", False))
    assert rights.flagged({"insult": 1.0, "threat": 1.0, "privacy": 1.0}) == ["privacy"]


@pytest.mark.parametrize("label", VIOLATION_IDS)
@given(st.floats(0.5, 1.0), st.floats(0.5, 1.0))
def test_severity_never_falls_with_the_score(label: str, one: float, other: float) -> None:
    low, high = sorted([one, other])
    assert SEVERITIES.index(LOADED.severity(label, low)) <= SEVERITIES.index(LOADED.severity(label, high))


# -- imminent signs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "今夜で終わりにする",
        "これから逝きます",
        "遺書を書いた",
        "今までありがとう、さよならみんな",
        "準備はできた",
        "道具はある、日時はDMで",
        "集合場所は相談して決めよう",
        "明日にはもういない",
        "ｺﾚで最後の投稿",
        "D\u200bMで、日程はＤＭで",
    ],
)
def test_signs_that_it_may_be_now(text: str) -> None:
    assert LOADED.imminent(plain(text).text)


@pytest.mark.parametrize("text", ["死ぬほど笑った", "消えてしまいたい", "シネマに行った", "明日は晴れ", ""])
def test_no_sign_that_it_may_be_now(text: str) -> None:
    assert not LOADED.imminent(plain(text).text)


def test_each_sign_is_an_expression_of_its_own() -> None:
    signs = ["(?i)tonight", r"(ね)\1", "(?P<x>甲)", "(?P<x>乙)"]
    found = parsed(("imminent_signs", signs))
    assert [found.imminent(text) for text in ("ToNight", "ねね", "甲", "乙")] == [True] * 4
    assert not found.imminent("ね 丙")
    assert not parsed(("imminent_signs", [])).imminent("今夜")


# -- contacts --------------------------------------------------------------------------------------------------------


def test_a_contact_is_stale_the_day_after_its_age_is_reached() -> None:
    found = parsed(("contact_max_age_days", 10), ("bodies.ihc.verified_at", "2030-01-01"))
    assert "ihc" not in found.stale_contacts(date(2030, 1, 11))
    assert "ihc" in found.stale_contacts(date(2030, 1, 12))
    everything = found.stale_contacts(date(2040, 1, 1))
    assert everything == list(found.data.bodies)


def test_every_text_of_law_and_contact_says_whence_and_when() -> None:
    entries: list[Clause | Body] = [*LOADED.data.clauses.values(), *LOADED.data.bodies.values()]
    for entry in entries:
        assert entry.source
        assert date(2020, 1, 1) < entry.verified_at


# -- the words to a person in distress (domain.md, § Notice to a person in distress) -----------------------------------

MUST: Final = {
    "say we are concerned": "心配|気がかり",
    "listen": "聴|聞かせ",
    "110 and 119 if immediate": "110番.{0,3}119番",
    "offer a human": "担当者",
}
MUST_NOT: Final = {
    "name a method": "首|吊|飛び降|飛び込|練炭|ガス|薬|過量|リスカ|切|刃物|包丁|ロープ",
    "name a place": "線路|踏切|駅|橋|屋上|ビル|崖|樹海",
    "moralise": "べき|いけません|いけない|粗末|大切にし|悲しむ|迷惑|家族|親",
    "scold or cheer": "頑張|がんば|ダメ|だめ|負けな|弱|甘え|元気を出|前向き|ファイト|!|！",
    "present death as a solution": "死|自殺|自死|楽にな|解放|解決|終わりに|眠",
    "mention violation or penalty": "違反|規約|禁止|条項|処分|処罰|停止|警告|制限|措置|罰",
    "mention score or AI": "スコア|確率|判定|検知|検出|AI|ＡＩ|自動|機械|システム|モデル",
    "quote the post": "「|」|『|』|{|}|と書かれ|投稿に",
}
KEEP: Final = {
    "ask to take the post down": "削除|消し|非表示|取り下げ",
    "tell others": "共有|公開|通報|報告|連絡しました|知らせました",
}


def faults(title: str, body: str, forbidden: dict[str, str]) -> list[str]:
    """The rules that a message breaks."""
    text = f"{title}\n{body}"
    missing = [f"must {rule}" for rule, words in MUST.items() if not re.search(words, text)]
    return missing + [f"must not {rule}" for rule, words in forbidden.items() if re.search(words, text)]


def test_the_care_message_keeps_every_rule() -> None:
    care = LOADED.data.care
    assert faults(care.title, care.body, MUST_NOT | KEEP) == []


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        (lambda body: body.replace("心配", "残念"), "must say we are concerned"),
        (lambda body: re.sub("聞かせ|聴", "伝え", body), "must listen"),
        (lambda body: body.replace("119番", "交番"), "must 110 and 119 if immediate"),
        (lambda body: body.replace("担当者", "誰か"), "must offer a human"),
        (lambda body: body + "薬を置いてください。", "must not name a method"),
        (lambda body: body + "線路から離れてください。", "must not name a place"),
        (lambda body: body + "命を粗末にしないで。", "must not moralise"),
        (lambda body: body + "頑張ってください。", "must not scold or cheer"),
        (lambda body: body + "死にたいのですね。", "must not present death as a solution"),
        (lambda body: body + "規約では問題ありません。", "must not mention violation or penalty"),
        (lambda body: body + "AIがお知らせしています。", "must not mention score or AI"),
        (lambda body: body + "「もう無理」と書かれていました。", "must not quote the post"),
        (lambda body: body + "投稿は消してください。", "must not ask to take the post down"),
        (lambda body: body + "ご家庭に連絡しました。", "must not tell others"),
    ],
)
def test_the_rules_can_tell(change: Callable[[str], str], broken: str) -> None:
    care = LOADED.data.care
    assert faults("お知らせ", change(care.body), MUST_NOT | KEEP) == [broken]


def test_the_care_message_names_helplines_with_hours_and_a_day_between_two() -> None:
    data: PolicyFile = LOADED.data
    for name in data.care.contacts:
        body = data.bodies[name]
        assert body.hours
        assert re.search(r"\d{4}-\d{3}-\d{3}|https://", body.contact)
    assert data.windows.care_hours >= 24
    assert not {"ihaho", "ihc", "safeline", "staff"} & {*data.care.contacts, *data.resources_in_distress}


def test_the_notice_of_a_hold_beside_distress_keeps_the_must_nots() -> None:
    notice = LOADED.data.notice_in_distress
    found = faults(notice.title, notice.body, MUST_NOT)
    assert [fault for fault in found if fault.startswith("must not")] == []
    assert "担当者" in notice.body


# -- authority and clocks of the default -----------------------------------------------------------------------------


def test_the_model_alone_may_only_warn_ask_or_hide() -> None:
    assert LOADED.data.authority.model == [Action.WARN, Action.REQUEST_REMOVAL, Action.LIMIT_VISIBILITY]
    assert LOADED.data.authority.clock == [Action.REMOVE]


def test_the_default_windows_and_clocks_are_those_of_the_domain() -> None:
    data = LOADED.data
    clocks = data.clocks
    assert (data.windows.strike_days, data.windows.care_hours, clocks.removal_hours) == (90, 24, 24)
    due = [clocks.due(priority) for priority in sorted(type(data.distress.priority))]
    assert due == [timedelta(minutes=15), timedelta(hours=1), timedelta(hours=24), timedelta(hours=72)]


def test_iso_minute_is_japans_clock() -> None:
    assert policy.iso_minute(from_kafka_ms(1_793_491_200_000)) == "2026年11月1日 9時00分（日本時間）"
    assert policy.iso_minute(from_kafka_ms(1_798_729_500_000)) == "2027年1月1日 0時05分（日本時間）"
