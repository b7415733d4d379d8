"""Cases of the consultation queue: which a post calls for, which episode it belongs to, and their records. Pure.

One case per author, label group and episode; each post or review adds a record. A person's distress has a group of
its own, whose only routes are staff and, where it may be now, 110 and 119.
"""

import hashlib
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
from workers.state import MAX_CASES, MAX_DECISION_IDS, AuthorRow, Case, changed

Status = Literal["open", "updated", "claimed", "handed_off", "answered", "closed", "reopened"]
AWAITING: Final = ("updated", "reopened", "claimed")  # after a review: a person still has to act
_MS_PER_DAY: Final = 86_400_000


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
) -> list[Wanted]:
    """The cases one decision calls for, violations first, then the person's own."""
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
    if distress_priority in (Priority.P0, Priority.P1) or (distress_priority and human and not violations):
        found.append(Wanted(policy.data.distress.group, [DISTRESS], distress_priority, True, True, True))
    return found


def find_or_open(
    policy: Policy, author: AuthorRow, want: Wanted, event_ms: int, at: datetime, post_id: str, decision: str
) -> tuple[AuthorRow, Case]:
    """The author's open case of this group and episode, or a new one; `at` is the record's Kafka timestamp."""
    gap_ms = policy.data.windows.episode_days * _MS_PER_DAY
    for case in author.cases:
        if case.group == want.group and case.status != "closed" and abs(event_ms - case.last_ms) <= gap_ms:
            priority = min(case.priority, want.priority)
            updated: Case = changed(
                case,
                status="updated",
                priority=priority,
                human=case.human or want.human,
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
        due_ms=due_ms(policy, want.priority, at),
    )
    return changed(author, cases=[*author.cases, opened][-MAX_CASES:]), opened


def due_ms(policy: Policy, priority: Priority, at: datetime, before: int = 0) -> int:
    """When a person must have looked. What comes while the case waits for one never puts that off."""
    due = to_kafka_ms(at + policy.data.clocks.due(priority))
    return min(due, before) if before else due


def replace(author: AuthorRow, case: Case) -> AuthorRow:
    """`author` with the case of the same id exchanged."""
    updated: AuthorRow = changed(author, cases=[case if old.case_id == case.case_id else old for old in author.cases])
    return updated


def with_decision(known: dict[str, str], decision: str, case: Case) -> dict[str, str]:
    """A post's decisions and their cases, this one added; of a decision's several cases the first is its own."""
    return dict([*known.items(), (decision, known.get(decision, case.case_id))][-MAX_DECISION_IDS:])


def evidence_hash(post: DossierPost) -> str:
    """Hex SHA-256 of the post as canonical JSON."""
    return hashlib.sha256(encode(post)).hexdigest()


def dossier(post: Post, scores: dict[str, float], spans: list[Span], past: History, at: datetime) -> Dossier:
    """The evidence, sealed by the hash of its canonical JSON."""
    evidence = DossierPost(
        post_id=post.post_id, revision=post.revision, text=post.text, occurred_at=to_utc(post.occurred_at)
    )
    return Dossier(
        post=evidence,
        url=post.url,
        spans=spans,
        scores=scores,
        author_history=past,
        sha256=evidence_hash(evidence),
        collected_at=at,
    )


def record(
    policy: Policy,
    model_version: str,
    want: Wanted,
    case: Case,
    evidence: Dossier,
    author_id: str,
    cause: str,
    reasons: list[str],
) -> Escalation:
    """The record that a decision adds to its case."""
    return Escalation(
        escalation_id=_record_id(cause, case),
        case_id=case.case_id,
        status="open" if case.status == "open" else "updated",
        decision_id=case.decision_id,
        post_id=case.post_id,
        author_id=author_id,
        priority=case.priority,
        due_at=from_kafka_ms(case.due_ms),
        routes=routes(policy, want.categories, case.priority, in_distress=case.in_distress),
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
    violations = [label for label in case.categories if label != DISTRESS]
    return Escalation(
        escalation_id=_record_id(cause, case),
        case_id=case.case_id,
        status=status,
        decision_id=case.decision_id,
        post_id=case.post_id,
        author_id=author_id,
        priority=case.priority,
        due_at=from_kafka_ms(case.due_ms or due_ms(policy, case.priority, at)),
        routes=routes(policy, violations, case.priority, in_distress=case.in_distress),
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


def _record_id(cause: str, case: Case) -> str:
    """A deletion can move two cases of one group, of two episodes: the case tells their records apart."""
    return output_id(Topic.ESCALATIONS, cause, f"escalation:{case.case_id}")
