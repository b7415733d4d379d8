"""Evidence: the hash of a post, the chain of a case, and the first record that does not hold."""

import hashlib
import io
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.memory import AT_MS, HOUR_MS, Cut, Json, MemoryRows, apply, pipeline, post, review
from tests.unit.stories import WORDS, resealed, told
from tests.unit.stories import raw as as_bytes
from tests.unit.test_pipeline_crash import Step, live, logs
from workers import evidence
from workers.events import Topic
from workers.evidence import Chain, Found

TOLD: Final = told()
DOC: Final = (Path(__file__).parents[2] / "docs/evidence.md").read_text("utf-8")
Change = Callable[[list[Json]], Any]


def found(lines: Sequence[bytes]) -> list[Found]:
    read = [*evidence.read("f", lines)]
    assert not [line for line in read if isinstance(line, str)]
    return [line for line in read if isinstance(line, Found)]


def verified(lines: Sequence[bytes]) -> Chain:
    """The one chain of these records."""
    (chain,) = evidence.verify(found(lines))
    return chain


def records() -> list[Json]:
    return [json.loads(value) for value in TOLD]


def relinked(told: list[Json], since: int) -> None:
    """And after changing a record: every later link anew."""
    for number in range(since + 1, len(told)):
        told[number]["previous_sha256"] = hashlib.sha256(as_bytes(told[number - 1])).hexdigest()


# -- what the pipeline writes ------------------------------------------------------------------------------------------


def test_every_record_names_the_hash_of_the_one_before_it() -> None:
    assert [json.loads(value)["status"] for value in TOLD] == [
        *("open", "updated", "updated", "claimed", "updated", "closed", "reopened")
    ]
    links = [json.loads(value)["previous_sha256"] for value in TOLD]
    assert links == [None, *(hashlib.sha256(value).hexdigest() for value in TOLD[:-1])]


def test_evidence_is_sealed_as_the_document_says() -> None:
    example = json.loads(re.findall(r"```json\n(.*?)```", DOC, re.DOTALL)[0])
    canonical = json.dumps(example["post"], ensure_ascii=False, separators=(",", ":")).encode()
    assert re.findall(r"^    (\{.*\})$", DOC, re.MULTILINE) == [canonical.decode()]
    assert hashlib.sha256(canonical).hexdigest() == example["sha256"]
    record = records()[0]
    assert record["dossier"]["post"].keys() == example["post"].keys()
    record["dossier"]["post"], record["dossier"]["sha256"] = example["post"], example["sha256"]
    record["post_id"] = example["post"]["post_id"]
    assert verified([as_bytes(record)]).fault is None


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(log=logs(), data=st.data())
def test_whatever_happens_a_case_is_one_chain_in_any_order_with_repeats(log: list[Step], data: st.DataObject) -> None:
    outputs = [output for step in live(MemoryRows(), log, 0.0) for output in step]
    values = [output.value for output in outputs if output.topic is Topic.ESCALATIONS]
    if values:
        values += data.draw(st.lists(st.sampled_from(values), max_size=5))
    chains = evidence.verify(found(data.draw(st.permutations(values))))
    assert [chain.fault for chain in chains] == [None] * len(chains)
    assert sum(len(chain.steps) + chain.repeats for chain in chains) == len(values)
    for chain in chains:
        written = list(dict.fromkeys(v for v in (o.value for o in outputs) if f'"{chain.case_id}"'.encode() in v))
        assert [step.digest for step in chain.steps] == [hashlib.sha256(v).hexdigest() for v in written]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(log=logs(), cut=st.integers(0, 50))
def test_a_crash_leaves_one_chain(log: list[Step], cut: int) -> None:
    """The next life reads the log again, with other scores; what the first life sent stands on the topic already."""
    rows = MemoryRows(cut=cut)
    sent = live(rows, log, 0.0)
    again = live(rows.after(len(rows.log)), log, 0.05)
    values = [o.value for step in (*sent, *again) for o in step if o.topic is Topic.ESCALATIONS]
    chains = evidence.verify(found(values))
    assert [chain.fault for chain in chains] == [None] * len(chains)


