"""A loaded policy: its version, what it says of scores and texts, and that whatever loads can decide every post."""

import copy
import re
from collections.abc import Iterator
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
from tests.unit.policies import DEFAULT, POINTS
from workers import policy
from workers.decide import Context
from workers.errors import PolicyError
from workers.events import Action, Topic, from_kafka_ms
from workers.pipeline import Incoming
from workers.policy import SEVERITIES, Body, Clause, Policy, PolicyFile

LOADED: Final = policy.load(None, POINTS)
RAW: Final = yaml.safe_load(DEFAULT.read_text("utf-8"))
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


def test_mistakes_stop_the_start_with_one_line_and_warnings_do_not() -> None:
    spare = ("clauses.spare", RAW["clauses"]["model-crime"])
    with pytest.raises(PolicyError) as raised:
        parsed(("borderline_ladder", "stairs"), ("distress.group", "life"), spare)
    told = re.split("(?:^|; )mine[.]yml:[0-9]+: ", str(raised.value))
    assert [one.split(":")[0] for one in told] == ["", "borderline_ladder", "distress.group"]
    assert "\n" not in str(raised.value)
    assert "spare" in parsed(spare).data.clauses


def test_of_many_mistakes_the_first_are_told_and_the_rest_counted() -> None:
    with pytest.raises(
        PolicyError, match=rf"; and {len(policy.REASONS) - 5} more: mimamori policy check tells them all$"
    ):
        parsed(*((f"reasons.{name}", GONE) for name in policy.REASONS))


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
    no_words: tuple[tuple[str, Any], ...] = (("imminent_words", {}), ("imminent_except", []))
    signs = ["(?i)tonight", r"(ね)\1", "(?P<x>甲)", "(?P<x>乙)"]
    found = parsed(("imminent_signs", signs), *no_words)
    assert [found.imminent(text) for text in ("ToNight", "ねね", "甲", "乙")] == [True] * 4
    assert not found.imminent("ね 丙")
    assert not parsed(("imminent_signs", []), *no_words).imminent("今夜死ぬ")


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


# -- what the default says -------------------------------------------------------------------------------------------


def test_the_care_message_names_helplines_with_hours_and_a_day_between_two() -> None:
    data: PolicyFile = LOADED.data
    for name in data.care.contacts:
        body = data.bodies[name]
        assert body.hours
        assert re.search(r"\d{4}-\d{3}-\d{3}|https://", body.contact)
    assert data.windows.care_hours >= 24
    assert not {"ihaho", "ihc", "safeline", "staff"} & {*data.care.contacts, *data.resources_in_distress}


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
