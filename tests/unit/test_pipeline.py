"""Steps 2 to 4: every record becomes a decision or a dead letter, once, whatever comes again and wherever it died."""

import asyncio
import json
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from models.labels import LABEL_IDS
from tests.unit import memory
from tests.unit.memory import (
    AT_MS,
    CONTEXT,
    DAY_MS,
    POLICY,
    MemoryRows,
    ScriptedClassifier,
    apply,
    only,
    pipeline,
    post,
    read,
    review,
)
from workers import decide
from workers import pipeline as pipeline_module
from workers.codec import decision_id, output_id
from workers.decide import Context
from workers.errors import BadRecord, GuaranteeAtRisk
from workers.events import Topic
from workers.pipeline import CONTROL_TEXT, Decoded, Incoming, Pipeline

SHADOW = Context(POLICY, "model-1", shadow=True)


def texts(line: Pipeline, *found: str) -> list[Decoded]:
    return [line.decode(post(f"p{n}", text=text, offset=n)) for n, text in enumerate(found)]


def classify(line: Pipeline, batch: Sequence[Decoded]) -> list[Any]:
    return asyncio.run(line.classify(batch))


def moved(record: Incoming, offset: int) -> Incoming:
    """The same content at another offset and time: the producer sent it twice."""
    return memory.incoming(
        json.loads(record.value or b""), kind=record.kind, offset=offset, at_ms=record.timestamp_ms + 5_000
    )


# -- redelivery, duplicates, conflicts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [(), ("insult",), ("defamation",), ("threat",), ("distress",), ("insult", "threat")])
def test_a_redelivery_gives_identical_bytes_whatever_is_computed_now(labels: tuple[str, ...]) -> None:
    rows = MemoryRows()
    record = post()
    first = apply(pipeline(rows), record, *labels)
    before = dict(rows.rows)
    other = Context(POLICY, "model-2")
    assert apply(pipeline(rows, context=other), record, "obscene") == first
    assert rows.rows == before
    assert apply(pipeline(rows, context=other), record) == first
    assert rows.rows == before


@pytest.mark.parametrize("labels", [(), ("insult",), ("defamation",), ("distress",)])
def test_a_duplicate_at_another_offset_gives_the_first_bytes_and_changes_nothing(labels: tuple[str, ...]) -> None:
    rows = MemoryRows()
    line = pipeline(rows)
    record = post()
    first = apply(line, record, *labels)
    written = len(rows.log)
    assert apply(line, moved(record, 1), "obscene") == first
    assert len(rows.log) == written


@pytest.mark.parametrize(
    "other",
    [
        post(text="別の本文", offset=1),
        post(event="edited", offset=1),
        post(text=None, offset=1),
    ],
    ids=["text", "event", "deletion"],
)
def test_other_content_under_a_known_revision_is_a_conflict(other: Incoming) -> None:
    rows = MemoryRows()
    line = pipeline(rows)
    first = apply(line, post(), "insult")
    author, row = rows.author(), rows.post()
    letter = only(apply(line, other), Topic.DEAD_LETTERS)
    assert letter["error"]["type"] == "revision_conflict"
    assert (rows.author(), rows.post()) == (author, row)
    assert apply(line, post(), "insult") == first


def test_another_review_under_a_known_id_is_a_conflict() -> None:
    line = pipeline(MemoryRows())
    apply(line, post(), "defamation")
    first = apply(line, review("confirm", review_id="r"))
    assert apply(line, moved(review("confirm", review_id="r"), 1)) == first
    letter = only(apply(line, review("overturn", review_id="r", offset=2)), Topic.DEAD_LETTERS)
    assert letter["error"]["type"] == "revision_conflict"


def test_a_conflict_stays_dead_after_the_first_was_forgotten() -> None:
    rows = MemoryRows()
    line = pipeline(rows)
    apply(line, post())
    conflict = post(text="別", offset=1)
    letter = apply(line, conflict)
    for key in [key for key in rows.rows if key[1][0] in "rp"]:
        del rows.rows[key]
    assert apply(pipeline(rows), conflict) == letter


# -- dead letters that must stay dead ----------------------------------------------------------------------------------


