"""The records of the contract as frozen structs, and the constants that name topics, ladder and verdicts.

Each field's description reaches the JSON Schemas and the AsyncAPI document (workers.schemas). Decoding and encoding
live in workers.codec. Nothing here decides anything.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct


class Topic(StrEnum):
    """Logical topic names; topics.yml gives each its physical name."""

    POSTS = "posts"
    STAFF_REVIEWS = "staff-reviews"
    DECISIONS = "moderation-decisions"
    ACTIONS = "moderation-actions"
    ESCALATIONS = "consultation-escalations"
    CARE = "care-outreach"
    DEAD_LETTERS = "dead-letters"


class Action(StrEnum):
    """What a platform is told to do; the ladder of the model clauses, a reversible hold, and the way back."""

    NONE = "none"
    WARN = "warn"
    LIMIT_VISIBILITY = "limit_visibility"
    REQUEST_REMOVAL = "request_removal"
    REMOVE = "remove"
    SUSPEND = "suspend"
    TERMINATE = "terminate"
    RESTORE = "restore"


class Priority(StrEnum):
    """P0 someone may die now … P3 the rest."""

    P0 = "P0"
    P1 = "P1"
    P2 = "P2"
    P3 = "P3"


MAX_TEXT_CHARACTERS: Final = 20_000
MAX_ID_CHARACTERS: Final = 256

Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID_CHARACTERS)]
Time = Annotated[datetime, Meta(tz=True, description="RFC 3339, UTC")]
Probability = Annotated[float, Meta(ge=0.0, le=1.0)]
Span = tuple[int, int, str]


class Part(Struct, frozen=True, kw_only=True, omit_defaults=False, gc=False):
    """A nested object of a record."""


class ReplyTo(Part, frozen=True):
    """The post that this one answers."""

    post_id: Annotated[Id, Meta(description="the post answered")]
    author_id: Annotated[Id, Meta(description="its author: the person addressed")]


class Post(Struct, frozen=True, kw_only=True, tag_field="schema", tag="post/1"):
    """A post was created, edited or deleted. Record key: author_id."""

    event: Annotated[Literal["created", "edited", "deleted"], Meta(description="what happened to the post")]
    post_id: Annotated[Id, Meta(description="the platform's id of the post")]
    revision: Annotated[int, Meta(ge=1, le=2**53, description="1 for the first text, then rising with each event")]
    author_id: Annotated[Id, Meta(description="the platform's id of the author; also the record's key")]
    occurred_at: Annotated[datetime, Meta(tz=True, description="when the author did it, RFC 3339")]
    text: (
        Annotated[str, Meta(max_length=MAX_TEXT_CHARACTERS, description="what was written; absent when deleted")] | None
    ) = None
    platform: Annotated[str, Meta(max_length=MAX_ID_CHARACTERS, description="which service it stands on")] | None = None
    url: Annotated[str, Meta(max_length=2_048, description="where a person can see it")] | None = None
    lang: Annotated[str, Meta(max_length=35, description="BCP 47 tag, as the platform believes")] | None = None
    thread_id: Annotated[str, Meta(max_length=MAX_ID_CHARACTERS, description="conversation it belongs to")] | None = (
        None
    )
    reply_to: Annotated[ReplyTo | None, Meta(description="the post that this one answers, if any")] = None
    reports: Annotated[int, Meta(ge=0, description="how many users reported it so far")] = 0
    minor_suspected: Annotated[bool, Meta(description="the platform believes the author is a minor")] = False


class Source(Part, frozen=True):
    """Where a record came from."""

    topic: Annotated[str, Meta(description="physical topic name")]
    partition: Annotated[int, Meta(description="partition of that topic")]
    offset: Annotated[int, Meta(description="offset in that partition")]


class PostContext(Part, frozen=True):
    """What the decision knew of the post beside its scores; the text itself is never in a decision."""

    reply_to: Annotated[ReplyTo | None, Meta(description="the post answered, as the post named it")]
    reports: Annotated[int, Meta(description="how many users had reported the post")]
    minor_suspected: Annotated[bool, Meta(description="the platform believed the author to be a minor")]
    lang: Annotated[str | None, Meta(description="BCP 47 tag, as the platform believed")]
    text_sha256: Annotated[str | None, Meta(description="hex SHA-256 of the UTF-8 text; null for a deletion")]
    length: Annotated[int, Meta(description="characters of the text")]


class History(Part, frozen=True):
    """The author's counts as the decision saw them, before this post."""

    posts: Annotated[int, Meta(description="posts decided so far, each counted once however often edited")]
    strikes: Annotated[int, Meta(description="standing strikes inside the policy's window")]
    strikes_by_label: Annotated[dict[str, int], Meta(description="standing strikes by label")]
    confirmed: Annotated[int, Meta(description="of these, confirmed by staff")]
    suspended: Annotated[bool, Meta(description="a suspension was emitted before")]


