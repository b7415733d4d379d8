"""Checker, part 2: what each output must be. Copies of one id are equal, ids are the contract's hashes, keys are right,
and a decision has all the actions, cases and care it calls for, and none beside. Imports nothing of the product.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from tests.chaos.records import (
    Log,
    Output,
    Outputs,
    Violation,
    letter_place,
    make_id,
    milliseconds,
    of_its_decision,
)
from tests.chaos.snapshot import ACTIONS, CARE, DEAD_LETTERS, DECISIONS, ESCALATIONS

DISTRESS: Final = "distress"
_DAY_MS: Final = 86_400_000
_KEY_FIELD: Final = {DECISIONS: "post_id", ACTIONS: "author_id", ESCALATIONS: "case_id", CARE: "author_id"}
_CLOCK_GRACE_MS: Final = 20_000  # between a clock's end and the removal it must have led to


@dataclass(frozen=True, slots=True)
class Rules:
    """What the run's policy says: labels that always become a case, and the group of each."""

    groups: dict[str, str] = field(default_factory=dict)
    always: frozenset[str] = frozenset()
    strike_days: int = 90
    distress_days: int = 14  # after a post in distress no clock removes anything of its author
    strikes_kept: int = 200  # an author's oldest go first


def check_outputs(log: Log, outputs: Outputs, rules: Rules, taken_ms: int) -> Iterator[Violation]:
    """Everything about outputs that needs no order and no counting."""
    for topic in outputs:
        for output in outputs[topic].values():
            yield from _copies(log, output)
    for decision in outputs[DECISIONS].values():
        if decision.id != make_id(decision.body.get("post_id", ""), decision.body.get("revision", 0)):
            yield Violation("id_wrong", decision.copies[0].place, DECISIONS)
    yield from _actions(log, outputs, taken_ms)
    yield from _clocks_in_distress(outputs, rules)
    yield from _care(outputs)
    yield from _escalations(outputs, rules)


def _copies(log: Log, output: Output) -> Iterator[Violation]:
    values = {copy.value for copy in output.copies}
    if len(values) > 1:
        yield Violation("bytes_differ", output.id, f"{output.topic}: {len(values)} values, {len(output.copies)} copies")
    for copy in output.copies:
        if output.topic == DEAD_LETTERS:
            source = log.dead.get(letter_place(output.id))
            right = source is None or (copy.key or b"") == (source.key or b"")
        else:
            right = copy.key == str(output.body.get(_KEY_FIELD[output.topic])).encode()
        if not right:
            yield Violation("key_wrong", copy.place)


def _actions(log: Log, outputs: Outputs, taken_ms: int) -> Iterator[Violation]:
    decisions, actions = outputs[DECISIONS], outputs[ACTIONS]
    owed: dict[str, str] = {d.id: d.body["action"] for d in decisions.values() if d.body["action"] != "none"}
    by_cause: dict[str, list[Output]] = defaultdict(list)
    for action in actions.values():
        body, place = action.body, action.copies[0].place
        by_cause[body["cause"]].append(action)
        if action.id != make_id(ACTIONS, body["cause"], body["action"]):
            yield Violation("id_wrong", place, ACTIONS)
        decision = decisions.get(body["decision_id"])
        if decision is None or any(body[n] != decision.body[n] for n in ("post_id", "author_id")):
            yield Violation("action_of_no_decision", place)
        if body["cause"] in decisions:
            if owed.get(body["cause"]) != body["action"]:
                yield Violation("action_not_owed", place, body["action"])
        elif not _ran_out(actions.get(body["cause"]), action):
            yield Violation("action_without_cause", place, body["action"])
    for decision_id in owed:
        if decision_id not in by_cause:
            yield Violation("action_missing", decision_id, owed[decision_id])
    for decision in decisions.values():
        flagged = set(decision.body["flagged"])
        held = decision.body["action"] == "limit_visibility" and bool(flagged - {DISTRESS})
        if DISTRESS in flagged and decision.body["action"] != "none" and not held:
            yield Violation("distress_punished", decision.copies[0].place, decision.body["action"])
    yield from _clocks(log, outputs, by_cause, taken_ms)


def _ran_out(request: Output | None, removal: Output) -> bool:
    """A removal that follows from a request's clock."""
    return (
        request is not None
        and request.body["action"] == "request_removal"
        and removal.body["action"] == "remove"
        and removal.body["supersedes"] == [request.id]
    )


