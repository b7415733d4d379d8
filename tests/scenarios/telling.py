"""Reads scenarios: lines as a person would tell them → what to feed the pipeline. Knows nothing of what follows.

day 3 10:00                              Japan's clock (:05 or :05.250 may follow); the Kafka timestamp
ann writes p1, DETAILS                   a post is created; `edits` and `deletes` likewise
  insult / insult 0.55                   what the classifier says: 0.8, or the score told; all else 0.1
  text「…」 / 20001 characters            the text, where it matters
  reports 5 / a minor / reply to bob's b1 / revision 3 / said at day 1 09:00 / keyed as bob
s1 confirms ann's p1, DETAILS            a review; the other verbs are in VERDICTS
  by case A / revision 2                 names the case, or the decision on that revision, not on the latest
  as review r1 / writing「…」             its id; its reason
s1 changes ann's p1 to suspend           change_action
police ask to remove ann's p1            removal_requested by: police, moj_jinken, victim …
ann appeals p1                           appeal_filed by the author
time passes                              the worker has read everything and looks at its clocks
the last record is sent again            by the producer; `is delivered again`: by the broker, from the last commit
the record of p1 is sent again           the last record about that post; `of p1 revision 1`: that revision
the worker restarts / the worker forgets a kill and a new life; the nightly forgetting, until nothing is left to go
…, 51 times                              once a second
…, while the worker is behind            a clock has run out and was not looked at, since there was more to read
"""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import yaml

from models.labels import LABEL_IDS

Told = dict[str, Any]

DAY_ONE_MS: Final = 1_793_458_800_000  # 2026-11-01T00:00+09:00, a Sunday
DAY_MS: Final = 86_400_000
TIME: Final = r"day (\d+) (\d?\d):(\d\d)(?::(\d\d)(?:\.(\d\d\d))?)?"
VERDICTS: Final = {
    "confirms": "confirm",
    "overturns": "overturn",
    "claims": "hold",
    "seals": "legal_hold",
    "hands off": "hand_off",
    "notes the answer on": "answered",
    "closes": "close",
    "reopens": "reopen",
    "grants the appeal of": "appeal_granted",
    "denies the appeal of": "appeal_denied",
}
_FIELDS: Final = frozenset(("title", "story", "wrong_today", "policy", "shadow"))
_EVENTS: Final = {"writes": "created", "edits": "edited", "deletes": "deleted"}
_BEHIND: Final = ", while the worker is behind"


class Mistold(Exception):
    """A scenario that cannot be understood."""


@dataclass(frozen=True)
class Post:
    """A record of `posts`; `revision` None is the next one."""

    author: str
    post: str
    event: str
    revision: int | None = None
    scores: dict[str, float] = field(default_factory=dict)
    text: str | None = None
    said_ms: int | None = None
    key: str | None = None
    fields: Told = field(default_factory=dict)


@dataclass(frozen=True)
class Review:
    """A record of `staff-reviews`; `case` is a scenario's name of one, `revision` None is the latest."""

    author: str
    post: str
    verdict: str
    by: str
    case: str | None = None
    revision: int | None = None
    name: str | None = None
    fields: Told = field(default_factory=dict)


@dataclass(frozen=True)
class Again:
    """A record comes once more; `post` None is the last record of all, `revision` None the last one of the post."""

    post: str | None
    revision: int | None
    delivered: bool


@dataclass(frozen=True)
class Worker:
    """Something that the worker does by itself: `time passes`, `the worker restarts`, `the worker forgets`."""

    does: str


Act = Post | Review | Again | Worker


@dataclass(frozen=True)
class Step:
    """One line of a story. `expected` is what has to follow, `today` what the code does instead."""

    line: str
    at_ms: int
    act: Act
    expected: Told
    today: Told
    behind: bool


@dataclass(frozen=True)
class Scenario:
    """One story. `wrong_today` says why the code does not do what is demanded, if it does not."""

    file: str
    title: str
    steps: tuple[Step, ...]
    wrong_today: str | None = None
    policy: Told = field(default_factory=dict)
    shadow: bool = False


def read(path: Path) -> list[Scenario]:
    """The scenarios of one file."""
    return [scenario(path.stem, raw) for raw in yaml.safe_load(path.read_text("utf-8"))]


def scenario(file: str, raw: Told) -> Scenario:
    """One scenario of `file`."""
    title = str(raw.get("title", ""))
    if not title or not raw.get("story") or set(raw) - _FIELDS:
        raise Mistold(f"{file}: {title!r}: a scenario has a title, a story, and of {sorted(_FIELDS)} no others")
    try:
        steps = tuple(step for told in raw["story"] for line, follows in told.items() for step in _steps(line, follows))
    except Mistold as error:
        raise Mistold(f"{file}: {title}: {error}") from None
    if bool(raw.get("wrong_today")) != any(step.today for step in steps):
        raise Mistold(f"{file}: {title}: `wrong_today` and a step's `today` go together")
    return Scenario(file, title, steps, raw.get("wrong_today"), raw.get("policy", {}), raw.get("shadow", False))