def test_an_unknown_subject_stays_dead_when_the_subject_is_known_by_then() -> None:
    rows = MemoryRows()
    line = pipeline(rows)
    early = review("confirm", offset=3)
    letter = apply(line, early)
    assert only(letter, Topic.DEAD_LETTERS)["error"]["type"] == "unknown_subject"
    apply(line, post(), "defamation")
    author = rows.author()
    assert apply(pipeline(rows), early) == letter
    assert rows.author() == author
    sent_again = apply(line, review("confirm", review_id="r3", offset=4))  # the same review, redriven: another source
    assert [output.topic for output in sent_again] == [Topic.ESCALATIONS]


def test_a_decision_that_raises_touches_no_rows_and_stays_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = MemoryRows()

    def broken(*_: Any) -> Any:
        raise KeyError("ひみつ")

    with monkeypatch.context() as patch:
        patch.setattr(pipeline_module, "decide_post", broken)
        letter = apply(pipeline(rows), post(text="ひみつ"), "insult")
    error = only(letter, Topic.DEAD_LETTERS)["error"]
    assert error["type"] == "processing_failed"
    assert "ひみつ" not in json.dumps(error, ensure_ascii=False)
    assert {key[0] for _, key in rows.rows} == {"d"}
    assert apply(pipeline(rows), post(text="ひみつ"), "insult") == letter
    assert {key[0] for _, key in rows.rows} == {"d"}


def test_a_decision_that_finds_a_guarantee_at_risk_is_no_dead_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise GuaranteeAtRisk("a row cannot be read")

    monkeypatch.setattr(pipeline_module, "decide_post", broken)
    with pytest.raises(GuaranteeAtRisk):
        apply(pipeline(MemoryRows()), post())


def test_a_stored_row_that_cannot_be_read_ends_the_worker() -> None:
    rows = MemoryRows()
    apply(pipeline(rows), post())
    for key in rows.rows:
        rows.rows[key] = b"\xc1"
    with pytest.raises(GuaranteeAtRisk):
        apply(pipeline(rows), post())


def test_a_record_already_decided_is_no_dead_letter_when_its_text_fails_in_the_next_life() -> None:
    """Guarantee 1: a decision or a dead letter, never both."""

    def fails(text: str) -> tuple[str, ...]:
        if text != CONTROL_TEXT:
            raise ValueError
        return ()

    rows = MemoryRows()
    first = apply(pipeline(rows), post(), "insult")
    line = pipeline(rows, ScriptedClassifier(fails))
    for record in (post(), moved(post(), 1)):
        decoded = line.decode(record)
        (result,) = classify(line, [decoded])
        assert isinstance(result, BadRecord)
        assert line.apply(decoded, result) == first


@pytest.mark.parametrize(
    ("record", "fault"),
    [
        (memory.incoming(b"{", key=b"ann"), "not_json"),
        (memory.incoming(None, key=b"ann"), "not_json"),
        (memory.incoming({"schema": "post/2", "author_id": "ann"}), "wrong_schema"),
        (memory.incoming(json.loads(post().value or b""), key=b"bob"), "wrong_key"),
        (memory.incoming(json.loads(post().value or b""), key=None), "wrong_key"),
        (post(text="あ" * 20_001), "invalid_field"),
        (memory.incoming(b" " * ((1 << 20) + 1), key=b"ann"), "too_large"),
    ],
)
def test_what_cannot_be_decoded_is_a_dead_letter_each_time_and_needs_no_row(record: Incoming, fault: str) -> None:
    rows = MemoryRows()
    letter = apply(pipeline(rows), record)
    assert only(letter, Topic.DEAD_LETTERS)["error"]["type"] == fault
    assert apply(pipeline(rows), record) == letter
    assert rows.rows == {}


# -- the classifier ----------------------------------------------------------------------------------------------------


def test_only_posts_with_text_are_classified_and_the_answers_stay_aligned() -> None:
    classifier = ScriptedClassifier(lambda text: ("insult",) if text == "b" else ())
    line = pipeline(MemoryRows(), classifier)
    broken, deletion = line.decode(memory.incoming(b"{")), line.decode(post(revision=2, text=None))
    one, two = texts(line, "a", "b")
    results = classify(line, [broken, one, deletion, two, line.decode(review("confirm"))])
    assert [result and result.scores["insult"] for result in results] == [None, 0.1, None, 0.8, None]
    assert classifier.calls == [["a", "b"]]
    assert classify(line, [broken, deletion]) == [None, None]
    assert len(classifier.calls) == 1


