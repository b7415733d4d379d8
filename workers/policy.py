"""A checked policy: loading, its version, and what it says of a set of scores.

Pure but for reading the file. The file's structs are in workers.policy_data, the rules between them in
workers.policy_rules. Decides nothing about an author's state; workers.decide does, from this.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import cache, cached_property
from importlib import resources
from pathlib import Path
from typing import Any, Final

import msgspec

from models.labels import DISTRESS, LABEL_IDS
from workers import policy_rules, policy_source
from workers.errors import PolicyError
from workers.policy_data import (
    MILD_TO_HARSH,
    REASONS,
    SEVERITIES,
    Body,
    Clause,
    Ladder,
    PolicyFile,
    RouteRule,
    Severity,
)
from workers.policy_problem import Lines, Problem
from workers.signs import Signs

__all__ = [  # what a policy is made of, for those who decide by one
    "MILD_TO_HARSH",
    "REASONS",
    "SEVERITIES",
    "Body",
    "Clause",
    "Ladder",
    "Policy",
    "PolicyFile",
    "RouteRule",
    "Severity",
]

_VERSION_CHARACTERS: Final = 12
_TOLD_AT_ONCE: Final = 5  # problems in one error; more would bury the first


@dataclass(frozen=True)
class Policy:
    """A checked policy file, the thresholds it resolves to with a checkpoint, and its version."""

    data: PolicyFile
    version: str
    thresholds: dict[str, float]

    @cached_property
    def _signs(self) -> Signs:
        return signs_of(self.data)

    def imminent(self, plain_text: str) -> bool:
        """Whether normalised text shows a sign that it may be now."""
        return self._signs.seen_in(plain_text)

    def flagged(self, scores: dict[str, float]) -> list[str]:
        """Labels at or over their thresholds, in the labels' order; a label whose clause is off is never flagged."""
        return [
            label for label in LABEL_IDS if scores.get(label, 0.0) >= self.thresholds[label] and self._enabled(label)
        ]

    def _enabled(self, label: str) -> bool:
        return label == DISTRESS or self.data.clauses[self.data.labels[label].clause].enabled

    def severity(self, label: str, score: float) -> Severity:
        """The severity of one flagged violation."""
        rule = self.data.labels[label]
        if rule.borderline_below is not None and score < rule.borderline_below:
            return "borderline"
        return rule.severity

    def ladder(self, label: str, score: float) -> Ladder:
        """The ladder that one flagged violation climbs."""
        rule = self.data.labels[label]
        borderline = rule.borderline_below is not None and score < rule.borderline_below
        return self.data.ladders[self.data.borderline_ladder if borderline else rule.ladder]

    def reason(self, key: str, **values: Any) -> str:
        """A reason in words."""
        return self.data.reasons[key].format(**values)

    def stale_contacts(self, today: date) -> list[str]:
        """Bodies whose contact was verified longer ago than the policy allows."""
        return policy_rules.stale(self.data, today)


@dataclass(frozen=True)
class Examined:
    """A file taken apart: every problem in it, and the policy, unless a problem is more than a warning.

    `data` has the default's sections for those that are `unreadable`; it is None where nothing can be read.
    """

    name: str
    lines: Lines
    problems: list[Problem]
    policy: Policy | None = None
    data: PolicyFile | None = None
    unreadable: frozenset[str] = frozenset()

    def and_(self, more: Iterable[Problem]) -> "Examined":
        """With what others found; no policy if one of them is more than a warning."""
        problems = [*self.problems, *more]
        return replace(self, problems=problems, policy=self.policy if _harmless(problems) else None)

    def told(self, problems: Iterable[Problem]) -> list[str]:
        """Problems as people read them, in the order of their lines."""
        return [self.lines.told(self.name, one) for one in sorted(problems, key=self.lines.line)]

    def checked(self) -> Policy:
        """The policy, or one PolicyError of one line."""
        if self.policy is not None:
            return self.policy
        told = self.told(one for one in self.problems if not one.warning)
        more = [f"and {len(told) - _TOLD_AT_ONCE} more: mimamori policy check tells them all"]
        raise PolicyError("; ".join(told[:_TOLD_AT_ONCE] + (more if len(told) > _TOLD_AT_ONCE else [])))