class Decision(Struct, frozen=True, kw_only=True, tag_field="schema", tag="decision/1"):
    """One for every post revision, benign ones included: the audit log. Record key: post_id."""

    decision_id: Annotated[str, Meta(description="hash(post_id, revision)")]
    post_id: Annotated[str, Meta(description="the platform's id of the post; also the record's key")]
    revision: Annotated[int, Meta(description="the post's revision decided here")]
    event: Annotated[str, Meta(description="what happened to the post: created, edited or deleted")]
    author_id: Annotated[str, Meta(description="the platform's id of the author")]
    platform: Annotated[str | None, Meta(description="which service the post stands on")]
    occurred_at: Annotated[Time, Meta(description="when the author did it, RFC 3339, UTC")]
    source: Annotated[Source, Meta(description="the record decided")]
    context: Annotated[PostContext, Meta(description="what was known of the post")]
    history: Annotated[History, Meta(description="the author's counts before this post")]
    scores: Annotated[dict[str, float], Meta(description="calibrated probability of each label; empty for a deletion")]
    flagged: Annotated[list[str], Meta(description="labels over the policy's thresholds")]
    spans: Annotated[list[Span], Meta(description="[start, end, label]: characters of the original text")]
    severity: Annotated[Literal["none", "borderline", "serious", "grave"], Meta(description="worst label's severity")]
    action: Annotated[Action, Meta(description="what follows from it; none for most posts")]
    clauses: Annotated[list[str], Meta(description="ids of the policy's clauses that the flagged labels touch")]
    reasons: Annotated[list[str], Meta(description="why, in sentences of the policy file; never post text")]
    policy_version: Annotated[str, Meta(description="version of the policy file applied")]
    model_version: Annotated[str, Meta(description="version of the checkpoint that gave the scores")]
    automated: Annotated[bool, Meta(description="always true: a model and a policy decided, no person")]
    shadow: Annotated[bool, Meta(description="true: written by a worker in shadow mode, which does nothing else")]
    decided_at: Annotated[Time, Meta(description="the source record's Kafka timestamp")]


class Notice(Part, frozen=True):
    """What the platform tells the sender."""

    title: Annotated[str, Meta(description="one line, in Japanese")]
    body: Annotated[str, Meta(description="what was found, which clause it breaks and how to appeal")]
    resources: Annotated[list[str], Meta(description="education links")]


class ModerationAction(Struct, frozen=True, kw_only=True, tag_field="schema", tag="action/1"):
    """What the platform must do. Record key: author_id."""

    action_id: Annotated[str, Meta(description="hash(topic, cause, kind)")]
    cause: Annotated[str, Meta(description="a decision_id, a review_id, or the action_id whose clock ran out")]
    automated: Annotated[bool, Meta(description="false: a person decided it")]
    decision_id: Annotated[str, Meta(description="the decision that it follows from")]
    post_id: Annotated[str, Meta(description="the post concerned")]
    author_id: Annotated[str, Meta(description="the author concerned; also the record's key")]
    action: Annotated[Action, Meta(description="what the platform must do")]
    clause: Annotated[
        str, Meta(description="id of the clause broken; empty for restore, and where a person named none")
    ]
    reasons: Annotated[list[str], Meta(description="why, in sentences of the policy file; never post text")]
    notice: Annotated[Notice, Meta(description="what the platform tells the author")]
    due_at: Annotated[Time | None, Meta(description="request_removal: when an unanswered request becomes remove")]
    reversible: Annotated[bool, Meta(description="whether restore can undo it in full")]
    appeal_until: Annotated[
        Time | None, Meta(description="last moment of an appeal, RFC 3339, UTC; null: none is open")
    ]
    supersedes: Annotated[list[str], Meta(description="action_ids that this one replaces")]
    policy_version: Annotated[str, Meta(description="version of the policy file applied")]
    model_version: Annotated[str, Meta(description="version of the checkpoint that gave the scores")]


