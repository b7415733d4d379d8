"""The policy file as structs: what may stand where, and in what range. docs/schemas/policy.json is made from them.

What one field's type can say is said here; what two fields say together is checked by workers.policy_rules.
"""

from datetime import date, timedelta
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from models.labels import LABEL_IDS, VIOLATION_IDS
from workers.events import Action, Priority

Severity = Literal["none", "borderline", "serious", "grave"]
Regime = Literal["designated", "voluntary"]
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
NOTIFIED: Final = (*MILD_TO_HARSH[1:], Action.RESTORE)  # actions that their author is told of

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
    "legal_person": {},
    "not_suspended": {},
    "care_recent": {},
    "considerate": {},
}

Probability = Annotated[float, Meta(gt=0.0, lt=1.0)]
Threshold = Annotated[
    Literal["model"] | Probability,
    Meta(description="score from which on it is flagged; `model` takes the checkpoint's operating point"),
]
# Ten years at most: times that overflow would turn every post into a dead letter.
Days = Annotated[int, Meta(ge=1, le=3_650)]
Hours = Annotated[int, Meta(ge=1, le=87_600)]
Minutes = Annotated[int, Meta(ge=1, le=5_256_000)]
Verified = Annotated[date, Meta(description="day on which a person last checked it against its source")]


