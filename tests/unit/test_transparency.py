"""`mimamori report` but for its figures: what is read, what is told beside the figures, JSON and CSV, the policy."""

import csv
import io
import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from tests.unit.accounts import DAY_MS, HIDDEN, HOUR_MS, NOVEMBER, WORDS, Log
from tests.unit.memory import ID_FIELD, Json, MemoryRows, apply, pipeline, post, review
from workers import transparency, transparency_data
from workers.errors import PolicyError, UsageError
from workers.events import RECORD_OF, Action, Topic, Verdict
from workers.pipeline import Incoming
from workers.policy_data import PolicyFile
from workers.transparency import Form, Order, check
from workers.transparency_records import ActionSlice, DecisionSlice, EscalationSlice, NoticeSlice, Records
from workers.transparency_requests import COLUMNS
from workers.transparency_source import SEGMENT_MS, SOURCES, TREND_SOURCES, Taken
from workers.transparency_table import Account, Table, as_csv

FORMS: Final[tuple[Form, ...]] = ("json", "csv", "html")

# -- what is read -----------------------------------------------------------------------------------------------------


def test_neither_posts_nor_care_are_a_source() -> None:
    assert {*SOURCES} == {Topic.DECISIONS, Topic.ACTIONS, Topic.ESCALATIONS, Topic.STAFF_REVIEWS}
    assert {*TREND_SOURCES} < {*SOURCES}


@pytest.mark.parametrize(
    ("part", "topic"),
    [(DecisionSlice, Topic.DECISIONS), (ActionSlice, Topic.ACTIONS), (EscalationSlice, Topic.ESCALATIONS)],
)
def test_what_is_decoded_is_a_part_of_the_record_without_words_and_scores(part: type[Any], topic: Topic) -> None:
    fields = {one.name for one in msgspec.structs.fields(part)}
    assert fields < {one.name for one in msgspec.structs.fields(RECORD_OF[topic])}
    assert not fields & {"scores", "spans", "reasons", "dossier", "history", "context"}
    assert [one.name for one in msgspec.structs.fields(NoticeSlice)] == ["title"]


def test_what_a_worker_writes_is_understood() -> None:
    """Every review of a worker's finds its case, whether it names a case or a decision."""
    worker, log = pipeline(MemoryRows()), Log()

    def step(record: Incoming, **scores: float) -> list[Json]:
        outputs = apply(worker, record, imminent=False, **scores)
        for output in outputs:
            if output.topic in SOURCES:
                log.values.append((Topic(output.topic), output.key, output.value, record.timestamp_ms + 500))
        if record.kind is Topic.STAFF_REVIEWS:
            log.values.append((record.kind, record.key or b"", record.value or b"", record.timestamp_ms))
        return [json.loads(output.value) for output in outputs if output.topic is Topic.ESCALATIONS]

    (case,) = step(post("p1", offset=1), defamation=0.8)
    step(post("p2", offset=2, author_id="bea"), insult=0.8)
    step(review("removal_requested", "p1", offset=3, case_id=case["case_id"], requested_by="victim"))
    step(review("change_action", "p1", offset=4, action="remove"))
    step(review("answered", "p1", offset=5, case_id=case["case_id"]))
    step(review("overturn", "p2", offset=6, author_id="bea"))  # opens a case of its own
    step(review("confirm", "p9", offset=7))  # of a post that nobody knows: a dead letter
    found = log.report()
    assert found["left_out"]["reviews_without_effect"] == 1
    rows = found["tables"]["requests_by_ground"]
    assert [(row["ground"], row["in_time"], row["done"]) for row in rows] == [("defamation", 1, 1), ("all", 1, 1)]
    assert {(row["action"], row["by"]): row["measures"] for row in found["tables"]["measures"]} == {
        ("request_removal", "model"): 1,
        ("warn", "model"): 1,
        ("remove", "human"): 1,
        ("restore", "human"): 1,
    }
    assert {row["label"]: row["opened"] for row in found["tables"]["cases_by_label"]}["defamation"] == 1
    assert ID_FIELD.keys() >= {*SOURCES} - {Topic.STAFF_REVIEWS}


def test_what_is_no_record_is_named_by_its_place_and_the_rest_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    log = Log()
    log.put(Topic.DECISIONS, "p", f'{{"schema":"decision/1","decision_id":"{HIDDEN}"}}'.encode(), 0)
    log.put(Topic.ACTIONS, "p", HIDDEN.encode(), 0)
    log.put(Topic.STAFF_REVIEWS, "p", HIDDEN.encode(), 0)  # as the worker's dead letters tell
    log.decide("p1")
    found = log.report()
    assert (found["left_out"]["unreadable"], found["left_out"]["reviews_that_are_dead_letters"]) == (2, 1)
    said = capsys.readouterr().err
    assert "moderation-decisions/0/0: Object missing required field `post_id`" in said
    assert "moderation-actions/0/1: not valid UTF-8 JSON" in said
    assert HIDDEN not in said


