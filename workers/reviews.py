"""One staff review, appeal or outside request, one author's state → the next state and every record owed. Pure.

A review always adds a record to its case (opening one where the decision had none), so staff see every step; a human
verdict may emit an action (`automated` false). A termination needs two people. Not here yet: business calendars, lanes
per requester, legal evidence (the policy issue).
"""

from datetime import timedelta
from typing import Final

from models.labels import DISTRESS
from workers import cases, notices
from workers.cases import Status
from workers.codec import encode, make_id, output_id
from workers.decide import Context, source_name
from workers.errors import BadRecord, Fault
from workers.events import (
    Action,
    Dossier,
    DossierPost,
    ModerationAction,
    Priority,
    Review,
    Source,
    Topic,
    Verdict,
    from_kafka_ms,
    to_kafka_ms,
)
from workers.judge import history
from workers.state import (
    MAX_CASES,
    MAX_STRIKES,
    AuthorRow,
    Case,
    Clock,
    Entry,
    Output,
    PostRow,
    Strike,
    changed,
    effect_between,
)

STATUS_AFTER: Final[dict[Verdict, Status]] = {
    Verdict.CONFIRM: "updated",
    Verdict.OVERTURN: "closed",
    Verdict.CHANGE_ACTION: "updated",
    Verdict.HOLD: "claimed",
    Verdict.LEGAL_HOLD: "claimed",
    Verdict.HAND_OFF: "handed_off",
    Verdict.ANSWERED: "answered",
    Verdict.CLOSE: "closed",
    Verdict.REOPEN: "reopened",
    Verdict.APPEAL_FILED: "reopened",
    Verdict.APPEAL_GRANTED: "closed",
    Verdict.APPEAL_DENIED: "closed",
    Verdict.REMOVAL_REQUESTED: "updated",
}


def content_of(review: Review) -> str:
    """What must be the same when a review is sent again."""
    return make_id(encode(review).decode())


def decide_review(
    context: Context, author: AuthorRow, row: PostRow | None, review: Review, source: Source, kafka_ms: int
) -> Entry:
    """A review not seen before."""
    row = row or PostRow()
    own = row.cases
    known = {case.case_id: case for case in author.cases if case.case_id in own.values()}
    if review.case_id is not None and not context.shadow:
        case = known.get(review.case_id)
        found = case is not None
    else:  # the decision's own case, else the post's last one; in shadow, cases have other ids than reviews name
        own_first = [own.get(review.decision_id or ""), *reversed(own.values())]
        case = next((known[case_id] for case_id in own_first if case_id in known), None)
        found = bool(row.decision_ids) if review.case_id else review.decision_id in (*row.decision_ids, *own)
    if not found:
        raise BadRecord(Fault.UNKNOWN_SUBJECT, "no such case or decision of this author and post")
    draft = _Draft(context, author, row, review, kafka_ms)
    draft.apply(case)
    return draft.entry(source)