class _Data(Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Clause(_Data, frozen=True):
    """A 禁止事項 of the terms of service."""

    title: Annotated[str, Meta(description="its words, as a notice cites them")]
    source: Annotated[str, Meta(description="where the text comes from")]
    verified_at: Verified
    enabled: Annotated[bool, Meta(description="false: the service has not adopted it, so its labels flag nothing")] = (
        True
    )


class LabelRule(_Data, frozen=True):
    """What a violation label means to this service."""

    clause: Annotated[str, Meta(description="key under `clauses`: what such a post breaks")]
    threshold: Threshold
    severity: Annotated[Literal["borderline", "serious", "grave"], Meta(description="how grave it is")]
    ladder: Annotated[str, Meta(description="key under `ladders`: what follows")]
    group: Annotated[str, Meta(description="labels of one group share a case")]
    escalate: Annotated[
        Literal["always", "human", "never"],
        Meta(description="when a case opens; `human`: only where a rung asks for a person"),
    ]
    priority: Annotated[Priority, Meta(description="of its case")]
    borderline_below: Annotated[
        Probability | None, Meta(description="flagged under this score counts as borderline")
    ] = None


class DistressRule(_Data, frozen=True):
    """How urgent a distress score is; there is no ladder to name."""

    threshold: Threshold
    urgent_above: Annotated[Probability, Meta(description="score from which on it is urgent")]
    priority: Annotated[Priority, Meta(description="of care, and of a case, that is not urgent")]
    urgent_priority: Annotated[Priority, Meta(description="of care and case when it is urgent, or a minor's")]
    group: Annotated[str, Meta(description="group of its cases, shared with no violation")]


class Rung(_Data, frozen=True):
    """One step: the action, and whether a person has to look."""

    action: Annotated[Action, Meta(description="what the platform is told to do")]
    human: Annotated[bool, Meta(description="a case waits for a person")] = False


class Ladder(_Data, frozen=True):
    """Strikes inside the window move an author from rung to rung; the last rung stays."""

    count: Annotated[
        Literal["any", "same"], Meta(description="strikes that move up: of any label, or of the same label")
    ]
    rungs: Annotated[list[Rung], Meta(min_length=1, description="from mild to harsh")]


class Authority(_Data, frozen=True):
    """What may be done without a person, by the model and by a clock that ran out."""

    model: Annotated[list[Action], Meta(description="actions that the model may take alone")]
    clock: Annotated[list[Action], Meta(description="actions that an ignored request may lead to: remove, or none")]
    held_as: Annotated[Action, Meta(description="what a rung beyond the authority becomes until a person decides")]


class Windows(_Data, frozen=True):
    """Windows in event time."""

    strike_days: Annotated[Days, Meta(description="days in which a strike counts")]
    episode_days: Annotated[Days, Meta(description="days of quiet after which a new case opens")]
    care_hours: Annotated[int, Meta(ge=24, le=87_600, description="hours between two messages of care to one person")]
    remember_days: Annotated[
        int, Meta(ge=30, le=3_650, description="days for which a revision's outputs are kept for redelivery")
    ]
    distress_days: Annotated[
        Days, Meta(description="days after a post in distress in which its author gets gentle words and no deadline")
    ] = 14


class Clocks(_Data, frozen=True):
    """Due times, counted from the source record's Kafka timestamp."""

    removal_hours: Annotated[Hours, Meta(description="hours that a request for removal gives")]
    appeal_days: Annotated[Days, Meta(description="days in which an author may appeal")]
    P0_minutes: Annotated[Minutes, Meta(description="minutes until a person must have looked at P0")]
    P1_minutes: Annotated[Minutes, Meta(description="minutes until a person must have looked at P1")]
    P2_minutes: Annotated[Minutes, Meta(description="minutes until a person must have looked at P2")]
    P3_minutes: Annotated[Minutes, Meta(description="minutes until a person must have looked at P3")]

    def due(self, priority: Priority) -> timedelta:
        """How long a case of `priority` may wait."""
        return timedelta(minutes=getattr(self, f"{priority.value}_minutes"))


class ReportsRaise(_Data, frozen=True):
    """A post reported `at` times is worth at least priority `to`."""

    at: Annotated[int, Meta(ge=1, description="reports by users")]
    to: Annotated[Priority, Meta(description="lowest priority of its case from then on")]


class Body(_Data, frozen=True):
    """An organisation to turn to."""

    name: Annotated[str, Meta(description="as people know it")]
    contact: Annotated[str, Meta(description="telephone number or address, in quotes")]
    source: Annotated[str, Meta(description="where the contact comes from")]
    verified_at: Verified
    hours: Annotated[str, Meta(description="when it answers; required where a message of care names the body")] = ""


class RouteRule(_Data, frozen=True):
    """A body and why it is named."""

    body: Annotated[str, Meta(description="key under `bodies`")]
    why: Annotated[str, Meta(description="what to turn to it for")]


class NoticeText(_Data, frozen=True):
    """What the author is told."""

    title: Annotated[str, Meta(description="as it stands, without placeholders")]
    body: Annotated[str, Meta(description="may hold {clause}, {label}, {due_at} and {appeal_until}")]


class CareText(_Data, frozen=True):
    """The message to a person in distress, and the bodies it names."""

    title: Annotated[str, Meta(description="as it stands, without placeholders")]
    body: Annotated[str, Meta(description="as it stands; it must and must not say what workers.policy_words lists")]
    contacts: Annotated[list[str], Meta(min_length=1, description="keys under `bodies`, each with `hours`")]


def _keys(known: tuple[str, ...], *, all_needed: bool) -> dict[str, Any]:
    """For editors: the keys a mapping may have, and whether it needs them all."""
    return {"propertyNames": {"enum": list(known)}} | ({"required": list(known)} if all_needed else {})


class PolicyFile(_Data, frozen=True):
    """A mimamori policy: clauses, thresholds, ladders, routes, deadlines, contacts and words of one service."""

    schema: Annotated[Literal["policy/1"], Meta(description="file type and its version")]
    title: Annotated[str, Meta(description="what people call this policy")]
    effective: Annotated[date, Meta(description="day from which on it holds")]
    clauses: Annotated[dict[str, Clause], Meta(description="禁止事項 by id")]
    labels: Annotated[
        dict[str, LabelRule],
        Meta(
            description="one entry for each label that is a violation",
            extra_json_schema=_keys(VIOLATION_IDS, all_needed=True),
        ),
    ]
    distress: Annotated[DistressRule, Meta(description="希死念慮: never a violation")]
    ladders: Annotated[dict[str, Ladder], Meta(description="the nth strike leads to the nth rung, by id")]
    borderline_ladder: Annotated[str, Meta(description="key under `ladders`: for what is flagged as borderline")]
    suspend_after_confirmed: Annotated[
        int, Meta(ge=1, description="confirmed violations inside the window after which a person is asked to suspend")
    ]
    authority: Annotated[Authority, Meta(description="what may be done without a person")]
    windows: Annotated[Windows, Meta(description="how long things count")]
    clocks: Annotated[Clocks, Meta(description="deadlines")]
    reports_raise: Annotated[ReportsRaise, Meta(description="reports by users raise a case's priority")]
    imminent_signs: Annotated[
        list[str],
        Meta(description="regular expressions on normalised text: it may happen now; {name} is one of imminent_words"),
    ]
    reasons: Annotated[
        dict[str, str],
        Meta(description="the words of each reason", extra_json_schema=_keys(tuple(sorted(REASONS)), all_needed=True)),
    ]
    bodies: Annotated[dict[str, Body], Meta(description="相談・通報先 by id")]
    contact_max_age_days: Annotated[Days, Meta(description="days after which a contact must be verified again")]
    routes: Annotated[
        dict[str, list[RouteRule]],
        Meta(
            description="案内図: bodies for each label, in order",
            extra_json_schema=_keys(VIOLATION_IDS, all_needed=False),
        ),
    ]
    staff_first: Annotated[RouteRule, Meta(description="first route of every case")]
    imminent_routes: Annotated[list[RouteRule], Meta(description="routes of a case where it may happen now")]
    notices: Annotated[
        dict[Action, NoticeText],
        Meta(
            description="what the author is told, by action",
            extra_json_schema=_keys(tuple(NOTIFIED), all_needed=True),
        ),
    ]
    notices_in_distress: Annotated[
        dict[Action, NoticeText],
        Meta(
            description="instead of them where the author is, or was lately, in distress; no placeholders",
            extra_json_schema=_keys(MILD_TO_HARSH[1:], all_needed=True),
        ),
    ]
    resources_in_distress: Annotated[list[str], Meta(description="keys under `bodies` that these notices name")]
    resources: Annotated[
        dict[str, list[str]],
        Meta(description="教育コンテンツ: links by label", extra_json_schema=_keys(LABEL_IDS, all_needed=False)),
    ]
    care: Annotated[CareText, Meta(description="the message to a person in distress")]
    restored: Annotated[
        dict[Action, NoticeText],
        Meta(
            description="instead of `restore` under `notices`, by the action that is taken back",
            extra_json_schema=_keys(tuple(MILD_TO_HARSH[1:]), all_needed=False),
        ),
    ] = {}
    unnamed_clause: Annotated[
        str,
        Meta(
            min_length=1,
            description="what a notice cites where a person acts on what the model did not see, and names no clause",
        ),
    ] = "禁止事項"
    legal_reviewers: Annotated[
        str | None,
        Meta(
            description="regular expression found in the reviewer_id of legal staff, one of the two whom 解約 needs; "
            "null: any two people"
        ),
    ] = None
    regime: Annotated[
        Regime | None, Meta(description="情報流通プラットフォーム対処法: designated by the ministry, or by choice")
    ] = None
    imminent_words: Annotated[
        dict[str, str], Meta(description="pieces of the expressions in imminent_signs and imminent_except, by name")
    ] = {}
    imminent_except: Annotated[
        list[str],
        Meta(description="regular expressions of what is no sign (the past, others, stories): taken out of the text"),
    ] = []