class Route(Part, frozen=True):
    """A body to turn to, in order."""

    body: Annotated[str, Meta(description="id of the body in the policy file")]
    name: Annotated[str, Meta(description="the body's Japanese name")]
    contact: Annotated[str, Meta(description="its form, address or telephone number")]
    why: Annotated[str, Meta(description="why this body, and why at this place in the order")]


class DossierPost(Part, frozen=True):
    """The post as collected."""

    post_id: Annotated[str, Meta(description="the platform's id of the post")]
    revision: Annotated[int, Meta(description="the revision collected")]
    text: Annotated[str | None, Meta(description="the text in full; null for a deletion")]
    occurred_at: Annotated[Time, Meta(description="when the author did it, RFC 3339, UTC")]


class Dossier(Part, frozen=True):
    """What a counsellor needs to judge and to hand the case on."""

    post: Annotated[DossierPost, Meta(description="the post as collected")]
    url: Annotated[str | None, Meta(description="where a person can see it")]
    spans: Annotated[list[Span], Meta(description="[start, end, label]: characters of the original text")]
    scores: Annotated[dict[str, float], Meta(description="calibrated probability of each label")]
    author_history: Annotated[History, Meta(description="the author's counts before this post")]
    sha256: Annotated[str, Meta(description="hex SHA-256 of the evidence: post as canonical JSON")]
    collected_at: Annotated[Time, Meta(description="the source record's Kafka timestamp, RFC 3339, UTC")]


class Escalation(Struct, frozen=True, kw_only=True, tag_field="schema", tag="escalation/1"):
    """A step of a case in the consultation queue. Record key: case_id."""

    escalation_id: Annotated[str, Meta(description="one per record")]
    case_id: Annotated[str, Meta(description="one per author, label group and episode")]
    status: Annotated[
        Literal["open", "updated", "claimed", "handed_off", "answered", "closed", "reopened"],
        Meta(description="where the case stands after this step"),
    ]
    decision_id: Annotated[str, Meta(description="the decision that opened or moved the case")]
    post_id: Annotated[str, Meta(description="the post concerned")]
    author_id: Annotated[str, Meta(description="the author of that post")]
    priority: Annotated[Priority, Meta(description="how soon a person must look")]
    due_at: Annotated[Time, Meta(description="when a person must have looked, RFC 3339, UTC")]
    routes: Annotated[list[Route], Meta(description="bodies to turn to, in order")]
    categories: Annotated[list[str], Meta(description="ids of the labels that the case is about")]
    dossier: Annotated[Dossier | None, Meta(description="what the body needs to judge; null: the step has none")]
    human_required: Annotated[bool, Meta(description="true: a person has to decide")]
    reasons: Annotated[list[str], Meta(description="why, in sentences of the policy file; never post text")]
    policy_version: Annotated[str, Meta(description="version of the policy file applied")]
    model_version: Annotated[str, Meta(description="version of the checkpoint that gave the scores")]
    previous_sha256: Annotated[
        str | None, Meta(description="hex SHA-256 of the value of the case's record before this one; null: the first")
    ] = None


class CareContact(Part, frozen=True):
    """A verified helpline."""

    name: Annotated[str, Meta(description="the helpline's Japanese name")]
    contact: Annotated[str, Meta(description="its telephone number or address")]
    hours: Annotated[str, Meta(description="when it answers")]


class CareMessage(Part, frozen=True):
    """Shown to a person in distress: concern and people who listen, nothing else."""

    title: Annotated[str, Meta(description="one line of concern")]
    body: Annotated[
        str, Meta(description="concern and an offer to listen; names no method, place, rule, score or post")
    ]
    contacts: Annotated[list[CareContact], Meta(description="verified helplines, in order")]


class Care(Struct, frozen=True, kw_only=True, tag_field="schema", tag="care/1"):
    """Someone may want to die. Restricted; never joined with penalties. Record key: author_id."""

    care_id: Annotated[str, Meta(description="hash(topic, cause, kind)")]
    decision_id: Annotated[str, Meta(description="the decision that it follows from")]
    post_id: Annotated[str, Meta(description="the post that gave rise to it")]
    author_id: Annotated[str, Meta(description="the person to reach; also the record's key")]
    priority: Annotated[Priority, Meta(description="how soon a person must look")]
    message: Annotated[CareMessage | None, Meta(description="null: a message went out in the last 24 h")]
    due_at: Annotated[Time, Meta(description="when a person must have looked, RFC 3339, UTC")]
    reasons: Annotated[list[str], Meta(description="why, in sentences of the policy file; never post text")]
    policy_version: Annotated[str, Meta(description="version of the policy file applied")]
    model_version: Annotated[str, Meta(description="version of the checkpoint that gave the scores")]


