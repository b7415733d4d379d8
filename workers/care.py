"""What reaches a person in distress: at most one message a day, and how soon somebody has to look. Pure.

Care is no penalty and is never joined with one: nothing here reads strikes, clauses or actions.
"""

from datetime import datetime
from typing import Final

from models.labels import DISTRESS
from workers import notices
from workers.codec import output_id
from workers.events import Care, Post, Priority, Topic
from workers.judge import Scored
from workers.policy import Policy
from workers.state import AuthorRow, changed

_MS_PER_HOUR: Final = 3_600_000


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
    """The record of a post in distress, and the author with the hour of the message if it holds one."""
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
    told: AuthorRow = author if recent else changed(author, care_ms=event_ms)
    return told, record