@pytest.mark.parametrize("count", [1, 2, 7, 64])
@pytest.mark.parametrize("bad", ["first", "last", "both"])
def test_exactly_the_text_that_fails_is_dead(count: int, bad: str) -> None:
    dead = {"first": {0}, "last": {count - 1}, "both": {0, count - 1}}[bad]

    def script(text: str) -> tuple[str, ...]:
        if text in {f"text {n}" for n in dead}:
            raise RuntimeError(text)
        return ("insult",)

    line = pipeline(MemoryRows(), ScriptedClassifier(script))
    batch = texts(line, *(f"text {n}" for n in range(count)))
    results = classify(line, batch)
    outputs = [line.apply(decoded, result) for decoded, result in zip(batch, results, strict=True)]
    assert {n for n, found in enumerate(outputs) if found[0].topic is Topic.DEAD_LETTERS} == dead
    for n in dead:
        error = only(outputs[n], Topic.DEAD_LETTERS)["error"]
        assert error == {"type": "processing_failed", "message": "the classifier failed with RuntimeError"}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.01, 1.01])
def test_a_score_that_is_no_probability_makes_its_record_dead(value: float) -> None:
    line = pipeline(
        MemoryRows(), ScriptedClassifier(lambda text: memory.scores(threat=value) if text == "b" else memory.scores())
    )
    results = classify(line, texts(line, "a", "b", "c"))
    assert [isinstance(result, BadRecord) for result in results] == [False, True, False]


def test_a_missing_answer_makes_no_other_text_answer_for_it() -> None:
    class Short(ScriptedClassifier):
        def classify(self, texts: Sequence[str], thresholds: Any = None) -> Any:
            return super().classify([text for text in texts if text != "b"], thresholds)

    line = pipeline(MemoryRows(), Short(lambda text: ("insult",) if text == "c" else ()))
    results = classify(line, texts(line, "a", "b", "c"))
    assert isinstance(results[1], BadRecord)
    assert (results[0].scores["insult"], results[2].scores["insult"]) == (0.1, 0.8)


def test_a_classifier_that_fails_on_every_text_ends_the_worker() -> None:
    def script(text: str) -> tuple[str, ...]:
        raise RuntimeError(text)

    line = pipeline(MemoryRows(), ScriptedClassifier(script))
    with pytest.raises(GuaranteeAtRisk, match="every text") as caught:
        classify(line, texts(line, "ひみつ", "b"))
    assert "ひみつ" not in str(caught.value)


def test_nan_for_every_text_ends_the_worker() -> None:
    line = pipeline(MemoryRows(), ScriptedClassifier(lambda text: memory.scores(insult=float("nan"))))
    with pytest.raises(GuaranteeAtRisk):
        classify(line, texts(line, "a", "b"))


@pytest.mark.parametrize("hangs_on", ["every text", "the control text"])
def test_a_classifier_that_hangs_ends_the_worker(hangs_on: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_module, "CLASSIFY_DEADLINE_SECONDS", 0.2)
    release = threading.Event()

    def script(text: str) -> tuple[str, ...]:
        if hangs_on == "the control text" and text != CONTROL_TEXT:
            raise ValueError
        release.wait(30)
        return ()

    with ThreadPoolExecutor(1) as executor:
        line = Pipeline(CONTEXT, ScriptedClassifier(script), MemoryRows(), executor)
        try:
            with pytest.raises(GuaranteeAtRisk):
                classify(line, texts(line, "a", "b"))
        finally:
            release.set()


def test_the_classifier_gets_the_thresholds_of_the_policy() -> None:
    seen: list[Any] = []

    class Noting(ScriptedClassifier):
        def classify(self, texts: Sequence[str], thresholds: Any = None) -> Any:
            seen.append(dict(thresholds))
            return super().classify(texts, thresholds)

    line = pipeline(MemoryRows(), Noting())
    classify(line, texts(line, "a"))
    assert seen == [dict(POLICY.thresholds)]


