"""Cases of the consultation queue: which a post calls for, which episode it belongs to, and their records. Pure.

One case per author, label group and episode; each post or review adds a record. A person's distress has a group of
its own, whose only routes are staff and, where it may be now, 110 and 119.
"""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import msgspec

from models.labels import DISTRESS
from workers.codec import encode, output_id, to_utc
from workers.events import (
    Dossier,
    DossierPost,
    Escalation,
    History,
    Post,
    Priority,
    Span,
    Topic,
    from_kafka_ms,
    to_kafka_ms,
)
from workers.policy import Policy
from workers.routes import routes
from workers.state import MAX_CASES, MAX_DECISION_IDS, MAX_WAITING, AuthorRow, Case, PostRow, Waits, changed

Status = Literal["open", "updated", "claimed", "handed_off", "answered", "closed", "reopened"]
AWAITING: Final = ("updated", "reopened", "claimed")  # after a review: a person still has to act
NO_GROUP: Final = "review"  # of a case about a post in which the model saw nothing
_MS_PER_DAY: Final = 86_400_000
_MORE: Final[tuple[Waits, ...]] = ("look", "decide", "asked")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A case that a post calls for."""

    group: str
    categories: list[str]
    priority: Priority
    care: bool
    in_distress: bool
    human: bool


def wanted(
    policy: Policy,
    violations: list[str],
    *,
    in_distress: bool,
    human: bool,
    distress_priority: Priority | None,
    imminent: bool,
    reports: int,
    watched: bool = False,
) -> list[Wanted]:
    """The cases one decision calls for, violations first, then the person's own.

    `watched`: people watch over this person already, so they hear of every further cry, however faint.
    """
    by_group: dict[str, list[str]] = {}
    for label in violations:
        rule = policy.data.labels[label]
        if rule.escalate == "always" or (rule.escalate == "human" and human) or (in_distress and human):
            by_group.setdefault(rule.group, []).append(label)
    if human and not by_group:  # a hold waits for a person, whatever `escalate` says
        for label in violations:
            by_group.setdefault(policy.data.labels[label].group, []).append(label)
    found = []
    for group, labels in by_group.items():
        priority = min(policy.data.labels[label].priority for label in labels)
        if imminent and "suicide_inducement" in labels:
            priority = Priority.P0
        if reports >= policy.data.reports_raise.at:
            priority = min(priority, policy.data.reports_raise.to)
        found.append(Wanted(group, labels, priority, False, in_distress, human))
    urgent = distress_priority in (Priority.P0, Priority.P1)
    if distress_priority and (urgent or watched or (human and not violations)):
        found.append(Wanted(policy.data.distress.group, [DISTRESS], distress_priority, True, True, True))
    return found


def current(policy: Policy, author: AuthorRow, group: str, event_ms: int) -> Case | None:
    """The author's open case of this group whose episode `event_ms` belongs to."""
    gap_ms = policy.data.windows.episode_days * _MS_PER_DAY
    open_ones = (case for case in author.cases if case.group == group and case.status != "closed")
    return next((case for case in open_ones if abs(event_ms - case.last_ms) <= gap_ms), None)


def find_or_open(
    policy: Policy, author: AuthorRow, want: Wanted, event_ms: int, at: datetime, post_id: str, decision: str
) -> tuple[AuthorRow, Case]:
    """The author's open case of this group and episode, or a new one; `at` is the record's Kafka timestamp."""
    case = current(policy, author, want.group, event_ms)
    if case is not None:
        priority = min(case.priority, want.priority)
        updated: Case = changed(
            case,
            status="updated",
            priority=priority,
            human=case.human or want.human,
            waiting=waits(waiting(case), post_id, "decide" if want.human else "look"),
            due_ms=due_ms(policy, priority, at, case.due_ms),
            last_ms=max(case.last_ms, event_ms),
            post_id=post_id,
            decision_id=decision,
            categories=list(dict.fromkeys([*case.categories, *want.categories])),
            in_distress=case.in_distress or want.in_distress,
        )
        return replace(author, updated), updated
    opened = Case(
        case_id=output_id(Topic.ESCALATIONS, decision, f"case:{want.group}"),
        group=want.group,
        status="open",
        priority=want.priority,
        last_ms=event_ms,
        post_id=post_id,
        decision_id=decision,
        categories=want.categories,
        in_distress=want.in_distress,
        human=want.human,
        waiting={post_id: "decide" if want.human else "look"},
        due_ms=due_ms(policy, want.priority, at),
    )
    return changed(author, cases=[*author.cases, opened][-MAX_CASES:]), opened