def test_a_step_that_the_other_topic_overtook_in_a_crash_forks_the_chain_and_is_told() -> None:
    """The one way in which honest records do not form one chain: docs/evidence.md, What it cannot tell."""
    opened, edited = post("p1"), post("p1", 2, offset=1, at_ms=AT_MS + HOUR_MS)
    rows = MemoryRows()
    sent = apply(pipeline(rows), opened, "threat")
    rows.cut = len(rows.log) + 1  # the entry of the edit, and nothing behind it
    with pytest.raises(Cut):
        apply(pipeline(rows), edited, "threat")
    line = pipeline(rows.after(len(rows.log)))
    sent += apply(line, review("hold", at_ms=AT_MS + 2 * HOUR_MS))
    for record in (opened, edited):
        sent += apply(line, record, "threat")
    chain = verified([output.value for output in sent if output.topic is Topic.ESCALATIONS])
    assert chain.fault is not None
    assert "and so does" in chain.fault.what


def _case(value: bytes) -> str:
    return str(json.loads(value)["case_id"])


# -- what is given to it -----------------------------------------------------------------------------------------------


def test_the_story_in_reverse_with_repeats() -> None:
    chain = verified([*reversed(TOLD), TOLD[3], TOLD[0]])
    assert (chain.fault, chain.repeats, chain.notes) == (None, 2, [])
    assert [step.place for step in chain.steps] == [f"f:{number}" for number in range(7, 0, -1)]
    assert chain.changes == [
        "p1 revision 1, P1, threat",
        "p1 revision 2; changed: status, evidence",
        "p2 revision 1; changed: post_id, evidence",
        "p1 revision 2; changed: status, post_id, due_at, evidence",
        "p2 revision 1; changed: status, post_id, due_at, evidence",
        "p1 revision 2; changed: status, post_id, human_required, due_at, evidence",
        "p2 revision 1; changed: status, post_id, human_required, due_at, evidence",
    ]


def test_another_spelling_of_the_same_json_is_the_same_record() -> None:
    spaced = [json.dumps(record, ensure_ascii=True, sort_keys=True).encode() for record in records()]
    assert verified(spaced).fault is None
    assert verified([*spaced, *TOLD]).repeats == len(TOLD)


def test_a_field_of_a_later_version_does_not_break_the_chain() -> None:
    later = records()
    for number, record in enumerate(later):
        record["new_in_2"] = number
        if number:
            record["previous_sha256"] = hashlib.sha256(as_bytes(later[number - 1])).hexdigest()
    assert verified([as_bytes(record) for record in later]).fault is None


def test_cases_are_told_apart() -> None:
    other = as_bytes({**records()[0], "case_id": "other", "escalation_id": "e"})
    chains = evidence.verify(found([TOLD[1], other, TOLD[0]]))
    assert [(chain.case_id, len(chain.steps)) for chain in chains] == [(_case(TOLD[0]), 2), ("other", 1)]


# -- what does not hold ------------------------------------------------------------------------------------------------


def _text(told: list[Json]) -> None:
    told[3]["dossier"]["post"]["text"] = "別の文章"


def _text_sealed_again(told: list[Json]) -> None:
    _text(told)
    resealed(told[3])


def _text_sealed_and_linked_again(told: list[Json]) -> None:
    _text_sealed_again(told)
    relinked(told, 3)


def _time(told: list[Json]) -> None:
    told[1]["dossier"]["post"]["occurred_at"] = "2026-11-01T01:00:01Z"


def _status(told: list[Json]) -> None:
    told[2]["status"] = "closed"


def _url_linked_again(told: list[Json]) -> None:
    told[3]["dossier"]["url"] = "https://sns.example/other"
    relinked(told, 3)


def _gone(told: list[Json]) -> None:
    del told[2]


def _first_gone(told: list[Json]) -> None:
    del told[0]


def _sent_twice_differently(told: list[Json]) -> None:
    told.append({**told[4], "priority": "P3"})


def _sent_twice_with_another_text(told: list[Json]) -> None:
    other = json.loads(as_bytes(told[1]))
    other["dossier"]["post"]["text"] = "別の文章"
    told.insert(0, other)


def _two_after_one(told: list[Json]) -> None:
    told.append({**told[2], "escalation_id": "put in later"})


def _two_first(told: list[Json]) -> None:
    told.append({**told[0], "escalation_id": "put in later"})


def _opened_twice(told: list[Json]) -> None:
    told[2]["status"] = "open"
    relinked(told, 2)


def _another_author(told: list[Json]) -> None:
    told[5]["author_id"] = "bob"
    relinked(told, 5)


def _another_post(told: list[Json]) -> None:
    told[4]["post_id"] = "p9"
    relinked(told, 4)


