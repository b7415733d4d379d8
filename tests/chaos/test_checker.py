"""The checker itself: it finds nothing wrong with topics that keep the contract, and names each way to break it."""

import ast
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from tests.chaos import checker
from tests.chaos.forged import PREFIX, START_MS, World, at, encoded, honest
from tests.chaos.records import Violation, make_id
from tests.chaos.snapshot import ACTIONS, CARE, DEAD_LETTERS, DECISIONS, ESCALATIONS, POSTS, Sample, load

HERE: Final = Path(__file__).parent
INDEPENDENT: Final = ("checker", "commits", "counting", "outputs", "reading", "records", "snapshot")
MAY_IMPORT: Final = {"confluent_kafka", *(f"tests.chaos.{name}" for name in INDEPENDENT)}


def kinds(world: World) -> set[str]:
    """What the checker names."""
    return {violation.kind for violation in checker.check(world.snapshot())}


def test_topics_that_keep_the_contract_are_fine() -> None:
    assert checker.check(honest().snapshot()) == []


def test_a_run_that_wrote_nothing_is_not_fine() -> None:
    world = World()
    world.post("created", "a", 1)
    world.committed = 0
    assert kinds(world) == {"decision_missing", "commit_not_at_the_end"}


# --- every record one decision or one dead letter


def _no_decision(world: World) -> None:
    world.drop(DECISIONS, 1)


def _no_letter(world: World) -> None:
    world.drop(DEAD_LETTERS, 1)


def _both(world: World) -> None:
    world.letter(world.records[POSTS][1], "processing_failed")


def _letter_for_nothing(world: World) -> None:
    world.letter(replace(world.records[POSTS][1], offset=77), "not_json")


def _decision_for_nothing(world: World) -> None:
    world.decision(replace(world.records[POSTS][1], value=encoded({**_post(world, 1), "post_id": "a-9"})))