class _Draft:
    def __init__(self, context: Context, author: AuthorRow, row: PostRow, review: Review, kafka_ms: int) -> None:
        self.context, self.policy = context, context.policy
        self.before = self.author = author
        self.row, self.review = row, review
        self.at = from_kafka_ms(kafka_ms)
        self.event_ms = min(to_kafka_ms(review.occurred_at), kafka_ms)
        self.outputs: list[Output] = []
        self.clocks_set: list[Clock] = []
        self.clocks_cleared: list[Clock] = []
        self.reasons = [self.policy.reason("review", verdict=review.verdict.value)]

    def apply(self, case: Case | None) -> None:
        verdict = self.review.verdict
        if verdict is Verdict.CONFIRM:
            self._confirm()
        elif verdict in (Verdict.OVERTURN, Verdict.APPEAL_GRANTED):
            self._undo()
        elif verdict is Verdict.CHANGE_ACTION and self.review.action is not None:
            self._change(self.review.action)
        self._add_to_case(case)

    def _confirm(self) -> None:
        strikes = [s for s in self.author.strikes if s.post_id != self.review.post_id]
        mine = next((s for s in self.author.strikes if s.post_id == self.review.post_id), None)
        if mine is None and self.row.labels:
            mine = Strike(
                post_id=self.review.post_id,
                labels=self.row.labels,
                at_ms=self.row.last_ms,
                decision_id=self.row.decision_id,
            )
        if mine is not None:
            kept = sorted([*strikes, changed(mine, confirmed=True)], key=lambda s: (s.at_ms, s.post_id))
            self.author = changed(self.author, strikes=kept[-MAX_STRIKES:])

    def _undo(self) -> None:
        strikes = [s for s in self.author.strikes if s.post_id != self.review.post_id]
        self.author = changed(self.author, strikes=strikes)
        self.row = changed(self.row, terminate_first="")
        self._clear_clock()
        if self.row.standing is not Action.NONE:
            self._emit(Action.RESTORE)

    def _change(self, action: Action) -> None:
        if action is Action.TERMINATE and self.row.terminate_first in ("", self.review.reviewer_id):
            self.row = changed(self.row, terminate_first=self.review.reviewer_id)
            self.reasons.append(self.policy.reason("second_person"))
            return
        self.row = changed(self.row, terminate_first="")
        self._clear_clock()
        if action is Action.NONE and self.row.standing is not Action.NONE:
            action = Action.RESTORE  # nothing in its place: the platform has to undo what it was told
        if action is not Action.NONE:
            self._emit(action)

    def _clear_clock(self) -> None:
        if self.row.clock is not None:
            self.clocks_cleared.append(self.row.clock)
            self.row = changed(self.row, clock=None)

    def _emit(self, action: Action) -> None:
        clocks = self.policy.data.clocks
        lifts = action is Action.RESTORE
        # No clock may act on a person in distress; a request of staff stands until staff act again.
        asks = action is Action.REQUEST_REMOVAL and not self.row.in_distress
        due_at = self.at + timedelta(hours=clocks.removal_hours) if asks else None
        appeal_until = None if lifts else self.at + timedelta(days=clocks.appeal_days)
        clause = "" if lifts else self.row.clause
        record = ModerationAction(
            action_id=output_id(Topic.ACTIONS, self.review.review_id, action.value),
            cause=self.review.review_id,
            automated=False,
            decision_id=self.row.decision_id,
            post_id=self.review.post_id,
            author_id=self.review.author_id,
            action=action,
            clause=clause,
            reasons=list(self.reasons),
            notice=notices.notice(
                self.policy,
                action,
                clause=clause,
                labels=self.row.labels,
                due_at=due_at,
                appeal_until=appeal_until,
                in_distress=self.row.in_distress and not lifts,
            ),
            due_at=due_at,
            reversible=action not in (Action.REMOVE, Action.SUSPEND, Action.TERMINATE),
            appeal_until=appeal_until,
            supersedes=[self.row.standing_id] if self.row.standing_id else [],
            policy_version=self.policy.version,
            model_version=self.context.model_version,
        )
        self._owe(Topic.ACTIONS, self.review.author_id, encode(record))
        if self.row.standing in (Action.SUSPEND, Action.TERMINATE) and action is not Action.TERMINATE:
            self.author = changed(self.author, suspended=False)
        self.row = changed(
            self.row,
            standing=Action.NONE if lifts else action,
            standing_id="" if lifts else record.action_id,
            standing_automated=False,
        )
        if action is Action.SUSPEND:
            self.author = changed(self.author, suspended=True)
        if due_at is not None and not self.context.shadow:
            clock = Clock(action_id=record.action_id, due_ms=to_kafka_ms(due_at))
            self.row = changed(self.row, clock=clock)
            self.clocks_set.append(clock)

    def _owe(self, topic: Topic, key: str, value: bytes) -> None:
        if not self.context.shadow:
            self.outputs.append(Output(topic=topic, key=key.encode(), value=value))

    def _add_to_case(self, case: Case | None) -> None:
        status = STATUS_AFTER[self.review.verdict]
        if case is None:
            case = self._opened()
            self.author = changed(self.author, cases=[*self.author.cases, case][-MAX_CASES:])
            self.row = changed(self.row, cases=cases.with_decision(self.row.cases, case.decision_id, case))
        priority = Priority.P2 if self.review.verdict is Verdict.REMOVAL_REQUESTED else case.priority
        updated: Case = changed(
            case,
            status=status,
            priority=min(case.priority, priority),
            last_ms=max(case.last_ms, self.event_ms),
            in_distress=case.in_distress or self.row.in_distress,
            human=status in cases.AWAITING,
            due_ms=0,
        )
        self.author = cases.replace(self.author, updated)
        own_decision = case.decision_id if case.post_id == self.review.post_id else self.row.decision_id
        # The record is about the post reviewed, also where the case has moved on to another.
        concerned = changed(updated, post_id=self.review.post_id, decision_id=self.review.decision_id or own_decision)
        record = cases.follow_up(
            self.policy,
            self.context.model_version,
            concerned,
            self.row.dossier or self._evidence(),
            self.review.author_id,
            self.review.review_id,
            self.at,
            self.reasons,
            status,
        )
        self.author, value = cases.sealed(self.author, record)
        self._owe(Topic.ESCALATIONS, case.case_id, value)

    def _opened(self) -> Case:
        """A decision that had no case gets one by its first review."""
        group = self.policy.data.labels[self.row.labels[0]].group if self.row.labels else "review"
        return Case(
            case_id=output_id(Topic.ESCALATIONS, self.review.review_id, f"case:{group}"),
            group=group,
            status="open",
            priority=Priority.P3,
            last_ms=self.event_ms,
            post_id=self.review.post_id,
            decision_id=self.review.decision_id or self.row.decision_id,
            categories=[label for label in self.row.labels if label != DISTRESS],
            in_distress=self.row.in_distress,
        )

    def _evidence(self) -> bytes:
        """A post that never had a case: its text was not kept; the dossier says what is known."""
        post = DossierPost(
            post_id=self.review.post_id,
            revision=self.row.latest_revision,
            text=None,
            occurred_at=from_kafka_ms(self.row.last_ms),
        )
        return encode(
            Dossier(
                post=post,
                url=None,
                spans=[],
                scores={},
                author_history=history(self.policy, self.author, self.event_ms, but=self.review.post_id),
                sha256=cases.evidence_hash(post),
                collected_at=self.at,
            )
        )

    def entry(self, source: Source) -> Entry:
        """Close the draft."""
        return Entry(
            source=source_name(source),
            content=content_of(self.review),
            post=changed(self.row, version=self.row.version + 1),
            effect=effect_between(self.before, self.author),
            outputs=self.outputs,
            clocks_set=self.clocks_set,
            clocks_cleared=self.clocks_cleared,
        )