def _older_revision(told: list[Json]) -> None:
    told[3]["dossier"] = told[0]["dossier"]
    relinked(told, 3)


TAMPERED: Final[list[tuple[Change, int, str]]] = [
    (_text, 4, "its evidence is not what its hash says: dossier.sha256 is "),
    (_time, 2, "its evidence is not what its hash says: dossier.sha256 is "),
    (_text_sealed_again, 4, "the evidence of revision 2 is not that of escalation {1} (f:2)"),
    (_text_sealed_and_linked_again, 4, "the evidence of revision 2 is not that of escalation {1} (f:2)"),
    (_status, 4, "the record before it ({link 2}…) is missing, or escalation {2} (f:3) was changed"),
    (_url_linked_again, 4, "dossier.url changed since escalation {1} (f:2), the revision did not"),
    (_gone, 3, "the record before it ({link 2}…) is missing, or escalation {1} (f:2) was changed"),
    (_first_gone, 1, "the record before it ({link 0}…) is missing"),
    (_sent_twice_differently, 8, "f:5 has it with other content"),
    (_sent_twice_with_another_text, 1, "its evidence is not what its hash says"),
    (_two_after_one, 8, "it follows escalation {1}, and so does escalation {2} (f:3)"),
    (_two_first, 8, "it says that it is the first of its case, and so does escalation {0} (f:1)"),
    (_opened_twice, 3, "it opens the case, but escalation {0} (f:1) comes before it"),
    (_another_author, 6, "it names another author than escalation {0} (f:1)"),
    (_another_post, 5, "its dossier is of another post"),
    (_older_revision, 4, "it has revision 1, and escalation {1} (f:2) has 2"),
]


@pytest.mark.parametrize(("change", "line", "said"), TAMPERED, ids=[change.__name__ for change, _, _ in TAMPERED])
def test_the_first_record_that_fails_is_named(change: Change, line: int, said: str) -> None:
    ids = [record["escalation_id"] for record in records()]
    for number, escalation_id in enumerate(ids):
        link = hashlib.sha256(TOLD[number]).hexdigest()[:12]
        said = said.replace(f"{{{number}}}", escalation_id).replace(f"{{link {number}}}", link)
    changed = records()
    change(changed)
    fault = verified([as_bytes(record) for record in changed]).fault
    assert fault is not None
    assert fault.at.place == f"f:{line}"
    assert fault.what.startswith(said), fault.what
    assert str(fault).startswith(f"f:{line}: case {fault.at.record.case_id}, escalation ")


@pytest.mark.parametrize(("change", "line", "said"), TAMPERED, ids=[change.__name__ for change, _, _ in TAMPERED])
def test_it_is_found_in_any_order(change: Change, line: int, said: str) -> None:
    changed = records()
    change(changed)
    assert verified([as_bytes(record) for record in reversed(changed)]).fault is not None


def test_a_newer_revision_collected_earlier_is_only_noted() -> None:
    """Kafka's timestamps are those of the producers' clocks."""
    changed = records()
    changed[1]["dossier"]["collected_at"] = changed[3]["dossier"]["collected_at"] = "2026-10-31T23:59:59Z"
    changed[5]["dossier"]["collected_at"] = "2026-10-31T23:59:59Z"
    relinked(changed, 1)
    chain = verified([as_bytes(record) for record in changed])
    assert (chain.fault, chain.notes) == (None, ["f:2: collected earlier than the older revision in f:1"])


def test_a_record_cut_off_the_end_is_not_missed() -> None:
    """Nothing inside the records can tell; the document says so, and the hash that the chain ends in is printed."""
    chain = verified(TOLD[:-1])
    assert chain.fault is None
    assert chain.steps[-1].digest == json.loads(TOLD[-1])["previous_sha256"]


# -- records from before the chain -------------------------------------------------------------------------------------


def before_the_chain(record: Json) -> bytes:
    return as_bytes({name: value for name, value in record.items() if name != "previous_sha256"})


def test_records_from_before_the_chain_are_ordered_by_their_times_and_still_sealed() -> None:
    old = [before_the_chain(record) for record in records()]
    chain = verified(old[2::-1])
    assert chain.fault is None
    assert [step.record.dossier.post.revision for step in chain.steps if step.record.dossier] == [1, 2, 1]
    assert not any(step.linked for step in chain.steps)
    changed = records()
    _text_sealed_again(changed)
    fault = verified([before_the_chain(record) for record in changed]).fault
    assert fault is not None
    assert "the evidence of revision 2" in fault.what


