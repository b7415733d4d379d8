"""Steps 2 to 4: every record becomes a decision or a dead letter, once, whatever comes again and wherever it died."""

import asyncio
import json
import threading
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tests.unit import memory
from tests.unit.memory import (
    AT_MS,
    CONTEXT,
    DAY_MS,
    HOUR_MS,
    POLICY,
    Cut,
    MemoryRows,
    ScriptedClassifier,
    apply,
    identity,
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
from workers.state import Output

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
    line = pipeline(MemoryRows())
    results = classify(line, texts(line, "遺書を書いた", "猫が好き"))
    assert [result.imminent for result in results] == [True, False]


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
    shadow_id = decision_id("p1", 1, shadow_policy=POLICY.version)
    assert apply(line, review("change_action", action="request_removal", decision_id=shadow_id)) == []
    assert apply(line, review("confirm", "unknown", offset=1)) == []
    assert apply(line, memory.incoming(b"{", offset=2)) == []
    assert rows.buckets() == {}


# -- a crash at any point ----------------------------------------------------------------------------------------------

Step = tuple[Incoming, tuple[str, ...]]
VERDICTS = [
    "confirm",
    "overturn",
    "hold",
    "close",
    "reopen",
    "appeal_filed",
    "appeal_granted",
    "removal_requested",
    "change_action",
]
LABELS = ["insult", "defamation", "threat", "suicide_inducement", "distress"]


@st.composite
def logs(draw: st.DrawFn) -> list[Step]:
    """Both topics as they were written: posts, edits, late revisions, duplicates, deletions, broken ones, reviews."""
    steps: list[Step] = []
    offsets = {Topic.POSTS: 0, Topic.STAFF_REVIEWS: 0}
    latest: dict[str, int] = {}
    for number in range(draw(st.integers(1, 10))):
        author = draw(st.sampled_from(["ann", "bob", "cho"]))
        post_id = f"{author}{draw(st.integers(0, 1))}"
        at_ms = AT_MS + number * HOUR_MS
        what = draw(st.sampled_from(["post", "post", "post", "post", "review", "review", "again", "broken"]))
        labels: tuple[str, ...] = ()
        if what == "review":
            verdict = draw(st.sampled_from(VERDICTS))
            more: dict[str, Any] = {}
            if verdict == "change_action":
                more["action"] = draw(st.sampled_from(["warn", "request_removal", "suspend", "terminate", "restore"]))
            more["reviewer_id"] = draw(st.sampled_from(["s1", "s2"]))
            record = review(
                verdict,
                post_id,
                review_id=f"r{number}",
                author_id=author,
                offset=offsets[Topic.STAFF_REVIEWS],
                at_ms=at_ms,
                revision=draw(st.integers(1, max(1, latest.get(post_id, 1)))),
                **more,
            )
        elif what == "broken":
            record = memory.incoming(b"{", offset=offsets[Topic.POSTS], at_ms=at_ms, key=author.encode())
        elif what == "again" and any(step[0].kind is Topic.POSTS for step in steps):
            earlier = draw(st.sampled_from([step for step in steps if step[0].kind is Topic.POSTS]))
            value, key = earlier[0].value, earlier[0].key
            record = memory.incoming(value, offset=offsets[Topic.POSTS], at_ms=at_ms, key=key)
            labels = earlier[1]
        else:
            revision = latest.get(post_id, 0) + draw(st.sampled_from([1, 1, 1, 2]))
            if latest.get(post_id, 0) > 1 and draw(st.integers(0, 5)) == 0:
                revision = latest[post_id] - 1  # late, or in conflict
            latest[post_id] = max(revision, latest.get(post_id, 0))
            text = None if revision > 1 and draw(st.integers(0, 3)) == 0 else f"text {number}"
            labels = tuple(sorted(draw(st.sets(st.sampled_from(LABELS), max_size=2))))
            record = post(post_id, revision, text=text, author_id=author, offset=offsets[Topic.POSTS], at_ms=at_ms)
        offsets[record.kind] += 1
        steps.append((record, labels))
    return steps


def live(rows: MemoryRows, steps: Sequence[Step], drift: float) -> list[list[Output]]:
    """What each step yields until the process dies. Scores drift from one life to the next, as a model's do."""
    line = pipeline(rows)
    found: list[list[Output]] = []
    for record, labels in steps:
        try:
            found.append(apply(line, record, *labels, obscene=drift))
        except Cut:
            break
    return found


def interleaved(data: st.DataObject, steps: Sequence[Step]) -> list[Step]:
    """The order inside each topic stays; how the two mix is new."""
    queues = [[step for step in steps if step[0].kind is kind] for kind in (Topic.POSTS, Topic.STAFF_REVIEWS)]
    result: list[Step] = []
    while any(queues):
        queue = queues[0] if not queues[1] or (queues[0] and data.draw(st.booleans())) else queues[1]
        result.append(queue.pop(0))
    return result


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(log=logs(), data=st.data())
def test_after_a_crash_anywhere_every_id_has_one_set_of_bytes(log: list[Step], data: st.DataObject) -> None:
    first = MemoryRows(cut=data.draw(st.integers(0, 50), label="cut"))
    sent = live(first, log, drift=0.0)
    event(f"died: {len(sent) < len(log)}")
    committed = data.draw(st.integers(0, len(sent)), label="committed")
    rows = first.after(len(first.log))
    mix = data.draw(st.booleans(), label="mix")
    drift = 0.9 if mix else 0.2  # 0.9: the next life sees a violation where the last one saw none
    rest = interleaved(data, log[committed:]) if mix else log[committed:]
    again = live(rows, rest, drift=drift)
    once_more = live(rows, rest, drift=0.3)
    assert len(again) == len(rest)
    assert again == once_more

    bytes_of: dict[tuple[str, str], set[bytes]] = defaultdict(set)
    owed: dict[tuple[Topic, int], set[tuple[tuple[str, str], ...]]] = defaultdict(set)
    for (record, _), outputs in [*zip(log, sent, strict=False), *zip(rest, again, strict=True)]:
        owed[record.kind, record.offset].add(tuple(identity(output) for output in outputs))
        for output in outputs:
            bytes_of[identity(output)].add(output.value)
    assert all(len(versions) == 1 for versions in bytes_of.values())

    for record, _ in log:  # every record yields the same things in every life: a decision, a case, or a dead letter
        (identities,) = owed[record.kind, record.offset]
        topics = [topic for topic, _ in identities]
        if "dead-letters" in topics:
            assert topics == ["dead-letters"]
        elif record.kind is Topic.POSTS:
            assert topics.count("moderation-decisions") == 1
            assert topics[0] == "moderation-decisions"
        else:
            assert "consultation-escalations" in topics

    decided = [json.loads(next(iter(v))) for (topic, _), v in bytes_of.items() if topic == "moderation-decisions"]
    for author_id in ("ann", "bob", "cho"):
        author = rows.author(author_id)
        mine = [decision for decision in decided if decision["author_id"] == author_id]
        assert author.posts == len({decision["post_id"] for decision in mine})
        assert max((decision["history"]["posts"] for decision in mine), default=0) <= max(0, author.posts - 1)
        struck = [strike.post_id for strike in author.strikes]
        assert len(struck) == len(set(struck))
    if not mix:  # nothing but the crash differs from a life without one
        unhurt = MemoryRows()
        line = pipeline(unhurt)
        drifts = [0.0] * max(len(sent), committed) + [0.2] * len(log)
        for (record, labels), drift in zip(log, drifts, strict=False):
            apply(line, record, *labels, obscene=drift)
        authors = ("ann", "bob", "cho")
        assert [rows.author(a).strikes for a in authors] == [unhurt.author(a).strikes for a in authors]
        assert [rows.author(a).suspended for a in authors] == [unhurt.author(a).suspended for a in authors]
        assert {c[2].action_id for c in rows.clocks()} == {c[2].action_id for c in unhurt.clocks()}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(log=logs())
def test_whatever_part_of_the_changelog_survives_completes_to_the_same_rows(log: list[Step]) -> None:
    """Another replica has a prefix of the writes; it repeats the log from the start and ends where the first did."""
    whole = MemoryRows()
    outputs = live(whole, log, drift=0.0)
    for cut in range(0, len(whole.log) + 1, max(1, len(whole.log) // 12)):
        rows = whole.after(cut)
        assert live(rows, log, drift=0.0) == outputs
        assert rows.rows == whole.rows


def test_the_store_that_dies_does_die() -> None:
    rows = MemoryRows(cut=2)
    assert live(rows, [(post(), ("insult",))], 0.0) == []
    assert len(rows.log) == 2


def test_the_entry_is_the_first_row_written() -> None:
    rows = MemoryRows()
    apply(pipeline(rows), post(), "defamation")
    assert rows.log[0][1].startswith("r")
    assert [key[0] for _, key, _ in rows.log] == ["r", "a", "p", "t", "t"]


def test_content_is_event_and_text() -> None:
    line = pipeline(MemoryRows())
    same = post(reports=3, url="https://example.com", offset=1)
    first = apply(line, post())
    assert apply(line, same) == first
    one, other = (line.decode(record).record for record in (post(), same))
    assert decide.content_of(one) == decide.content_of(other)  # type: ignore[arg-type] # both are posts


@pytest.mark.parametrize("cut", range(8))
def test_a_review_that_overtakes_a_cut_off_step_takes_nothing_of_it_away(cut: int) -> None:
    """The post's step died behind its entry; in the next life the review of its first revision comes before it."""
    rows = MemoryRows()
    apply(pipeline(rows), post())
    rows.cut = len(rows.log) + cut
    held = post(revision=2, text="別", offset=1)
    live(rows, [(held, ("threat",))], 0.0)
    rows = rows.after(len(rows.log))
    line = pipeline(rows)
    apply(line, review("confirm"))
    hold = only(apply(line, held, "threat"), Topic.ACTIONS)
    row = rows.post()
    assert (row.latest_revision, row.standing_id) == (2, hold["action_id"])
    assert row.decision_ids == [decision_id("p1", 1), decision_id("p1", 2)]
    lifted = only(apply(line, post(revision=3, text="また", offset=2)), Topic.ACTIONS)
    assert (lifted["action"], lifted["supersedes"]) == ("restore", [hold["action_id"]])


@pytest.mark.parametrize("cut", range(8))
def test_an_edit_that_overtakes_a_cut_off_review_takes_nothing_of_it_away(cut: int) -> None:
    rows = MemoryRows()
    line = pipeline(rows)
    apply(line, post(), "defamation")
    rows.cut = len(rows.log) + cut
    removed = review("change_action", action="remove")
    live(rows, [(removed, ())], 0.0)
    rows = rows.after(len(rows.log))
    line = pipeline(rows)
    apply(line, post(revision=2, text="別", offset=1), "defamation")
    action = only(apply(line, removed), Topic.ACTIONS)
    row = rows.post()
    assert (row.latest_revision, row.standing, row.standing_id) == (2, "remove", action["action_id"])
    assert row.clock is None
    assert rows.clocks() == []


def test_an_edit_that_overtakes_a_cut_off_clock_takes_nothing_of_it_away() -> None:
    rows = MemoryRows()
    line = pipeline(rows)
    apply(line, post(), "defamation")
    ((author_id, post_id, clock),) = line.due(0, AT_MS + DAY_MS)
    rows.cut = len(rows.log) + 1
    with pytest.raises(Cut):
        line.fire(0, author_id, post_id, clock)
    rows = rows.after(len(rows.log))
    line = pipeline(rows)
    apply(line, post(revision=2, text="別", offset=1), "defamation")
    removal = only(line.fire(0, author_id, post_id, clock), Topic.ACTIONS)
    row = rows.post()
    assert (row.latest_revision, row.standing_id, row.clock) == (2, removal["action_id"], None)
    assert len(line.fire(0, author_id, post_id, clock)) == 1
    assert rows.post() == row