def test_imminent_signs_are_looked_for_in_the_plain_text() -> None:
    line = pipeline(MemoryRows(), ScriptedClassifier(lambda text: ("distress",)))
    results = classify(line, texts(line, "遺\u200b書を書いた", "猫が好き"))
    assert [result.imminent for result in results] == [True, False]


@pytest.mark.parametrize("label", LABEL_IDS)
def test_they_are_looked_for_beside_distress_and_inducement_alone(label: str) -> None:
    """No other decision asks for them, and the search takes as long as the normalising."""
    line = pipeline(MemoryRows(), ScriptedClassifier(lambda text: (label,)))
    (result,) = classify(line, texts(line, "遺書を書いた"))
    assert result.imminent is (label in ("distress", "suicide_inducement"))


# -- what a decision is ------------------------------------------------------------------------------------------------


def test_a_benign_post_is_decided_too() -> None:
    outputs = apply(pipeline(MemoryRows()), post(offset=9))
    assert [output.topic for output in outputs] == [Topic.DECISIONS]
    decision = only(outputs, Topic.DECISIONS)
    assert outputs[0].key == b"p1"
    assert decision["decision_id"] == decision_id("p1", 1)
    assert decision["source"] == {"topic": "test-posts", "partition": 0, "offset": 9}
    assert (decision["action"], decision["flagged"], decision["shadow"]) == ("none", [], False)
    assert decision["decided_at"] == memory.when(AT_MS)


def test_the_ids_of_outputs_follow_from_their_cause() -> None:
    outputs = apply(pipeline(MemoryRows()), post(), "defamation")
    cause = decision_id("p1", 1)
    action, case = only(outputs, Topic.ACTIONS), only(outputs, Topic.ESCALATIONS)
    assert action["action_id"] == output_id(Topic.ACTIONS, cause, "request_removal")
    assert (action["cause"], action["automated"]) == (cause, True)
    assert case["case_id"] == output_id(Topic.ESCALATIONS, cause, "case:rights")
    assert [output.key for output in outputs] == [b"p1", b"ann", case["case_id"].encode()]


def test_one_post_is_one_strike_and_counts_once_however_often_edited() -> None:
    rows = MemoryRows()
    line = pipeline(rows)
    for revision in range(1, 5):
        outputs = apply(line, post(revision=revision, text=f"{revision}", offset=revision), "insult")
        assert only(outputs, Topic.DECISIONS)["history"]["posts"] == 0
        assert only(outputs, Topic.DECISIONS)["history"]["strikes"] == 0
    assert (len(rows.author().strikes), rows.author().posts) == (1, 1)
    seen = only(apply(line, post("p2", offset=9), "insult"), Topic.DECISIONS)["history"]
    assert (seen["posts"], seen["strikes"], seen["strikes_by_label"]) == (1, 1, {"insult": 1})


def test_a_revision_older_than_the_latest_seen_is_stale() -> None:
    rows = MemoryRows()
    line = pipeline(rows)
    apply(line, post(revision=3), "threat")
    late = apply(line, post(revision=2, offset=1), "insult")
    assert [output.topic for output in late] == [Topic.DECISIONS]
    decision = only(late, Topic.DECISIONS)
    assert (decision["action"], decision["reasons"]) == ("none", ["stale"])
    assert rows.post().latest_revision == 3
    assert rows.post().standing == "limit_visibility"


def test_a_deletion_is_decided_and_settles_the_request() -> None:
    rows = MemoryRows()
    line = pipeline(rows)
    apply(line, post(), "defamation")
    assert len(rows.clocks()) == 1
    decision = only(apply(line, post(revision=2, text=None, offset=1)), Topic.DECISIONS)
    assert (decision["event"], decision["action"], decision["scores"]) == ("deleted", "none", {})
    assert decision["context"]["text_sha256"] is None
    assert rows.buckets() == {}


def test_an_edit_out_of_a_violation_lifts_an_automated_hold() -> None:
    rows = MemoryRows()
    line = pipeline(rows)
    held = only(apply(line, post(), "threat"), Topic.ACTIONS)
    assert held["action"] == "limit_visibility"
    lifted = only(apply(line, post(revision=2, offset=1)), Topic.ACTIONS)
    assert (lifted["action"], lifted["supersedes"]) == ("restore", [held["action_id"]])
    assert len(rows.author().strikes) == 1
    assert read(apply(line, post(revision=3, offset=2)), Topic.ACTIONS) == []