def test_a_review_under_another_key_is_none() -> None:
    """The worker refuses it too: order per author rests on the key."""
    log = Log()
    log.decide("p1")
    log.review(Verdict.CONFIRM, "p1", case=log.case("p1"), at=1)
    log.values = [(t, b"other" if t is Topic.STAFF_REVIEWS else key, raw, at) for t, key, raw, at in log.values]
    assert log.report()["left_out"]["reviews_that_are_dead_letters"] == 1


# -- what is told beside the figures ----------------------------------------------------------------------------------


def test_where_the_log_begins_and_ends_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    log = Log()
    log.decide("p1")
    assert log.report()["coverage"] == {"complete_from": None, "last_record": "2026-11-01", "whole": False}
    assert "note: the log ends on 2026-11-01, within the period" in capsys.readouterr().err
    log.ends(31 * DAY_MS)
    assert log.report()["coverage"]["whole"]
    assert capsys.readouterr().err == ""
    cut = Log()
    cut.values, cut.offsets = [(Topic.CARE, b"", b"", 0), *log.values], True
    assert cut.report()["coverage"] == {"complete_from": "2026-11-01", "last_record": "2026-12-02", "whole": False}
    assert "note: the log may lack records before 2026-11-01: figures are partial" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("firsts", "begins"),
    [
        ([(0, 5)], 0),
        ([(3, 5)], 5),
        ([(3, 5), (4, 9)], 9),
        ([(3, 5), (4, SEGMENT_MS + 9)], SEGMENT_MS + 5),  # a quiet partition, whose first record is long after
        ([(0, 5), (4, 9)], 9),
    ],
)
def test_a_partition_that_lost_records_says_from_when_nothing_is_missing(
    firsts: list[tuple[int, int]], begins: int
) -> None:
    records = Records()
    taken = Taken(WORDS, records)
    for partition, (offset, written) in enumerate(firsts):
        for number in range(2):
            taken.record(Topic.ACTIONS, partition, offset + number, None, b"", written + 1_000 * number, "")
    assert taken.begins_ms == begins
    records.close()


def test_a_period_without_a_record_is_told() -> None:
    log = Log()
    log.decide("p1")
    for order in (Order(date(2026, 12, 1), date(2026, 12, 31)), Order(date(2026, 1, 1), date(2026, 10, 31))):
        with pytest.raises(
            UsageError, match=rf"no record from {order.first} to {order.last}; the last is of 2026-11-01"
        ):
            log.account(order)
    with pytest.raises(UsageError, match="or of any other time"):
        Log().account()


@pytest.mark.parametrize(
    ("order", "policy", "regime"),
    [(None, None, "voluntary"), (None, "designated", "designated"), ("voluntary", "designated", "voluntary")],
)
def test_the_regime_is_the_orders_then_the_policys(order: Any, policy: Any, regime: str) -> None:
    assert WORDS.policy is not None
    words = replace(WORDS, policy=msgspec.structs.replace(WORDS.policy, regime=policy))
    log, records = Log(), Records()
    log.decide("p1")
    content = transparency.answer(replace(NOVEMBER, regime=order), words, Taken(words, records), log.fill)
    records.close()
    assert json.loads(content)["regime"] == regime


def test_the_policy_is_read_for_names_only(tmp_path: Path) -> None:
    """No model, and no rule between its thresholds, matters to what is over; but its clauses have to be readable."""
    text = Path("workers/policies/default.yml").read_text("utf-8")
    good, bad = tmp_path / "good.yml", tmp_path / "bad.yml"
    good.write_text(text.replace("suspend_after_confirmed: 3", "suspend_after_confirmed: many"), "utf-8")
    assert isinstance(transparency._policy(good), PolicyFile)
    bad.write_text(text.replace("regime: voluntary", "regime: imposed"), "utf-8")
    with pytest.raises(PolicyError, match=r"bad\.yml:\d+: regime: unknown `imposed`"):
        transparency._policy(bad)
    with pytest.raises(PolicyError, match="cannot be read"):
        transparency._policy(tmp_path / "none.yml")


def test_a_policy_without_a_regime_says_none(tmp_path: Path) -> None:
    text = Path("workers/policies/default.yml").read_text("utf-8")
    path = tmp_path / "mine.yml"
    path.write_text("\n".join(line for line in text.splitlines() if not line.startswith("regime:")), "utf-8")
    found = transparency._policy(path)
    assert found is not None
    assert found.regime is None


# -- JSON and CSV -----------------------------------------------------------------------------------------------------