# -- what waits ------------------------------------------------------------------------------------------------------


def waiting(case: Case) -> dict[str, Waits]:
    """The posts of a case that nobody is through with. Rows from before this was kept know the last one."""
    if case.waiting is not None:
        return case.waiting
    return {} if case.status == "closed" else {case.post_id: "decide" if case.human else "look"}


def waits(known: dict[str, Waits], post_id: str, what: Waits) -> dict[str, Waits]:
    """With one more post. Where there are too many, "" stands for the rest, and no verdict on a post takes it out."""
    before = known.get(post_id, "look")
    what = max(before, what, key=_MORE.index)
    return known | {post_id if post_id in known or len(known) < MAX_WAITING else "": what}


def without(known: dict[str, Waits], post_id: str) -> dict[str, Waits]:
    """With one post less."""
    return {post: what for post, what in known.items() if post != post_id}


def decides(known: dict[str, Waits]) -> bool:
    """Whether a person has to decide on any of them."""
    return any(what != "look" for what in known.values())


def hearing(
    author: AuthorRow, row: PostRow, post_id: str, called: Collection[str] | None, *, clean: bool
) -> list[Case]:
    """The open cases that hear of a deletion (`called` None), or of an edit that calls for the groups `called` only.

    An edit is told where the post waits, and a `clean` one also where the text before it was a matter of the case.
    """
    if called is None:
        touched = of_post(row)
    else:
        touched = of_decision(row, row.decision_ids[-1]) if clean and row.decision_ids else []
        touched += [case.case_id for case in author.cases if post_id in waiting(case) and case.group not in called]
    return [case for case in author.cases if case.status != "closed" and case.case_id in touched]


def heard(
    policy: Policy, case: Case, post_id: str, decision: str, at: datetime, *, in_distress: bool, done: bool, gone: bool
) -> Case:
    """An open case after its author deleted (`gone`) or edited one of its posts so that it is `done` there.

    What a person asked for waits on, and so does whatever somebody in distress wrote. A deletion leaves it to the
    person who was called to say that nothing follows from what was said.
    """
    known = waiting(case)
    ends = done and not (in_distress or case.in_distress) and known.get(post_id) != "asked"
    left = without(known, post_id) if ends else known
    updated: Case = changed(
        case,
        status="updated",
        decision_id=decision if case.post_id == post_id else case.decision_id,
        in_distress=case.in_distress or in_distress,
        waiting=left,
        human=case.human and (gone or not ends or decides(left)),
        due_ms=due_ms(policy, case.priority, at, case.due_ms),
    )
    return updated


def due_ms(policy: Policy, priority: Priority, at: datetime, before: int = 0) -> int:
    """When a person must have looked. What comes while the case waits for one never puts that off."""
    due = to_kafka_ms(at + policy.data.clocks.due(priority))
    return min(due, before) if before else due


def replace(author: AuthorRow, case: Case) -> AuthorRow:
    """`author` with the case of the same id exchanged."""
    updated: AuthorRow = changed(author, cases=[case if old.case_id == case.case_id else old for old in author.cases])
    return updated


# -- which case ------------------------------------------------------------------------------------------------------


def joined(row: PostRow, decision: str, case: Case) -> PostRow:
    """The post's row that knows which cases a decision has; of several the first is its own."""
    before = of_decision(row, decision)
    if case.case_id in before:
        return row
    now: PostRow
    if before:
        more = row.more_cases | {decision: [*before[1:], case.case_id]}
        now = changed(row, more_cases=dict([*more.items()][-MAX_DECISION_IDS:]))
    else:
        now = changed(row, cases=dict([*row.cases.items(), (decision, case.case_id)][-MAX_DECISION_IDS:]))
    return now


def of_decision(row: PostRow, decision: str) -> list[str]:
    """The cases of one decision of a post, its own first."""
    own = [row.cases[decision]] if decision in row.cases else []
    return own + row.more_cases.get(decision, [])