def load(path: Path | None, operating_points: dict[str, float]) -> Policy:
    """Read and check a policy file (None: the packaged default); thresholds `model` come from the checkpoint."""
    return parse(*read(path), operating_points)


def parse(source: str, name: str, operating_points: dict[str, float]) -> Policy:
    """`load` on text; `name` stands in errors."""
    return examine(source, name, operating_points).checked()


def read(path: Path | None) -> tuple[str, str]:
    """A policy file's text and the name to call it by."""
    if path is None:
        return resources.files("workers").joinpath("policies/default.yml").read_text("utf-8"), "default.yml"
    try:
        return path.read_text("utf-8"), str(path)
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(f"{path}: cannot be read: {type(error).__name__}") from None


def examine(source: str, name: str, operating_points: dict[str, float]) -> Examined:
    """Everything that is wrong with a policy's text, and the policy where that is nothing."""
    found = policy_source.read(source)
    told = {one.place for one in found.problems}
    faults = [one for one in policy_source.typed(found.raw, PolicyFile) if one.place not in told]
    if not isinstance(found.raw, dict):  # no YAML, or none that could be a policy: what follows would guess
        return Examined(name, found.lines, found.problems or faults)
    problems = [*found.problems, *faults]
    data, unreadable = _readable(found.raw, {str(one.place[0]) for one in problems if one.place})
    problems += policy_rules.check(data, operating_points, unreadable)
    policy = _resolved(data, operating_points) if _harmless(problems) else None
    return Examined(name, found.lines, problems, policy, data, unreadable)


def _harmless(problems: Iterable[Problem]) -> bool:
    return all(one.warning for one in problems)


def _resolved(data: PolicyFile, operating_points: dict[str, float]) -> Policy:
    thresholds: dict[str, float] = {}
    for label in LABEL_IDS:
        rule = data.distress if label == DISTRESS else data.labels[label]
        thresholds[label] = operating_points[label] if rule.threshold == "model" else rule.threshold
    content = msgspec.json.encode(data, order="deterministic") + msgspec.json.encode(thresholds, order="deterministic")
    return Policy(data, hashlib.sha256(content).hexdigest()[:_VERSION_CHARACTERS], thresholds)


def _readable(raw: dict[str, Any], faulty: set[str]) -> tuple[PolicyFile, frozenset[str]]:
    """The file with the default's sections in place of those that cannot be read, and which these are.

    So one mistake does not hide the others: what can be read is still checked.
    """
    fields = msgspec.structs.fields(PolicyFile)
    missed = frozenset(one.name for one in fields if one.name in faulty or (one.required and one.name not in raw))
    default = policy_source.read(read(None)[0]).raw if missed else {}
    names = [one.name for one in fields if one.name in missed or one.name in raw]
    whole = {name: default[name] if name in missed else raw[name] for name in names}
    return msgspec.convert(whole, PolicyFile), missed


def signs_of(data: PolicyFile) -> Signs:
    """The signs that a policy file has."""
    return Signs(data.imminent_words, data.imminent_signs, data.imminent_except)


@cache
def packaged_signs() -> frozenset[str]:
    """The expressions of the packaged policy: the tests try them on hostile texts, a worker need not again."""
    raw = policy_source.read(read(None)[0]).raw
    return frozenset(signs_of(msgspec.convert(raw, PolicyFile)).expressions)


def iso_minute(moment: datetime) -> str:
    """A time as people read it in a notice: Japan's clock, to the minute."""
    local = moment + timedelta(hours=9)
    return f"{local.year}年{local.month}月{local.day}日 {local.hour}時{local.minute:02d}分（日本時間）"