def _post(world: World, offset: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(world.records[POSTS][offset].value or b"")
    return found


def _source_of_the_repeat(world: World) -> None:
    for offset in (3, 4):
        world.change(DECISIONS, offset, source={"topic": PREFIX + POSTS, "partition": 0, "offset": 4})


def _other_text(world: World) -> None:
    world.change(DECISIONS, 1, context={"text_sha256": "0" * 64, "length": 1})


def _other_event(world: World) -> None:
    world.change(DECISIONS, 1, event="edited")


def _wall_clock(world: World) -> None:
    world.change(DECISIONS, 1, decided_at=at(START_MS + 1_001))


def _letter_bytes(world: World) -> None:
    world.change(DEAD_LETTERS, 1, value_b64="e30=")


def _letter_source(world: World) -> None:
    source = world.body(DEAD_LETTERS, 1)["source"]
    world.change(DEAD_LETTERS, 1, source={**source, "timestamp": 0})


def _letter_error(world: World) -> None:
    world.change(DEAD_LETTERS, 1, error={"type": "", "message": ""})


def _letter_not_of_a_conflict(world: World) -> None:
    world.change(DEAD_LETTERS, 0, error={"type": "processing_failed", "message": "no"})


def _letter_headers(world: World) -> None:
    world.records[DEAD_LETTERS][1] = replace(world.records[DEAD_LETTERS][1], headers=())


def _unreadable(world: World) -> None:
    world.append(CARE, b"b", b"{")


def _lost_by_the_brokers(world: World) -> None:
    world.records[POSTS][1] = replace(world.records[POSTS][1], value=encoded({**_post(world, 1), "reports": 3}))


RECORDS: Final = {
    "decision_missing": _no_decision,
    "dead_letter_missing": _no_letter,
    "decision_and_dead_letter": _both,
    "dead_letter_for_nothing": _letter_for_nothing,
    "decision_for_nothing": _decision_for_nothing,
    "decision_wrong_source": _source_of_the_repeat,
    "decision_wrong_field-context": _other_text,
    "decision_wrong_field-event": _other_event,
    "decision_wrong_time": _wall_clock,
    "dead_letter_wrong_bytes": _letter_bytes,
    "dead_letter_wrong_source": _letter_source,
    "dead_letter_without_error": _letter_error,
    "dead_letter_wrong_error": _letter_not_of_a_conflict,
    "dead_letter_without_headers": _letter_headers,
    "output_unreadable": _unreadable,
}


# --- outputs


def _bytes_differ(world: World) -> None:
    world.again(DECISIONS, 3, reasons=["computed again"])


def _care_differs(world: World) -> None:
    world.again(CARE, 0, message={"title": "another"})


def _letter_differs(world: World) -> None:
    world.again(DEAD_LETTERS, 1, error={"type": "not_json", "message": "in other words"})


def _same_meaning_other_bytes(world: World) -> None:
    before = world.records[DECISIONS][0]
    world.append(DECISIONS, before.key, (before.value or b"") + b" ")


def _wrong_key(world: World) -> None:
    world.records[ACTIONS][0] = replace(world.records[ACTIONS][0], key=b"b")


def _letter_key(world: World) -> None:
    world.records[DEAD_LETTERS][1] = replace(world.records[DEAD_LETTERS][1], key=b"b")


def _random_action_id(world: World) -> None:
    world.change(ACTIONS, 0, action_id="0" * 32)


def _random_decision_id(world: World) -> None:
    world.change(DECISIONS, 1, decision_id="0" * 32)


def _random_care_id(world: World) -> None:
    world.change(CARE, 1, care_id="0" * 32)


def _random_escalation_id(world: World) -> None:
    world.change(ESCALATIONS, 0, escalation_id="0" * 32)


def _no_action(world: World) -> None:
    world.drop(ACTIONS, 0)


def _unowed_action(world: World) -> None:
    world.action(world.body(DECISIONS, 1)["decision_id"], "a", "a-2", "warn")


def _unknown_cause(world: World) -> None:
    world.action(world.body(DECISIONS, 0)["decision_id"], "a", "a-1", "remove", cause="f" * 32)


def _unknown_decision(world: World) -> None:
    world.change(ACTIONS, 0, decision_id="f" * 32)


def _punished(world: World) -> None:
    body = world.body(DECISIONS, 5)
    world.change(DECISIONS, 5, action="warn")
    world.action(body["decision_id"], "b", "b-1", "warn")


def _no_care(world: World) -> None:
    world.drop(CARE, 1)


def _unowed_care(world: World) -> None:
    world.care(world.body(DECISIONS, 1)["decision_id"], "a", None)


def _told_twice(world: World) -> None:
    world.change(CARE, 1, message={"title": "again"})


def _no_escalation(world: World) -> None:
    world.drop(ESCALATIONS, 0)


def _escalation_for_nothing(world: World) -> None:
    world.escalation("f" * 32, "a", "case-a", "updated")


def _case_never_opened(world: World) -> None:
    world.change(ESCALATIONS, 0, status="updated")


def _second_case(world: World) -> None:
    world.escalation(world.body(DECISIONS, 0)["decision_id"], "a", "case-b")


def _clock_ignored(world: World) -> None:
    """A request whose time was over long before the end, for a post that nobody touched."""
    post = world.post("created", "c", 1)
    decision = world.decision(post, "insult", "request_removal")
    world.action(decision, "c", "c-1", "request_removal", due_at=at(START_MS - 60_000))


def _removed_in_distress(world: World) -> None:
    """The author despaired while the request ran, and its clock removed the post all the same."""
    post = world.post("created", "c", 1)
    decision = world.decision(post, "insult", "request_removal")
    due_at = at(post.timestamp_ms + 60_000)
    asked = world.action(decision, "c", "c-1", "request_removal", due_at=due_at)
    sad = world.decision(world.post("created", "c", 2), "distress", posts=1, insult=1)
    world.care(sad, "c", {"title": "..."})
    world.action(decision, "c", "c-1", "remove", cause=asked, supersedes=[asked])


OUTPUT: Final = {
    "bytes_differ": _bytes_differ,
    "bytes_differ-care": _care_differs,
    "bytes_differ-letter": _letter_differs,
    "bytes_differ-spacing": _same_meaning_other_bytes,
    "key_wrong": _wrong_key,
    "key_wrong-letter": _letter_key,
    "id_wrong": _random_action_id,
    "id_wrong-care": _random_care_id,
    "id_wrong-decision": _random_decision_id,
    "id_wrong-escalation": _random_escalation_id,
    "action_missing": _no_action,
    "action_not_owed": _unowed_action,
    "action_without_cause": _unknown_cause,
    "action_of_no_decision": _unknown_decision,
    "distress_punished": _punished,
    "care_missing": _no_care,
    "care_not_owed": _unowed_care,
    "care_twice_in_a_day": _told_twice,
    "escalation_missing": _no_escalation,
    "escalation_of_no_decision": _escalation_for_nothing,
    "case_not_opened_once": _case_never_opened,
    "case_twice": _second_case,
    "clock_never_ran_out": _clock_ignored,
    "clock_acted_in_distress": _removed_in_distress,
}


# --- order and counting


def _history(world: World, offset: int, **history: Any) -> None:
    world.change(DECISIONS, offset, history={**world.body(DECISIONS, offset)["history"], **history})


def _strike_of_a_repeat(world: World) -> None:
    """The repeated a-3 counted again: the deletion of a-2 sees three strikes."""
    _history(world, 6, strikes=3, strikes_by_label={"insult": 1, "threat": 2})


def _strike_forgotten(world: World) -> None:
    _history(world, 6, strikes=1, strikes_by_label={"insult": 1})


def _post_counted_twice(world: World) -> None:
    _history(world, 6, posts=3)


def _post_forgotten(world: World) -> None:
    _history(world, 6, posts=1)


def _label_wrong(world: World) -> None:
    _history(world, 6, strikes_by_label={"insult": 2})


def _decided_backwards(world: World) -> None:
    """b-2 before b-1, though both are decided once."""
    _history(world, 5, posts=1)
    _history(world, 7, posts=0)


def _written_backwards(world: World) -> None:
    first, second = world.records[ACTIONS]
    world.records[ACTIONS] = [replace(second, offset=0), replace(first, offset=1)]


def _late_revision(world: World, **decided: Any) -> None:
    world.decision(world.post("created", "c", 1, 2), "")
    world.decision(world.post("created", "c", 1, 1, "earlier"), "")
    world.change(DECISIONS, 9, **decided)


COUNTING: Final = {
    "strikes_too_many": _strike_of_a_repeat,
    "strikes_too_few": _strike_forgotten,
    "posts_too_many": _post_counted_twice,
    "posts_too_few": _post_forgotten,
    "strikes_by_label_wrong": _label_wrong,
    "decided_out_of_order": _decided_backwards,
    "written_out_of_order": _written_backwards,
    "stale_wrong": _late_revision,
    "stale_acted_on": lambda world: _late_revision(world, reasons=["stale"], flagged=["insult"]),
}


# --- commits


def _early_commit(world: World) -> None:
    """All of posts is committed while the last care record is not there yet."""
    world.samples[1] = Sample({0: 10}, {**world.samples[1].ends, (CARE, 0): 1})


def _early_commit_before_a_letter(world: World) -> None:
    world.samples[0] = Sample({0: 7}, {**world.samples[1].ends, (DEAD_LETTERS, 0): 1})


def _commit_left_behind(world: World) -> None:
    world.committed = 9


def _commit_over_nothing(world: World) -> None:
    world.drop(DECISIONS, 7)
    world.drop(CARE, 1)


COMMITS: Final = {
    "committed_before_outputs": _early_commit,
    "committed_before_outputs-letter": _early_commit_before_a_letter,
    "commit_not_at_the_end": _commit_left_behind,
    "committed_without_outputs": _commit_over_nothing,
}

BREACHES: Final[dict[str, Callable[[World], None]]] = {**RECORDS, **OUTPUT, **COUNTING, **COMMITS}


@pytest.mark.parametrize("name", BREACHES)
def test_each_breach_is_named(name: str) -> None:
    world = honest()
    BREACHES[name](world)
    assert name.partition("-")[0] in kinds(world)


# Those that are a breach of one rule and no other: the checker says nothing beside.
ALONE: Final = (
    "decision_and_dead_letter",
    "dead_letter_for_nothing",
    "decision_wrong_source",
    "decision_wrong_time",
    "dead_letter_wrong_bytes",
    "bytes_differ",
    "key_wrong",
    "id_wrong",
    "action_missing",
    "care_twice_in_a_day",
    "escalation_missing",
    "strikes_too_many",
    "posts_too_few",
    "written_out_of_order",
    "committed_before_outputs",
    "commit_not_at_the_end",
)


@pytest.mark.parametrize("name", ALONE)
def test_nothing_else_is_named(name: str) -> None:
    world = honest()
    BREACHES[name](world)
    assert kinds(world) == {name}


def test_a_record_that_kafka_accepted_and_lost_is_named() -> None:
    world = honest()
    accepted = world.snapshot().accepted
    _lost_by_the_brokers(world)
    found = checker.check(replace(world.snapshot(), accepted=accepted))
    assert Violation("accepted_record_lost", f"{POSTS}/0@1", "the brokers lost it") in found


def test_a_removal_by_its_clock_is_right() -> None:
    world = honest()
    _clock_ignored(world)
    request = world.body(ACTIONS, 2)
    world.action(
        request["decision_id"], "c", "c-1", "remove", cause=request["action_id"], supersedes=[request["action_id"]]
    )
    assert kinds(world) == set()


def test_a_clock_that_led_to_a_person_is_right() -> None:
    """Where its author was lately in distress; another cause than a request's clock is none."""
    world = honest()
    _clock_ignored(world)
    request = world.body(ACTIONS, 2)
    world.escalation(request["decision_id"], "c", "case-c", label="insult", cause=request["action_id"])
    assert kinds(world) == set()
    warning = world.body(ACTIONS, 0)
    world.escalation(warning["decision_id"], "a", "case-a", "updated", cause=warning["action_id"])
    assert kinds(world) == {"id_wrong"}


def test_a_late_revision_that_is_stale_is_right() -> None:
    world = honest()
    _late_revision(world, reasons=["stale"])
    assert kinds(world) == set()


def test_ids_are_the_contracts_hash() -> None:
    """hash(post_id, revision), as `printf '["p1",1]' | sha256sum` gives it."""
    assert make_id("p1", 1) == "c1d8d49364c3d15474b07d41fd170cae"


def test_a_snapshot_is_checked_from_its_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = honest()
    path = tmp_path / "snapshot.jsonl"
    world.snapshot().save(path)
    assert load(path) == world.snapshot()
    assert checker.main([str(path)]) == 0
    _bytes_differ(world)
    world.snapshot().save(path)
    assert checker.main([str(path)]) == 1
    assert '"bytes_differ"' in capsys.readouterr().out


@pytest.mark.parametrize("name", INDEPENDENT)
def test_the_checker_imports_nothing_of_the_product(name: str) -> None:
    tree = ast.parse((HERE / f"{name}.py").read_text("utf-8"))
    found = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    found |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    ours = {module for module in found if module.split(".")[0] in ("workers", "models", "tests")}
    assert ours <= MAY_IMPORT, ours - MAY_IMPORT
    assert not any(isinstance(node, ast.Name) and node.id == "__import__" for node in ast.walk(tree))