def of_post(row: PostRow) -> list[str]:
    """The cases that a post was ever in, the one of its latest decision first."""
    latest_first = [case for decision in reversed(row.cases) for case in of_decision(row, decision)]
    return list(dict.fromkeys(latest_first))


# -- records ---------------------------------------------------------------------------------------------------------


def evidence_hash(post: DossierPost) -> str:
    """Hex SHA-256 of the post as canonical JSON."""
    return hashlib.sha256(encode(post)).hexdigest()


def dossier(post: Post, scores: dict[str, float], spans: list[Span], past: History, at: datetime) -> Dossier:
    """The evidence, sealed by the hash of its canonical JSON."""
    evidence = DossierPost(
        post_id=post.post_id, revision=post.revision, text=post.text, occurred_at=to_utc(post.occurred_at)
    )
    return _sealed(evidence, past, at, post.url, spans, scores)


def bare_dossier(post_id: str, revision: int, written: datetime, past: History, at: datetime) -> Dossier:
    """Of a post that had no case when it was decided: its text was not kept, so this is what is known of it."""
    evidence = DossierPost(post_id=post_id, revision=revision, text=None, occurred_at=written)
    return _sealed(evidence, past, at, None, [], {})


def _sealed(
    post: DossierPost, past: History, at: datetime, url: str | None, spans: list[Span], scores: dict[str, float]
) -> Dossier:
    return Dossier(
        post=post,
        url=url,
        spans=spans,
        scores=scores,
        author_history=past,
        sha256=evidence_hash(post),
        collected_at=at,
    )


def record(
    policy: Policy,
    model_version: str,
    case: Case,
    evidence: Dossier,
    author_id: str,
    cause: str,
    reasons: list[str],
) -> Escalation:
    """The record that a decision adds to its case."""
    return Escalation(
        escalation_id=record_id(cause, case.case_id),
        case_id=case.case_id,
        status="open" if case.status == "open" else "updated",
        decision_id=case.decision_id,
        post_id=case.post_id,
        author_id=author_id,
        priority=case.priority,
        due_at=from_kafka_ms(case.due_ms),
        routes=routes(policy, _violations(case), case.priority, in_distress=case.in_distress),
        categories=case.categories,
        dossier=evidence,
        human_required=case.human,
        reasons=reasons,
        policy_version=policy.version,
        model_version=model_version,
        previous_sha256=case.head or None,
    )


def follow_up(
    policy: Policy,
    model_version: str,
    case: Case,
    stored_dossier: bytes,
    author_id: str,
    cause: str,
    at: datetime,
    reasons: list[str],
    status: Status = "updated",
) -> Escalation:
    """The record that a deletion or a review adds, with the evidence as collected before."""
    return Escalation(
        escalation_id=record_id(cause, case.case_id),
        case_id=case.case_id,
        status=status,
        decision_id=case.decision_id,
        post_id=case.post_id,
        author_id=author_id,
        priority=case.priority,
        due_at=from_kafka_ms(case.due_ms or due_ms(policy, case.priority, at)),
        routes=routes(policy, _violations(case), case.priority, in_distress=case.in_distress),
        categories=case.categories,
        dossier=msgspec.json.decode(stored_dossier, type=Dossier),
        human_required=case.human,
        reasons=reasons,
        policy_version=policy.version,
        model_version=model_version,
        previous_sha256=case.head or None,
    )


def sealed(author: AuthorRow, record: Escalation) -> tuple[AuthorRow, bytes]:
    """The author's row whose case names `record` as its last, and the record's bytes: a chain, see docs/evidence.md."""
    value = encode(record)
    case = next(case for case in author.cases if case.case_id == record.case_id)
    return replace(author, changed(case, head=hashlib.sha256(value).hexdigest())), value


def _violations(case: Case) -> list[str]:
    """The labels by which its bodies go: those of the whole case, not of the post that moved it last."""
    return [label for label in case.categories if label != DISTRESS]


def record_id(cause: str, case_id: str) -> str:
    """A deletion can move two cases of one group, of two episodes: the case tells their records apart."""
    return output_id(Topic.ESCALATIONS, cause, f"escalation:{case_id}")