class Verdict(StrEnum):
    """What a review says."""

    CONFIRM = "confirm"
    OVERTURN = "overturn"
    CHANGE_ACTION = "change_action"
    HOLD = "hold"
    LEGAL_HOLD = "legal_hold"
    HAND_OFF = "hand_off"
    ANSWERED = "answered"
    CLOSE = "close"
    REOPEN = "reopen"
    APPEAL_FILED = "appeal_filed"
    APPEAL_GRANTED = "appeal_granted"
    APPEAL_DENIED = "appeal_denied"
    REMOVAL_REQUESTED = "removal_requested"


class Review(Struct, frozen=True, kw_only=True, tag_field="schema", tag="review/1"):
    """What staff decided, an appeal, or an outside body's request. Record key: author_id."""

    review_id: Annotated[Id, Meta(description="the sender's id of the review")]
    post_id: Annotated[Id, Meta(description="the post reviewed")]
    author_id: Annotated[Id, Meta(description="author of the post; also the record's key")]
    verdict: Annotated[Verdict, Meta(description="what was decided or asked")]
    reviewer_id: Annotated[Id, Meta(description="who decided, pseudonymous")]
    reason: Annotated[str, Meta(max_length=2_000, description="why, in the reviewer's words; no post text")]
    occurred_at: Annotated[datetime, Meta(tz=True, description="when it was decided or asked, RFC 3339")]
    case_id: Annotated[Id | None, Meta(description="the case reviewed; this or decision_id is there")] = None
    decision_id: Annotated[Id | None, Meta(description="the decision reviewed; this or case_id is there")] = None
    action: Annotated[Action | None, Meta(description="with change_action: what to do instead")] = None
    clause: Annotated[
        Id | None, Meta(description="with change_action: id of the policy's clause that the action goes by")
    ] = None
    requested_by: Annotated[str, Meta(max_length=64, description="staff, author, victim, moj_jinken, police …")] = (
        "staff"
    )


class DeadSource(Part, frozen=True):
    """Where the dead record stands."""

    topic: Annotated[str, Meta(description="physical topic name")]
    partition: Annotated[int, Meta(description="partition of that topic")]
    offset: Annotated[int, Meta(description="offset in that partition")]
    timestamp: Annotated[int, Meta(description="Kafka timestamp, ms since the epoch")]


class DeadError(Part, frozen=True):
    """Why it is dead; never carries the record's text."""

    type: Annotated[str, Meta(description="kind of fault")]
    message: Annotated[str, Meta(description="names the field at fault, never its value")]


class DeadLetter(Struct, frozen=True, kw_only=True, tag_field="schema", tag="dead-letter/1"):
    """A record that could not be processed, byte for byte. Record key: that of the source."""

    source: Annotated[DeadSource, Meta(description="where the record stands")]
    key_b64: Annotated[str | None, Meta(description="base64 of its key; null: it has none")]
    value_b64: Annotated[str | None, Meta(description="base64 of its value; null: it has none")]
    headers: Annotated[list[tuple[str, str | None]], Meta(description="[name, base64 of the value]")]
    error: Annotated[DeadError, Meta(description="why it is dead")]


Record = Post | Review | Decision | ModerationAction | Escalation | Care | DeadLetter

# Which record each topic carries, and which field is its key.
RECORD_OF: Final[dict[Topic, type[Any]]] = {
    Topic.POSTS: Post,
    Topic.STAFF_REVIEWS: Review,
    Topic.DECISIONS: Decision,
    Topic.ACTIONS: ModerationAction,
    Topic.ESCALATIONS: Escalation,
    Topic.CARE: Care,
    Topic.DEAD_LETTERS: DeadLetter,
}
KEY_FIELD: Final[dict[Topic, str | None]] = {
    Topic.POSTS: "author_id",
    Topic.STAFF_REVIEWS: "author_id",
    Topic.DECISIONS: "post_id",
    Topic.ACTIONS: "author_id",
    Topic.ESCALATIONS: "case_id",
    Topic.CARE: "author_id",
    Topic.DEAD_LETTERS: None,
}


def from_kafka_ms(timestamp_ms: int) -> datetime:
    """Kafka's milliseconds since the epoch as an aware time."""
    return datetime.fromtimestamp(timestamp_ms / 1000, UTC)


def to_kafka_ms(moment: datetime) -> int:
    """An aware time as Kafka's milliseconds since the epoch."""
    return round(moment.timestamp() * 1000)
