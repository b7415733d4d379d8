"""Compares what happened with what had to: the words of an expectation, and what holds in every scenario.

action: remove under model-rights        `action on p2` where several posts are acted on at once
case A: open P1 threat + insult          status, priority, categories; A, B … are names: one name, one case_id
case A: perhaps                          the record may come or not: nobody has said which
care: P2 with message                    or `without message`
dead letter: unknown_subject             the kind of its error
bytes: as before                         a repeat yields what it yielded at first
severity, flagged                        of the decision; `decides` is its action, where none comes of it (shadow)
history: {strikes: 2}                    fields of the decision's history
because / not because                    ids of reasons in the policy, or words of one, in the records that follow
notice / never in the notice             words that the action's notice must (not) hold; `message` for care
more after each, between semicolons:
  due day 2 10:00 · no due · appeal until day 15 10:00 · no appeal · supersedes warn · supersedes nothing
  by a person · by the machine · reversible · for good · education
  needs a person · needs nobody · to staff > ihaho · on p1 · text「…」 · no text · seen 2 strikes
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from tests.scenarios import always
from tests.scenarios.stage import Happened, Stage
from tests.scenarios.telling import Mistold, Told, moment
from tests.unit.memory import Json, read, when
from workers.events import Topic
from workers.policy import Policy

KEYS: Final = re.compile(
    r"(action|case)( .+)?|care|dead letter|bytes|decides|severity|flagged|history|(not )?because"
    r"|(never in the )?(notice|message)"
)


class Mismatch(AssertionError):
    """What followed is not what had to."""


def compare(stage: Stage, happened: Happened, expected: Told) -> None:
    """Everything that followed from one step; Mismatch says what is different."""
    always.check(stage, happened)
    for key in expected:
        if KEYS.fullmatch(key) is None:
            raise Mistold(f"unknown expectation: {key!r}")
    told = {key: value for key, value in expected.items() if value is not None}
    if told.get("bytes") == "as before":
        _same("the bytes", happened.outputs, happened.first)
        return
    decisions = read(happened.outputs, Topic.DECISIONS)
    actions = read(happened.outputs, Topic.ACTIONS)
    cases = read(happened.outputs, Topic.ESCALATIONS)
    care = read(happened.outputs, Topic.CARE)
    _dead_letter(happened, told.pop("dead letter", None))
    _actions(stage, actions, {key: told.pop(key) for key in list(told) if key.partition(" ")[0] == "action"})
    _cases(stage, cases, {key: told.pop(key) for key in list(told) if key.startswith("case ")})
    _care(care, told.pop("care", None))
    for decision in decisions:
        _decision(decision, told)
    # An action's reasons are its own words for the platform; where there is a decision, that is where to look for why.
    reasons = [reason for record in decisions or [*actions, *cases] for reason in record["reasons"]]
    for key in _listed(told.get("because")):
        _holds(f"because {key}", any(_is_reason(stage.policy, key, reason) for reason in reasons), reasons)
    for key in _listed(told.get("not because")):
        _holds(f"not because {key}", not any(_is_reason(stage.policy, key, reason) for reason in reasons), reasons)
    for name, texts in (("notice", _notices(actions)), ("message", _messages(care))):
        for words in _listed(told.get(name)):
            _holds(f"{name} has {words}", words in "\n".join(texts), texts)
        for words in _listed(told.get(f"never in the {name}")):
            _holds(f"{name} lacks {words}", words not in "\n".join(texts), texts)


# -- by topic ----------------------------------------------------------------------------------------------------------


def _dead_letter(happened: Happened, told: str | None) -> None:
    _same("dead letter", [one["error"]["type"] for one in read(happened.outputs, Topic.DEAD_LETTERS)], _listed(told))


def _decision(decision: Json, told: Told) -> None:
    for key, name in (("severity", "severity"), ("decides", "action")):
        if key in told:
            _same(key, decision[name], told[key])
    if "flagged" in told:
        _same("flagged", decision["flagged"], [] if told["flagged"] == "none" else told["flagged"].split(" + "))
    for key, value in told.get("history", {}).items():
        _same(f"history.{key}", decision["history"][key], value)


def _actions(stage: Stage, actions: list[Json], told: dict[str, str]) -> None:
    if set(told) == {"action"} and len(actions) == 1:
        told = {f"action on {actions[0]['post_id']}": told["action"]}
    found = {f"action on {action['post_id']}": action for action in actions}
    _same("actions", {k: a["action"] for k, a in found.items()}, {k: re.split("; | ", v)[0] for k, v in told.items()})
    for key, words in told.items():
        head, *phrases = words.split("; ")
        action, _, clause = head.partition(" under ")
        _same(key, found[key]["action"], action)
        if clause:
            _same(f"{key}: clause", found[key]["clause"], clause)
        for phrase in phrases:
            _action_phrase(stage, key, found[key], phrase)


def _action_phrase(stage: Stage, key: str, action: Json, phrase: str) -> None:
    if phrase == "no due":
        _same(f"{key}: due", action["due_at"], None)
    elif phrase == "no appeal":
        _same(f"{key}: appeal", action["appeal_until"], None)
    elif phrase.startswith("due "):
        _same(f"{key}: due", action["due_at"], when(moment(phrase.removeprefix("due "))))
    elif phrase.startswith("appeal until "):
        _same(f"{key}: appeal", action["appeal_until"], when(moment(phrase.removeprefix("appeal until "))))
    elif phrase in ("by a person", "by the machine"):
        _same(f"{key}: automated", action["automated"], phrase == "by the machine")
    elif phrase in ("reversible", "for good"):
        _same(f"{key}: reversible", action["reversible"], phrase == "reversible")
    elif phrase == "supersedes nothing":
        _same(f"{key}: supersedes", action["supersedes"], [])
    elif phrase.startswith("supersedes "):
        before = {one["action_id"]: one["action"] for one in _earlier(stage, action)}
        _same(f"{key}: supersedes", [before.get(one) for one in action["supersedes"]], [phrase.split()[1]])
    elif phrase == "education":
        links = action["notice"]["resources"]
        _holds(f"{key}: education", bool(links) and all(one.startswith("https://") for one in links), links)
    else:
        raise Mistold(f"unknown words of an action: {phrase!r}")


def _earlier(stage: Stage, action: Json) -> Iterator[Json]:
    for happened in stage.log:
        yield from (one for one in read(happened.outputs, Topic.ACTIONS) if one["post_id"] == action["post_id"])


def _cases(stage: Stage, cases: list[Json], told: dict[str, str]) -> None:
    left = list(cases)
    for key, words in told.items():
        name = key.removeprefix("case ")
        if words == "perhaps":
            known = stage.cases.get(name)
            others = set(stage.cases.values()) - {known}
            left = [one for one in left if (one["case_id"] != known if known else one["case_id"] in others)]
            continue
        head, *phrases = words.split("; ")
        status, priority, categories = (head + "  ").split(" ", 2)
        wanted = [] if categories.strip() in ("", "nothing") else categories.strip().split(" + ")
        known = stage.cases.get(name)
        fits = [one for one in left if (one["case_id"] == known if known else one["categories"] == wanted)]
        heads = [f"{one['status']} {one['priority']} {' + '.join(one['categories'])}" for one in left]
        _holds(f"{key}: {head}", bool(fits), heads or "no case")
        case = fits[0]
        left.remove(case)
        _holds(f"{key} is a case of its own", known is not None or case["case_id"] not in stage.cases.values(), "")
        stage.cases[name] = case["case_id"]
        _same(key, (case["status"], case["priority"], case["categories"]), (status, priority, wanted))
        for phrase in phrases:
            _case_phrase(key, case, phrase)
    _same("more cases", [(one["status"], one["priority"], one["categories"]) for one in left], [])


def _case_phrase(key: str, case: Json, phrase: str) -> None:
    dossier = case["dossier"]
    if phrase.startswith("due "):
        _same(f"{key}: due", case["due_at"], when(moment(phrase.removeprefix("due "))))
    elif phrase in ("needs a person", "needs nobody"):
        _same(f"{key}: human_required", case["human_required"], phrase == "needs a person")
    elif phrase.startswith("to "):
        _same(f"{key}: routes", " > ".join(one["body"] for one in case["routes"]), phrase.removeprefix("to "))
    elif phrase.startswith("on "):
        _same(f"{key}: post", case["post_id"], phrase.removeprefix("on "))
    elif phrase == "no text":
        _same(f"{key}: text", dossier["post"]["text"], None)
    elif found := re.fullmatch(r"text「(.*)」", phrase):
        _same(f"{key}: text", dossier["post"]["text"], found[1])
    elif found := re.fullmatch(r"seen (\d+) strikes?", phrase):
        _same(f"{key}: strikes", dossier["author_history"]["strikes"], int(found[1]))
    else:
        raise Mistold(f"unknown words of a case: {phrase!r}")


def _care(care: list[Json], told: str | None) -> None:
    head, *phrases = (told or "").split("; ")
    found = [f"{one['priority']} {'without' if one['message'] is None else 'with'} message" for one in care]
    _same("care", found, [head] if head else [])
    for phrase in phrases:
        if not phrase.startswith("due "):
            raise Mistold(f"unknown words of care: {phrase!r}")
        _same("care: due", care[0]["due_at"], when(moment(phrase.removeprefix("due "))))


# -- words -------------------------------------------------------------------------------------------------------------


def _notices(actions: list[Json]) -> list[str]:
    notices = [action["notice"] for action in actions]
    return [text for notice in notices for text in (notice["title"], notice["body"], *notice["resources"])]


def _messages(care: list[Json]) -> list[str]:
    messages = [one["message"] for one in care if one["message"]]
    return [
        text
        for message in messages
        for text in (
            message["title"],
            message["body"],
            *(" ".join((one["name"], one["contact"], one["hours"])) for one in message["contacts"]),
        )
    ]


def _is_reason(policy: Policy, key: str, reason: str) -> bool:
    """Whether a sentence is the policy's reason of that id, whatever stands in its places; else, has those words."""
    template = policy.data.reasons.get(key)
    if template is None:
        return key in reason
    parts = re.split(r"\{[^}]*\}", template)
    return re.fullmatch(".+?".join(map(re.escape, parts)), reason) is not None


def _listed(told: Any) -> list[str]:
    return [] if told is None else told if isinstance(told, list) else [str(told)]


def _same(what: str, found: Any, wanted: Any) -> None:
    _holds(f"{what} = {wanted}", found == wanted, found)


def _holds(what: str, true: bool, found: Any) -> None:
    if not true:
        seen = found if isinstance(found, str) else json.dumps(found, ensure_ascii=False, default=str)
        raise Mismatch(f"{what}\nbut found: {seen}")


def settled(stage: Stage) -> None:
    """At the end of a story: every record read again by a new life owes the same bytes."""
    if any(getattr(one.step.act, "does", "") == "the worker forgets" for one in stage.log):
        return  # what is forgotten is decided anew
    for happened, again in stage.replay():
        _same(f"{happened.step.line}: bytes on a replay", again, happened.outputs)