def test_the_chain_may_begin_after_records_from_before_it_and_then_only() -> None:
    grown = records()
    grown[2]["previous_sha256"] = None
    relinked(grown, 2)
    values = [*(before_the_chain(record) for record in grown[:2]), *(as_bytes(record) for record in grown[2:])]
    assert verified([*reversed(values)]).fault is None
    assert verified([*values[:1], *values[2:]]).fault is None  # what was never linked can be lost unseen
    assert verified([TOLD[0], *values[2:]]).fault is not None


def test_while_versions_change_the_chain_may_begin_more_than_once() -> None:
    """A rolling deploy: a new worker, an old one, and the new one again."""
    mixed = records()
    mixed[4]["previous_sha256"] = None
    relinked(mixed, 4)
    values = [*map(as_bytes, mixed[:3]), before_the_chain(mixed[3]), *map(as_bytes, mixed[4:])]
    assert verified(values).fault is None
    assert verified([*values[:3], *values[4:]]).fault is not None


# -- what it prints ----------------------------------------------------------------------------------------------------


def ran(*files: Sequence[bytes]) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    code = evidence.run([(f"f{number}", lines) for number, lines in enumerate(files)], out, err)
    assert WORDS not in out.getvalue() + err.getvalue()
    return code, out.getvalue(), err.getvalue()


def test_a_case_that_holds() -> None:
    code, out, err = ran([*TOLD[:4], b"\n"], [b"", *TOLD[3:]])
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == f"case {_case(TOLD[0])}: 7 records, 1 repeated, holds"
    assert lines[1].startswith(f"  1 open       {hashlib.sha256(TOLD[0]).hexdigest()[:12]} f0:1  p1 revision 1")
    assert lines[-1] == f"  ends in {hashlib.sha256(TOLD[-1]).hexdigest()}"


def test_a_case_that_does_not_hold_shows_what_held_before_it() -> None:
    changed = records()
    _text(changed)
    code, out, err = ran([as_bytes(record) for record in changed])
    assert code == 1
    assert out.splitlines()[0] == f"case {_case(TOLD[0])}: does not hold after 3 records"
    assert len(out.splitlines()) == 4
    assert re.fullmatch(r"f0:4: case \w+, escalation \w+: its evidence is not .*\n", err)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{", "not valid UTF-8 JSON"),
        (b"\xff", "not valid UTF-8 JSON at byte 0"),
        (b"[]", "Expected `object`, got `array`"),
        (b'{"schema":"decision/1"}', "Invalid value - at `$.schema`"),
        (TOLD[0].replace(b'"P1"', b'"P9"'), "Invalid value - at `$.priority`"),
        (TOLD[0].replace(f"{WORDS}1".encode(), b"\\ud800"), "not valid UTF-8 JSON"),
    ],
)
def test_a_line_that_is_no_record_is_named_and_the_rest_is_verified(line: bytes, said: str) -> None:
    code, out, err = ran([line, *TOLD])
    assert code == 1
    assert err.startswith("f0:1: no record of escalation/1: ")
    assert said in err
    assert "7 records, holds" in out


def test_nothing_is_not_taken_for_something_that_holds() -> None:
    assert ran([b"\n"]) == (1, "", "nothing to verify: no record of escalation/1\n")


def test_hostile_ids_stay_on_one_line() -> None:
    record = {**records()[0], "case_id": "x\n\x1b[31m", "escalation_id": "\u202e", "post_id": "p1"}
    code, out, _ = ran([as_bytes(record)])
    assert code == 0
    assert "\x1b" not in out
    assert len(out.splitlines()) == 3


def test_a_review_of_a_post_without_a_case_says_anew_what_is_known() -> None:
    """Its text was not kept, and each review collects again: another time, the same evidence."""
    line = pipeline(MemoryRows())
    steps = [
        post("p1"),
        review("hold", at_ms=AT_MS + HOUR_MS),
        post("p2", offset=1, at_ms=AT_MS + HOUR_MS),  # the author's history grows
        review("close", offset=1, at_ms=AT_MS + 2 * HOUR_MS),
    ]
    values = [o.value for step in steps for o in apply(line, step) if o.topic is Topic.ESCALATIONS]
    assert len(values) == 2
    assert verified(values).fault is None
