"""Policy as data: the file's structs, strict loading, its version, and what it says of a set of scores.

Pure but for reading the file at start. Decides nothing about an author's state; workers.decide does, from this.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import yaml
from msgspec import Meta, Struct

from models.labels import BY_ID, DISTRESS, LABEL_IDS, VIOLATION_IDS
from workers.errors import PolicyError
from workers.events import Action, Priority

Severity = Literal["none", "borderline", "serious", "grave"]
SEVERITIES: Final[tuple[Severity, ...]] = ("none", "borderline", "serious", "grave")
MILD_TO_HARSH: Final = (
    Action.NONE,
    Action.WARN,
    Action.REQUEST_REMOVAL,
    Action.LIMIT_VISIBILITY,
    Action.REMOVE,
    Action.SUSPEND,
    Action.TERMINATE,
)
Threshold = Literal["model"] | Annotated[float, Meta(gt=0.0, lt=1.0)]
_VERSION_CHARACTERS: Final = 12
# Ten years at most: times that overflow would turn every post into a dead letter.
Days = Annotated[int, Meta(ge=1, le=3_650)]
Hours = Annotated[int, Meta(ge=1, le=87_600)]
Minutes = Annotated[int, Meta(ge=1, le=5_256_000)]


class _Data(Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Clause(_Data, frozen=True):
    """A 禁止事項 of the terms of service."""

    title: str
    source: str
    verified_at: date
    enabled: bool = True


class LabelRule(_Data, frozen=True):
    """What a violation label means to this service."""

    clause: str
    threshold: Threshold
    severity: Literal["borderline", "serious", "grave"]
    ladder: str
    group: str
    escalate: Literal["always", "human", "never"]
    priority: Priority
    borderline_below: Annotated[float, Meta(gt=0.0, lt=1.0)] | None = None


class DistressRule(_Data, frozen=True):
    """How urgent a distress score is; there is no ladder to name."""

    threshold: Threshold
    urgent_above: Annotated[float, Meta(gt=0.0, lt=1.0)]
    priority: Priority
    urgent_priority: Priority
    group: str


class Rung(_Data, frozen=True):
    """One step: the action, and whether a person has to look."""

    action: Action
    human: bool = False


class Ladder(_Data, frozen=True):
    """count: which earlier strikes move an author up."""

    count: Literal["any", "same"]
    rungs: Annotated[list[Rung], Meta(min_length=1)]


class Authority(_Data, frozen=True):
    """What may be done without a person, by the model and by a clock that ran out."""

    model: list[Action]
    clock: list[Action]
    held_as: Action


class Windows(_Data, frozen=True):
    """Windows in event time; remember_days: how long a revision's outputs are kept for redelivery."""

    strike_days: Days
    episode_days: Days
    care_hours: Annotated[int, Meta(ge=24, le=87_600)]
    remember_days: Annotated[int, Meta(ge=30, le=3_650)]


class Clocks(_Data, frozen=True):
    """Due times, counted from the source record's Kafka timestamp."""

    removal_hours: Hours
    appeal_days: Days
    P0_minutes: Minutes
    P1_minutes: Minutes
    P2_minutes: Minutes
    P3_minutes: Minutes

    def due(self, priority: Priority) -> timedelta:
        """How long a case of `priority` may wait."""
        return timedelta(minutes=getattr(self, f"{priority.value}_minutes"))


class ReportsRaise(_Data, frozen=True):
    """A post reported `at` times is worth at least priority `to`."""

    at: Annotated[int, Meta(ge=1)]
    to: Priority


class Body(_Data, frozen=True):
    """An organisation to turn to."""

    name: str
    contact: str
    source: str
    verified_at: date
    hours: str = ""


class RouteRule(_Data, frozen=True):
    """A body and why it is named."""

    body: str
    why: str


class NoticeText(_Data, frozen=True):
    """A template; its placeholders are clause, label, due_at and appeal_until."""

    title: str
    body: str


class CareText(_Data, frozen=True):
    """The message to a person in distress, and the bodies it names."""

    title: str
    body: str
    contacts: Annotated[list[str], Meta(min_length=1)]


