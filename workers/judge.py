"""What the scores of one post and the author's past lead to. Pure; step 2 of workers.decide.

Guarantee 4 lives in `judge`: a post flagged `distress` gets no automated action but limit_visibility, and that only
beside a grave violation; anything else needs a human.
"""

from dataclasses import dataclass
from typing import Final

from models.labels import BY_ID, DISTRESS
from workers.events import Action, History, Post, Span
from workers.policy import MILD_TO_HARSH, SEVERITIES, Policy, Severity
from workers.state import AuthorRow

_MS_PER_DAY: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Scored:
    """What the classifier said: calibrated scores, spans of the labels over their thresholds."""

    scores: dict[str, float]
    spans: list[Span]
    imminent: bool


@dataclass(frozen=True, slots=True)
class Judgement:
    """Step 2's answer."""

    flagged: list[str]
    violations: list[str]
    in_distress: bool
    severity: Severity
    action: Action
    clause: str
    clauses: list[str]
    human: bool
    reasons: list[str]
    label: str = ""  # the violation whose rung was taken


def history(policy: Policy, author: AuthorRow, event_ms: int, *, but: str = "") -> History:
    """Counts inside the strike window at `event_ms`; `but` is a post already counted, which is left out.

    A post that is a strike already stays the nth that it was: an edit does not count what came after it.
    """
    event_ms = min([event_ms, *(s.at_ms - 1 for s in author.strikes if s.post_id == but)])
    since = event_ms - policy.data.windows.strike_days * _MS_PER_DAY
    standing = [s for s in author.strikes if since <= s.at_ms <= event_ms and s.post_id != but]
    by_label: dict[str, int] = {}
    for strike in standing:
        for label in strike.labels:
            by_label[label] = by_label.get(label, 0) + 1
    return History(
        posts=author.posts - bool(but),
        strikes=len(standing),
        strikes_by_label=by_label,
        confirmed=sum(s.confirmed for s in standing),
        suspended=author.suspended,
    )


def may_have_forgotten(policy: Policy, author: AuthorRow, kafka_ms: int) -> bool:
    """Whether rows of this author's harmless posts can be gone: none is before the author was known for that long."""
    remember_ms = policy.data.windows.remember_days * _MS_PER_DAY
    return author.posts > 0 and kafka_ms - author.since_ms >= remember_ms


def judge(policy: Policy, scored: Scored, past: History, post: Post) -> Judgement:
    flagged = policy.flagged(scored.scores)
    violations = [label for label in flagged if label != DISTRESS]
    in_distress = DISTRESS in flagged
    reasons = [
        policy.reason("flagged", label=BY_ID[label].japanese, threshold=policy.thresholds[label])
        for label in violations
    ]
    if in_distress:
        reasons.append(policy.reason("distress"))
    if not violations:
        reasons += _circumstances(policy, scored, post, flagged) if in_distress else [policy.reason("benign")]
        return Judgement(flagged, [], in_distress, "none", Action.NONE, "", [], False, reasons)
    worst_rank, chosen, human = -1, violations[0], False
    action = Action.NONE
    severities: list[Severity] = []
    for label in violations:
        score = scored.scores[label]
        ladder = policy.ladder(label, score)
        severities.append(policy.severity(label, score))
        before = past.strikes if ladder.count == "any" else past.strikes_by_label.get(label, 0)
        rung = ladder.rungs[min(before, len(ladder.rungs) - 1)]
        rank = MILD_TO_HARSH.index(rung.action)
        human = human or rung.human
        if rank > worst_rank:
            worst_rank, chosen, action = rank, label, rung.action
    severity = max(severities, key=SEVERITIES.index)
    if past.strikes:
        reasons.append(policy.reason("rung", days=policy.data.windows.strike_days, count=past.strikes + 1))
    if severity == "borderline" and any(policy.data.labels[v].severity != "borderline" for v in violations):
        reasons.append(policy.reason("borderline"))
    if past.confirmed >= policy.data.suspend_after_confirmed:
        reasons.append(policy.reason("suspend", days=policy.data.windows.strike_days, count=past.confirmed))
        action, human = max(action, Action.SUSPEND, key=MILD_TO_HARSH.index), True
    if action not in policy.data.authority.model:
        reasons.append(policy.reason("authority", action=action.value))
        action, human = policy.data.authority.held_as, True
    if in_distress:
        reasons.append(policy.reason("distress_with_violation"))
        action, human = (Action.LIMIT_VISIBILITY if severity == "grave" else Action.NONE), True
    reasons += _circumstances(policy, scored, post, flagged)
    clauses = list(dict.fromkeys(policy.data.labels[label].clause for label in violations))
    clause = policy.data.labels[chosen].clause
    return Judgement(flagged, violations, in_distress, severity, action, clause, clauses, human, reasons, chosen)


def _circumstances(policy: Policy, scored: Scored, post: Post, flagged: list[str]) -> list[str]:
    """What makes a case more urgent."""
    reasons = []
    if scored.imminent and ("suicide_inducement" in flagged or DISTRESS in flagged):
        reasons.append(policy.reason("imminent"))
    if post.minor_suspected:
        reasons.append(policy.reason("minor"))
    if post.reports >= policy.data.reports_raise.at:
        reasons.append(policy.reason("reports", count=post.reports))
    return reasons