def test_windows_use_event_time_and_a_post_cannot_be_post_dated() -> None:
    rows = MemoryRows()
    line = pipeline(rows)
    apply(line, post("p1", occurred_ms=AT_MS + 400 * DAY_MS), "insult")
    apply(line, post("p2", offset=1, occurred_ms=AT_MS - 400 * DAY_MS), "insult")
    assert [strike.at_ms - AT_MS for strike in rows.author().strikes] == [-400 * DAY_MS, 0]
    seen = only(apply(line, post("p3", offset=2, at_ms=AT_MS + 89 * DAY_MS)), Topic.DECISIONS)["history"]
    assert seen["strikes"] == 1
    seen = only(apply(line, post("p4", offset=3, at_ms=AT_MS + 91 * DAY_MS)), Topic.DECISIONS)["history"]
    assert seen["strikes"] == 0


def test_due_times_use_the_kafka_timestamp() -> None:
    outputs = apply(pipeline(MemoryRows()), post(occurred_ms=AT_MS - 5 * DAY_MS), "defamation")
    assert only(outputs, Topic.ACTIONS)["due_at"] == memory.when(AT_MS + DAY_MS)


def test_content_is_event_and_text() -> None:
    line = pipeline(MemoryRows())
    same = post(reports=3, url="https://example.com", offset=1)
    first = apply(line, post())
    assert apply(line, same) == first
    one, other = (line.decode(record).record for record in (post(), same))
    assert decide.content_of(one) == decide.content_of(other)  # type: ignore[arg-type] # both are posts


# -- shadow ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "labels", [(), ("defamation",), ("threat",), ("distress",), ("suicide_inducement", "distress")]
)
def test_shadow_writes_decisions_only_and_sets_no_clock(labels: tuple[str, ...]) -> None:
    rows = MemoryRows()
    line = pipeline(rows, context=SHADOW)
    outputs = apply(line, post(), *labels, imminent=True)
    assert [output.topic for output in outputs] == [Topic.DECISIONS]
    decision = only(outputs, Topic.DECISIONS)
    assert decision["shadow"] is True
    assert decision["decision_id"] == decision_id("p1", 1, shadow_policy=POLICY.version)
    assert rows.buckets() == {}


def test_shadow_answers_reviews_and_bad_records_with_nothing() -> None:
    rows = MemoryRows()
    line = pipeline(rows, context=SHADOW)
    apply(line, post(), "defamation")
    assert apply(line, review("change_action", action="request_removal")) == []
    assert apply(line, review("confirm", "unknown", offset=1)) == []
    assert apply(line, memory.incoming(b"{", offset=2)) == []
    assert rows.buckets() == {}


@pytest.mark.parametrize("label", ["insult", "defamation"])  # without a case, and with one
@pytest.mark.parametrize("subject", ["decision_id", "case_id"])
def test_shadow_learns_from_reviews_that_name_what_the_other_workers_wrote(label: str, subject: str) -> None:
    """Its decisions and cases have other ids; an overturned strike must not count against the author there alone."""
    rows = MemoryRows()
    line = pipeline(rows, context=SHADOW)
    apply(line, post(), label)
    assert len(rows.author().strikes) == 1
    named: dict[str, Any] = (
        {"case_id": output_id(Topic.ESCALATIONS, decision_id("p1", 1), "case:rights")} if subject == "case_id" else {}
    )
    assert apply(line, review("overturn", **named)) == []
    assert rows.author().strikes == []
    later = only(apply(line, post("p2", offset=1), "insult"), Topic.DECISIONS)
    assert (later["history"]["strikes"], later["action"]) == (0, "warn")


def test_shadow_passes_over_reviews_of_what_it_never_saw() -> None:
    rows = MemoryRows()
    line = pipeline(rows, context=SHADOW)
    apply(line, post(), "insult")
    before = rows.author()
    for record in (
        review("overturn", revision=9),
        review("overturn", "p9", offset=1),
        review("close", "p9", case_id="c"),
    ):
        assert apply(line, record) == []
    assert rows.author() == before