class PolicyFile(_Data, frozen=True):
    """The whole file."""

    schema: Literal["policy/1"]
    title: str
    effective: date
    clauses: dict[str, Clause]
    labels: dict[str, LabelRule]
    distress: DistressRule
    ladders: dict[str, Ladder]
    borderline_ladder: str
    suspend_after_confirmed: Annotated[int, Meta(ge=1)]
    authority: Authority
    windows: Windows
    clocks: Clocks
    reports_raise: ReportsRaise
    imminent_signs: list[str]
    reasons: dict[str, str]
    bodies: dict[str, Body]
    contact_max_age_days: Days
    routes: dict[str, list[RouteRule]]
    staff_first: RouteRule
    imminent_routes: list[RouteRule]
    notices: dict[Action, NoticeText]
    notice_in_distress: NoticeText
    resources_in_distress: list[str]
    resources: dict[str, list[str]]
    care: CareText


# Every reason, and an example of each value that its words may hold.
REASONS: Final[dict[str, dict[str, Any]]] = {
    "benign": {},
    "flagged": {"label": "", "threshold": 0.5},
    "rung": {"days": 90, "count": 2},
    "borderline": {},
    "authority": {"action": ""},
    "distress": {},
    "distress_with_violation": {},
    "imminent": {},
    "minor": {},
    "reports": {"count": 5},
    "standing": {"action": ""},
    "stale": {},
    "deleted": {},
    "settled": {},
    "lifted": {},
    "ignored": {"due": ""},
    "suspend": {"days": 90, "count": 3},
    "human": {},
    "review": {"verdict": ""},
    "second_person": {},
    "care_recent": {},
}


@dataclass(frozen=True)
class Policy:
    """A checked policy file, the thresholds it resolves to with a checkpoint, and its version."""

    data: PolicyFile
    version: str
    thresholds: dict[str, float]

    @cached_property
    def _imminent(self) -> list[re.Pattern[str]]:
        """Each by itself: joined, their flags and group numbers would mix."""
        return [re.compile(sign) for sign in self.data.imminent_signs]

    def imminent(self, plain_text: str) -> bool:
        """Whether normalised text shows a sign that it may be now."""
        return any(sign.search(plain_text) for sign in self._imminent)

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
        limit = timedelta(days=self.data.contact_max_age_days)
        return [name for name, body in self.data.bodies.items() if today - body.verified_at > limit]


