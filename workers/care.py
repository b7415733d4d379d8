"""What reaches a person in distress: at most one message a day, and how soon somebody has to look. Pure.

Care is no penalty and is never joined with one: nothing here reads strikes or clauses. What is done about other posts
of a person who was lately in distress waits for people (`considerate`).
"""

from dataclasses import replace
from datetime import datetime
from typing import Final

from models.labels import DISTRESS
from workers import notices
from workers.codec import output_id
from workers.events import Action, Care, Post, Priority, Topic
from workers.judge import Judgement, Scored
from workers.policy import Policy
from workers.state import AuthorRow, changed

_MS_PER_HOUR: Final = 3_600_000
_MS_PER_DAY: Final = 24 * _MS_PER_HOUR
# What the machine may do about somebody lately in distress: nothing that is for good, and nothing by a deadline.
_MILD: Final = (Action.NONE, Action.WARN, Action.LIMIT_VISIBILITY)


def lately_in_distress(policy: Policy, author: AuthorRow, moment_ms: int) -> bool:
    """Whether a recent post of the author showed distress at `moment_ms` (ms since the epoch), or a later one does.

    Rows from before `distress_ms` was kept know when care was last sent.
    """
    cries = [moment for moment in (author.distress_ms, author.care_ms) if moment is not None]
    return bool(cries) and moment_ms <= max(cries) + policy.data.windows.distress_days * _MS_PER_DAY


def considerate(policy: Policy, judgement: Judgement) -> Judgement:
    """What follows from a post whose author was lately in distress: a person decides on what else a clock would, or
    the machine for good. A request for removal is made all the same, without a deadline.
    """
    if judgement.in_distress or judgement.action in _MILD:
        return judgement
    asks = judgement.action is Action.REQUEST_REMOVAL
    return replace(judgement, action=judgement.action if asks else policy.data.authority.held_as, human=True)


def priority(policy: Policy, scored: Scored, post: Post) -> Priority:
    """How soon: signs that it may be now come first, then a high score and a minor."""
    rule = policy.data.distress
    if scored.imminent:
        return Priority.P0
    urgent = scored.scores[DISTRESS] >= rule.urgent_above or post.minor_suspected
    return rule.urgent_priority if urgent else rule.priority


def reach_out(
    policy: Policy,
    model_version: str,
    author: AuthorRow,
    post: Post,
    scored: Scored,
    decision: str,
    event_ms: int,
    at: datetime,
) -> tuple[AuthorRow, Care]:
    """The record of a post in distress, and the author with its hour, and that of the message if it holds one."""
    recent = author.care_ms is not None and event_ms < author.care_ms + policy.data.windows.care_hours * _MS_PER_HOUR
    reasons = [policy.reason("distress")]
    if scored.imminent:
        reasons.append(policy.reason("imminent"))
    if recent:
        reasons.append(policy.reason("care_recent"))
    urgency = priority(policy, scored, post)
    record = Care(
        care_id=output_id(Topic.CARE, decision, "care"),
        decision_id=decision,
        post_id=post.post_id,
        author_id=post.author_id,
        priority=urgency,
        message=None if recent else notices.care_message(policy),
        due_at=at + policy.data.clocks.due(urgency),
        reasons=reasons,
        policy_version=policy.version,
        model_version=model_version,
    )
    cried: AuthorRow = changed(author, distress_ms=event_ms)  # of two, state.apply_effect keeps the later one
    return cried if recent else changed(cried, care_ms=event_ms), record