def test_the_same_topics_give_the_same_bytes() -> None:
    log = Log()
    log.decide("p1", "insult", action=Action.WARN)
    for form in FORMS:
        assert log.account(replace(NOVEMBER, form=form)) == log.account(replace(NOVEMBER, form=form))


@pytest.mark.parametrize("form", FORMS)
def test_no_id_and_no_words_of_anybody_are_in_it(form: Form) -> None:
    log = Log()
    log.decide("POST-1", "insult", author="ANN", action=Action.WARN)
    case = log.case("POST-1", "insult", author="ANN")
    log.review(
        Verdict.REMOVAL_REQUESTED,
        "POST-1",
        case=case,
        at=HOUR_MS,
        author="ANN",
        by="REVIEWER-1",
        id="REVIEW-1",
        requested_by="山田花子",
    )
    content = log.account(replace(NOVEMBER, form=form)).decode()
    assert "model-1" in content
    for word in ("POST-1", "ANN", "REVIEWER-1", "REVIEW-1", "山田花子", HIDDEN, case):
        assert word not in content


def test_csv_holds_what_json_holds() -> None:
    log = Log()
    log.decide("p1", "insult", "privacy", action=Action.WARN)
    log.review(Verdict.OVERTURN, "p1", case=log.case("p1", "insult"), at=HOUR_MS)
    tables = log.report()["tables"]
    rows = [*csv.DictReader(io.StringIO(log.account(replace(NOVEMBER, form="csv")).decode()))]
    found: dict[Any, Any] = {}
    for row in rows:
        assert (row.pop("from"), row.pop("to")) == ("2026-11-01", "2026-11-30")
        names = {name: value for name, value in row.items() if value and name not in ("table", "column", "value")}
        place = (row["table"], tuple(names.items()))
        found.setdefault(place, {})[row["column"]] = json.loads(row["value"] or "null")
    assert [
        {**dict(names), **figures} for (table, names), figures in found.items() if table == "overturns_by_clause"
    ] == tables["overturns_by_clause"]
    assert sum(len(rows) for rows in tables.values()) == len(found)


@pytest.mark.parametrize("word", ["=1+1", "+1", "-1", "@x", "\tx"])
def test_no_word_of_csv_is_a_formula(word: str) -> None:
    table = Table("overturns_by_model", ("model_version",), ("measures",), [(word, 1)])
    head = {"period": {"from": "2026-11-01", "to": "2026-11-30"}}
    (_, row) = csv.reader(io.StringIO(as_csv(Account("transparency/1", head, [table]), "").decode()))
    assert row[3] == f"'{word}"


# -- the data file, wrong use -----------------------------------------------------------------------------------------


def test_every_table_column_and_word_is_named_and_none_is_too_much() -> None:
    log = Log()
    log.decide("p1", "insult", action=Action.WARN)
    log.ends(31 * DAY_MS)
    data = transparency_data.load()
    tables = {
        **log.report()["tables"],
        **json.loads(log.account(replace(NOVEMBER, trend=True)))["tables"],
    }
    assert [*tables] == [*data.tables]
    names = {name for rows in tables.values() for row in rows for name in row}
    names |= {"verdict", "reviews", "reviewers"}  # no review here
    assert names == {*data.columns, *data.dimensions}
    assert {row["figure"] for row in tables["overview"]} == {*data.values["figure"]}
    assert {row["stage"] for row in tables["latency"]} == {*data.values["stage"]}
    assert {*data.values["verdict"]} == {*Verdict}


def test_the_document_explains_every_table_and_the_words_of_an_answer() -> None:
    text = (Path(__file__).parents[2] / "docs/transparency.md").read_text("utf-8")
    rows = "\n".join(line.split("|")[1] for line in text.splitlines() if line.startswith("|"))
    data = transparency_data.load()
    assert [id for id, one in data.tables.items() if one.asked_by != "educators" and f"`{id}`" not in rows] == []
    for word in (*COLUMNS[1:], "left_out", "repeated", "coverage.whole", "regime", "SQLITE_TMPDIR"):
        assert f"`{word}`" in text, word


def test_the_deadlines_of_the_law_say_whence() -> None:
    law = transparency_data.load().law
    assert (law.answer_days, law.ceiling_days) == (7, 14)
    assert law.source
    assert law.verified_at <= date(2026, 11, 24)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"first": date(2026, 12, 1)}, "--from: 2026-12-01 is after --to 2026-11-30"),
        ({"k": 10}, "--k: only with --trend"),
        ({"trend": True, "regime": "voluntary"}, "--regime: a trend has none"),
        ({"out": Path("/nowhere/at/all.json")}, "--out: /nowhere/at/all.json: is a directory, or in none that exists"),
        ({"out": Path("/tmp")}, "--out: /tmp: is a directory"),  # noqa: S108 # nothing is written
    ],
)
def test_wrong_use(change: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        check(replace(NOVEMBER, **change))
