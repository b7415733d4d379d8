"""Which case and which decision a review is about, or why it is about none. Pure.

Whoever asks for something (an author who appeals, a victim or an authority who wants a post removed) is promised a
person's decision, also about what this program has forgotten: the rows of harmless posts go after `remember_days`, and
a post's row lists its last 50 decisions. A review stays a dead letter where it can be told that what it names never
was:

    the post has a row       a decision's id is the hash of the post and a revision, so any revision up to the latest
                             can be tried; a case has to be one that the post was in, and such rows are never forgotten
    the post has none        unknown, but for what is asked about a post of an author whom we have known for longer than
                             a row is kept. What staff decide themselves always names something that is there
"""

from dataclasses import dataclass
from typing import Final

from workers import cases
from workers.codec import decision_id
from workers.errors import BadRecord, Fault
from workers.events import Review, Verdict
from workers.judge import may_have_forgotten
from workers.policy import Policy
from workers.state import AuthorRow, Case, PostRow

ASKING: Final = (Verdict.APPEAL_FILED, Verdict.REMOVAL_REQUESTED)
_TRIED: Final = 1_000  # revisions; a post that was edited more often is not told apart from one that never was


@dataclass(frozen=True, slots=True)
class Subject:
    """What a review is about. `case` None: there is none yet, or the author's row has dropped it.

    `decision` is as reviews name it, "" where only the post is known; `revision` is its revision, 0 where unknown.
    `by_case`: the review names the case and no decision, so it speaks of that case's labels alone.
    """

    case: Case | None
    decision: str
    revision: int
    by_case: bool


def find(
    policy: Policy, author: AuthorRow, row: PostRow | None, review: Review, kafka_ms: int, *, shadow: bool
) -> Subject:
    """BadRecord (unknown_subject) where there is no such case or decision of this author and post."""
    row = row or PostRow()
    mine = cases.of_post(row)
    known = {case.case_id: case for case in author.cases if case.case_id in mine}
    named = review.decision_id or ""
    listed = named in row.decision_ids or named in row.cases
    revision = _revision(row, review.post_id, named)
    if review.case_id is not None and not shadow:  # in shadow, cases have other ids than reviews name
        if review.case_id not in mine:
            raise _unknown()
        case = known.get(review.case_id)
        if listed or revision:
            return Subject(case, named, revision, by_case=False)
        moved = [decision for decision in row.cases if review.case_id in cases.of_decision(row, decision)]
        return Subject(case, moved[-1], _revision(row, review.post_id, moved[-1]), by_case=case is not None)
    if review.decision_id is None and row.decision_ids:
        named, listed, revision = row.decision_ids[-1], True, row.latest_revision
    forgotten = not row.latest_revision and may_have_forgotten(policy, author, kafka_ms)
    beyond = review.verdict in ASKING and (forgotten or row.latest_revision > _TRIED)
    if not (listed or revision or beyond):
        raise _unknown()
    own_first = [*cases.of_decision(row, named), *mine]
    case = next((known[case_id] for case_id in own_first if case_id in known), None)
    return Subject(case, named, revision, by_case=False)


def _unknown() -> BadRecord:
    return BadRecord(Fault.UNKNOWN_SUBJECT, "no such case or decision of this author and post")


def _revision(row: PostRow, post_id: str, decision: str) -> int:
    """The revision that a decision is about, 0 where none up to the latest fits."""
    if decision in row.found:
        return row.found[decision].revision
    latest = row.latest_revision
    tried = (latest, *range(1, min(latest, _TRIED + 1)))
    return next((one for one in tried if one and decision_id(post_id, one) == decision), 0)