class _Loader(yaml.SafeLoader):
    """YAML keeps the last of two equal keys in silence; here that is a mistake nobody would see."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        for before, (key, _) in enumerate(node.value):
            if key.value in keys[:before]:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} stands twice", key.start_mark)
        return super().construct_mapping(node, deep)


def load(path: Path | None, operating_points: dict[str, float]) -> Policy:
    """Read and check a policy file (None: the packaged default); thresholds `model` come from the checkpoint."""
    if path is None:
        source, name = resources.files("workers").joinpath("policies/default.yml").read_text("utf-8"), "default.yml"
    else:
        name = str(path)
        try:
            source = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise PolicyError(f"{name}: cannot be read: {type(error).__name__}") from None
    return parse(source, name, operating_points)


def parse(source: str, name: str, operating_points: dict[str, float]) -> Policy:
    """`load` on text; `name` stands in errors."""
    try:
        raw = _Loader(source).get_single_data()
        data = msgspec.convert(raw, PolicyFile)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}" if mark else ""
        raise PolicyError(f"{name}{where}: not valid YAML: {getattr(error, 'problem', error)}") from None
    except ValueError as error:  # msgspec's, or YAML's of a date that no calendar has
        raise PolicyError(f"{name}: {error}") from None
    problems = list(_problems(data))
    if problems:
        raise PolicyError(f"{name}: " + "; ".join(problems))
    thresholds: dict[str, float] = {}
    for label in LABEL_IDS:
        rule = data.distress if label == DISTRESS else data.labels[label]
        thresholds[label] = operating_points[label] if rule.threshold == "model" else rule.threshold
    content = msgspec.json.encode(data, order="deterministic") + msgspec.json.encode(thresholds, order="deterministic")
    return Policy(data, hashlib.sha256(content).hexdigest()[:_VERSION_CHARACTERS], thresholds)


def _problems(data: PolicyFile) -> list[str]:
    """Contradictions that the types cannot see; each names its place."""
    found: list[str] = []

    def known(place: str, name: str, names: Any) -> None:
        if name not in names:
            found.append(f"{place}: unknown `{name}`, known are {', '.join(sorted(names))}")

    found += [f"labels: `{label}` is missing" for label in VIOLATION_IDS if label not in data.labels]
    for label, rule in data.labels.items():
        known("labels", label, VIOLATION_IDS)
        known(f"labels.{label}.clause", rule.clause, data.clauses)
        known(f"labels.{label}.ladder", rule.ladder, data.ladders)
        if isinstance(rule.threshold, float) and rule.borderline_below and rule.borderline_below <= rule.threshold:
            found.append(f"labels.{label}.borderline_below: not above the threshold {rule.threshold}, so never reached")
    known("borderline_ladder", data.borderline_ladder, data.ladders)
    for name, ladder in data.ladders.items():
        ranks = [MILD_TO_HARSH.index(r.action) if r.action in MILD_TO_HARSH else -1 for r in ladder.rungs]
        if min(ranks) < 1 or ranks != sorted(ranks):
            found.append(f"ladders.{name}: rungs must be punishments that rise from mild to harsh")
    for label, rules in data.routes.items():
        known("routes", label, VIOLATION_IDS)
        for rule_ in rules:
            known(f"routes.{label}.body", rule_.body, data.bodies)
    for place, bodies in (
        ("care.contacts", data.care.contacts),
        ("resources_in_distress", data.resources_in_distress),
        ("imminent_routes", [rule_.body for rule_ in data.imminent_routes]),
        ("staff_first", [data.staff_first.body]),
    ):
        for body in bodies:
            known(f"{place}", body, data.bodies)
    hourless = [name for name in data.care.contacts if name in data.bodies and not data.bodies[name].hours]
    found += [f"care.contacts: `{name}` has no hours, which the message must give" for name in hourless]
    for label in data.resources:
        known("resources", label, BY_ID)
    told = (*MILD_TO_HARSH[1:], Action.RESTORE)
    found += [f"notices: `{action}` is missing" for action in told if action not in data.notices]
    found += [f"reasons: `{missing}` is missing" for missing in sorted(REASONS.keys() - data.reasons.keys())]
    for sign in data.imminent_signs:
        try:
            if re.search(sign, ""):
                found.append(f"imminent_signs: `{sign}` matches every text")
        except re.error as error:
            found.append(f"imminent_signs: `{sign}` is no regular expression: {error}")
    found += _templates(data)
    if data.authority.held_as is not Action.LIMIT_VISIBILITY:
        found.append("authority.held_as: must be limit_visibility, the one reversible hold")
    groups = {rule.group for rule in data.labels.values()}
    if data.distress.group in groups:
        found.append(f"distress.group: `{data.distress.group}` is shared with a violation; distress has its own cases")
    if data.distress.urgent_priority > data.distress.priority:
        found.append(f"distress.urgent_priority: less urgent than {data.distress.priority}")
    return found


_NOTICE_FIELDS: Final = dict.fromkeys(("clause", "label", "due_at", "appeal_until"), "")


def _templates(data: PolicyFile) -> list[str]:
    """Placeholders that nothing would fill."""
    places: dict[str, tuple[str, dict[str, Any]]] = {
        f"notices.{action}.body": (text.body, _NOTICE_FIELDS) for action, text in data.notices.items()
    }
    as_it_stands = {f"notices.{action}.title": text.title for action, text in data.notices.items()} | {
        "notice_in_distress.title": data.notice_in_distress.title,
        "notice_in_distress.body": data.notice_in_distress.body,
        "care.title": data.care.title,
        "care.body": data.care.body,
    }
    places |= {place: (text, {}) for place, text in as_it_stands.items()}
    places |= {f"reasons.{name}": (text, REASONS.get(name, {})) for name, text in data.reasons.items()}
    found = []
    for place, (text, fields) in places.items():
        try:
            text.format(**fields)
        except (KeyError, IndexError, ValueError, AttributeError, TypeError) as error:
            found.append(f"{place}: placeholder {error} is not one of {', '.join(fields) or 'none'}")
    return found


def iso_minute(moment: datetime) -> str:
    """A time as people read it in a notice: Japan's clock, to the minute."""
    local = moment + timedelta(hours=9)
    return f"{local.year}年{local.month}月{local.day}日 {local.hour}時{local.minute:02d}分（日本時間）"
