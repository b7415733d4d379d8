"""What holds after every step of every scenario, told or not: the contract's guarantees, seen from the topics."""

import hashlib
import json
import re
from typing import Any, Final

from tests.scenarios.stage import Happened, Stage
from tests.scenarios.telling import Post, Review
from tests.unit.builders import check as fits_its_schema
from tests.unit.memory import Json, identity, read, when
from workers.events import Topic

# What a person in distress is never told of: violation and penalty, score and machine, method, death (domain.md).
UNSPEAKABLE: Final = re.compile(
    "希死念慮|自殺|死|違反|規約|条項|禁止|処分|罰|侮辱|誹謗|名誉|脅迫|スコア|確率|しきい値|検知|判定|AI|自動"
)
IN_DISTRESS: Final = {"staff", "police_110", "fire_119"}


def check(stage: Stage, happened: Happened) -> None:
    """AssertionError names the guarantee that does not hold."""
    outputs = happened.outputs
    for output in outputs:
        fits_its_schema(output)
    actions, cases, care = (read(outputs, topic) for topic in (Topic.ACTIONS, Topic.ESCALATIONS, Topic.CARE))
    decisions, dead = read(outputs, Topic.DECISIONS), read(outputs, Topic.DEAD_LETTERS)
    act = happened.step.act
    if stage.scenario.shadow:
        assert [*actions, *cases, *care, *dead] == [], "shadow writes decisions and nothing else"
    elif isinstance(act, Post):
        assert (len(decisions), len(dead)) in ((1, 0), (0, 1)), "a post ends as one decision or one dead letter"
    elif isinstance(act, Review):
        assert bool(cases) != bool(dead), "a review ends as what it owes, or as one dead letter"
    _one_value_an_id(stage, happened)
    for decision in decisions:
        _decision(stage, happened, decision, actions)
    for action in actions:
        _action(stage, happened, action)
    for case in cases:
        _case(case, in_distress=any("distress" in one["flagged"] for one in decisions))
    for message in (one["message"] for one in care):
        assert message is None or not UNSPEAKABLE.search(_words(message)), "care names no violation, score or death"
        assert message is None or all(contact["hours"] for contact in message["contacts"]), "contacts have hours"
    _no_text(happened, [*decisions, *actions, *care, *(one["error"] for one in dead)])


def _one_value_an_id(stage: Stage, happened: Happened) -> None:
    before = {identity(output): output for one in stage.log if one is not happened for output in one.outputs}
    assert len({identity(output) for output in happened.outputs}) == len(happened.outputs), "one record a thing"
    for output in happened.outputs:
        assert before.get(identity(output), output) == output, "an id comes again with its own bytes only"


def _decision(stage: Stage, happened: Happened, decision: Json, actions: list[Json]) -> None:
    flagged, action = decision["flagged"], decision["action"]
    assert decision["policy_version"] == stage.policy.version
    assert decision["reasons"], "a decision says why"
    if happened.first is None and happened.record is not None:
        assert decision["decided_at"] == when(happened.record.timestamp_ms), "times are Kafka's"
    if "distress" in flagged:  # guarantee 4, whatever the policy
        assert action in ("none", "limit_visibility"), "distress gets no automated action but a hold"
        assert action == "none" or len(flagged) > 1, "and that only beside a violation"
    if not stage.scenario.shadow:
        assert [one["action"] for one in actions] == [action][action == "none" :], "a decision's action is emitted"
    assert decision["clauses"] == [] or set(flagged) - {"distress"}, "distress alone touches no clause"


def _action(stage: Stage, happened: Happened, action: Json) -> None:
    lifts = action["action"] == "restore"
    assert action["reasons"], "an action says why"
    assert not lifts or (action["clause"], action["due_at"]) == ("", None)
    assert lifts or action["appeal_until"] is not None, "every measure can be appealed"
    assert "希死念慮" not in _words(action), (
        "care is not joined with penalties: what the platform must do tells of none"
    )
    assert (action["due_at"] is not None) <= (action["action"] == "request_removal"), "only a request runs out"
    words = _words(action["notice"])
    assert not re.search(r"0\.\d", words), "a notice tells no score"
    if not lifts and "distress" in _flagged(stage, action["post_id"], happened):
        assert not UNSPEAKABLE.search(words), "a person in distress is told of no violation"
        assert action["due_at"] is None, "no clock runs for a person in distress"


def _flagged(stage: Stage, post_id: str, now: Happened) -> list[str]:
    """What the newest decided text of a post was flagged as; a deletion has none."""
    found: list[str] = []
    for happened in [*(one for one in stage.log if one is not now), now]:
        for decision in read(happened.outputs, Topic.DECISIONS):
            if decision["post_id"] == post_id and decision["event"] != "deleted" and decision["scores"]:
                found = decision["flagged"]
    return found


def _case(case: Json, *, in_distress: bool) -> None:
    bodies = [one["body"] for one in case["routes"]]
    assert bodies[0] == "staff", "staff look first"
    if in_distress or "distress" in case["categories"]:
        assert set(bodies) <= IN_DISTRESS, "distress never goes to the centre or a hotline"
    post = case["dossier"]["post"]
    sealed = json.dumps(post, ensure_ascii=False, separators=(",", ":")).encode()
    assert case["dossier"]["sha256"] == hashlib.sha256(sealed).hexdigest(), "the evidence verifies"
    assert post["post_id"] == case["post_id"], "the dossier is about the post of the record"


def _no_text(happened: Happened, records: list[Json]) -> None:
    if happened.record is None or not happened.record.value:
        return
    sent = json.loads(happened.record.value)
    for secret in (sent.get("text") or "", sent.get("reason") or ""):
        assert len(secret) < 4 or not any(secret in _words(one) for one in records), "no text but in a dossier"


def _words(record: Any) -> str:
    return json.dumps(record, ensure_ascii=False)