def _clocks(log: Log, outputs: Outputs, by_cause: dict[str, list[Output]], taken_ms: int) -> Iterator[Violation]:
    """A request whose post was never heard of again has become a removal once its time was over."""
    latest, asked = {}, _asked(outputs)
    for identity, revision in log.revisions.items():
        latest[revision.body["author_id"], revision.body["post_id"]] = identity
    for request in outputs[ACTIONS].values():
        body = request.body
        if body["action"] != "request_removal" or not body["due_at"]:
            continue
        over = milliseconds(body["due_at"]) + _CLOCK_GRACE_MS < taken_ms
        last = latest.get((body["author_id"], body["post_id"])) == body["decision_id"]
        if over and last and not by_cause.get(request.id) and request.id not in asked:
            yield Violation("clock_never_ran_out", request.id)


def _asked(outputs: Outputs) -> set[str]:
    """Requests whose clock led to no removal but to a person, by a record of the post's case."""
    found = set()
    for escalation in outputs[ESCALATIONS].values():
        request = _request_behind(outputs, escalation)
        if request is not None:
            found.add(request.id)
    return found


def _request_behind(outputs: Outputs, escalation: Output) -> Output | None:
    """The request whose clock ran out, where that is what a case's record was caused by."""
    body = escalation.body
    for request in outputs[ACTIONS].values():
        of = request.body
        same = of["action"] == "request_removal" and of["author_id"] == body["author_id"] and of["due_at"]
        if same and escalation.id == make_id(ESCALATIONS, request.id, f"escalation:{body['case_id']}"):
            return request
    return None


def _clocks_in_distress(outputs: Outputs, rules: Rules) -> Iterator[Violation]:
    """No clock removes anything of a person who was lately in distress, as far as the log told by then."""
    cries: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for decision in outputs[DECISIONS].values():
        body = decision.body
        if DISTRESS in body["flagged"]:
            decided_ms = milliseconds(body["decided_at"])
            cries[body["author_id"]].append((decided_ms, min(milliseconds(body["occurred_at"]), decided_ms)))
    for removal in outputs[ACTIONS].values():
        request = outputs[ACTIONS].get(removal.body["cause"])
        if request is None or not request.body["due_at"]:
            continue
        due_ms = milliseconds(request.body["due_at"])
        window_ms = rules.distress_days * _DAY_MS
        if any(told_ms < due_ms <= cried_ms + window_ms for told_ms, cried_ms in cries[removal.body["author_id"]]):
            yield Violation("clock_acted_in_distress", removal.id)


def _care(outputs: Outputs) -> Iterator[Violation]:
    decisions = outputs[DECISIONS]
    owed = {d.id for d in decisions.values() if DISTRESS in d.body["flagged"]}
    told: dict[str, list[int]] = defaultdict(list)
    for care in outputs[CARE].values():
        body, place = care.body, care.copies[0].place
        if care.id != make_id(CARE, body["decision_id"], "care"):
            yield Violation("id_wrong", place, CARE)
        if body["decision_id"] not in owed:
            yield Violation("care_not_owed", place)
        elif body["message"] is not None:
            of = decisions[body["decision_id"]].body
            told[body["author_id"]].append(min(milliseconds(of["occurred_at"]), milliseconds(of["decided_at"])))
    for decision_id in owed - {care.body["decision_id"] for care in outputs[CARE].values()}:
        yield Violation("care_missing", decision_id)
    for author, moments in told.items():
        moments.sort()
        if any(b - a < _DAY_MS for a, b in pairwise(moments)):
            yield Violation("care_twice_in_a_day", author, f"{len(moments)} messages")


def _escalations(outputs: Outputs, rules: Rules) -> Iterator[Violation]:
    decisions, escalations = outputs[DECISIONS], outputs[ESCALATIONS]
    opened: Counter[str] = Counter()
    cases: dict[tuple[str, str], set[str]] = defaultdict(set)
    for escalation in escalations.values():
        body, place = escalation.body, escalation.copies[0].place
        if not of_its_decision(escalation) and _request_behind(outputs, escalation) is None:
            yield Violation("id_wrong", place, ESCALATIONS)
        if body["decision_id"] not in decisions:
            yield Violation("escalation_of_no_decision", place)
        opened[body["case_id"]] += body["status"] == "open"
        for label in body["categories"]:
            if label in rules.groups:
                cases[body["author_id"], rules.groups[label]].add(body["case_id"])
    for case_id, times in opened.items():
        if times != 1:
            yield Violation("case_not_opened_once", case_id, f"{times} times")
    for (author, group), ids in cases.items():
        if len(ids) > 1:  # a run is far shorter than an episode, and nobody closes cases in it
            yield Violation("case_twice", author, f"{len(ids)} cases of {group}")
    answered = {escalation.body["decision_id"] for escalation in escalations.values()}
    for decision in decisions.values():
        if set(decision.body["flagged"]) & rules.always and decision.id not in answered:
            yield Violation("escalation_missing", decision.id)