def moment(text: str) -> int:
    """`day 3 10:00` as milliseconds since the epoch."""
    found = re.fullmatch(TIME, text)
    if found is None:
        raise Mistold(f"no time: {text!r}")
    day, hour, minute, second, ms = (int(part or 0) for part in found.groups())
    return DAY_ONE_MS + (day - 1) * DAY_MS + ((hour * 60 + minute) * 60 + second) * 1_000 + ms


def _steps(line: str, follows: Any) -> list[Step]:
    """`…, 51 times`: once a second."""
    found = re.fullmatch(r"(.+), (\d+) times", line)
    if found is None:
        return [_step(line, follows)]
    first = _step(found[1], follows)
    return [replace(first, at_ms=first.at_ms + 1_000 * number) for number in range(int(found[2]))]


def _step(line: str, follows: Any) -> Step:
    found = re.fullmatch(rf"({TIME}) (.+)", line)
    if found is None:
        raise Mistold(f"starts with no time: {line!r}")
    sentence = found[found.re.groups]
    behind = sentence.endswith(_BEHIND)
    if not isinstance(follows, dict) and follows != "nothing":
        raise Mistold(f"{line!r}: what follows is a mapping, or `nothing`")
    expected = dict(follows) if isinstance(follows, dict) else {}
    today = expected.pop("today", {})
    return Step(line, moment(found[1]), _act(sentence.removesuffix(_BEHIND)), expected, today, behind)


def _act(sentence: str) -> Act:
    if sentence in ("time passes", "the worker restarts", "the worker forgets"):
        return Worker(sentence)
    if found := re.fullmatch(
        r"the (?:last record|record of (\w+)(?: revision (\d+))?) is (sent|delivered) again", sentence
    ):
        return Again(found[1], int(found[2]) if found[2] else None, found[3] == "delivered")
    if found := re.fullmatch(r"(\w+) (writes|edits|deletes) (\w+)(?:, (.+))?", sentence):
        return _post(found[1], _EVENTS[found[2]], found[3], found[4] or "")
    return _review(sentence)


def _post(author: str, event: str, post: str, details: str) -> Post:
    told: Told = {"scores": {}, "fields": {}}
    if found := re.search(r"(?:, )?text「(.*)」", details):
        told["text"] = found[1]
        details = details.replace(found[0], "").removeprefix(", ")
    for detail in details.split(", ") if details else []:
        if found := re.fullmatch(rf"({'|'.join(LABEL_IDS)})(?: ([01]\.\d+))?", detail):
            told["scores"][found[1]] = float(found[2] or 0.8)
        elif found := re.fullmatch(r"(\d+) characters", detail):
            told["text"] = "あ" * int(found[1])
        elif found := re.fullmatch(r"revision (\d+)", detail):
            told["revision"] = int(found[1])
        elif found := re.fullmatch(rf"said at ({TIME})", detail):
            told["said_ms"] = moment(found[1])
        elif found := re.fullmatch(r"keyed as (\w+)", detail):
            told["key"] = found[1]
        elif found := re.fullmatch(r"reply to (\w+)'s (\w+)", detail):
            told["fields"]["reply_to"] = {"post_id": found[2], "author_id": found[1]}
        elif found := re.fullmatch(r"reports (\d+)", detail):
            told["fields"]["reports"] = int(found[1])
        elif detail == "a minor":
            told["fields"]["minor_suspected"] = True
        else:
            raise Mistold(f"unknown detail of a post: {detail!r}")
    return Post(author, post, event, **told)


def _review(sentence: str) -> Review:
    head, _, details = sentence.partition(", ")
    told: Told = {"fields": {}}
    if found := re.search(r"(?:, )?writing「(.*)」", details):
        told["fields"]["reason"] = found[1]
        details = details.replace(found[0], "").removeprefix(", ")
    for detail in details.split(", ") if details else []:
        if found := re.fullmatch(r"by case (\w+)", detail):
            told["case"] = found[1]
        elif found := re.fullmatch(r"revision (\d+)", detail):
            told["revision"] = int(found[1])
        elif found := re.fullmatch(r"as review (\w+)", detail):
            told["name"] = found[1]
        else:
            raise Mistold(f"unknown detail of a review: {detail!r}")
    if found := re.fullmatch(r"(\w+) appeals (\w+)", head):
        told["fields"]["requested_by"] = "author"
        return Review(found[1], found[2], "appeal_filed", "desk", **told)
    if found := re.fullmatch(r"(\w+) asks? to remove (\w+)'s (\w+)", head):
        told["fields"]["requested_by"] = found[1]
        return Review(found[2], found[3], "removal_requested", "desk", **told)
    if found := re.fullmatch(r"(\w+) changes (\w+)'s (\w+)(?: to (\w+))?", head):
        if found[4]:
            told["fields"]["action"] = found[4]
        return Review(found[2], found[3], "change_action", found[1], **told)
    if found := re.fullmatch(rf"(\w+) ({'|'.join(VERDICTS)}) (\w+)'s (\w+)", head):
        return Review(found[3], found[4], VERDICTS[found[2]], found[1], **told)
    raise Mistold(f"nobody does this: {head!r}")
