"""One staff review, appeal or outside request, one author's state → the next state and every record owed. Pure.

A review always adds a record to its case (opening one where the decision had none), so staff see every step; a human
verdict may emit an action (`automated` false). It counts for what it names: the decision, its labels, its post. What a
later revision was found to be, and what else waits in the case, stays as it is. A termination needs a suspension and
two people. Not here yet: business calendars, lanes per requester, legal evidence (the policy issue).
"""

import re
from datetime import timedelta
from typing import Final

from models.labels import DISTRESS
from workers import care, cases, notices, standing, strikes
from workers.cases import Status
from workers.codec import encode, make_id, output_id
from workers.decide import Context, source_name
from workers.errors import BadRecord, Fault
from workers.events import (
    Action,
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
    AuthorRow,
    Case,
    Clock,
    Entry,
    Output,
    PostRow,
    changed,
    effect_between,
)
from workers.subject import Subject, find

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
_UNDOES: Final = (Verdict.OVERTURN, Verdict.APPEAL_GRANTED)
_ENDS: Final = (*_UNDOES, Verdict.APPEAL_DENIED)  # the matter of one post; the case only where nothing else waits
_ASKS: Final = (Verdict.HOLD, Verdict.LEGAL_HOLD, Verdict.REOPEN, Verdict.APPEAL_FILED, Verdict.REMOVAL_REQUESTED)
_FILED: Final = (Verdict.APPEAL_FILED, Verdict.REMOVAL_REQUESTED)  # nobody of the staff has looked by that
_PASSED_ON: Final = (Verdict.HAND_OFF, Verdict.ANSWERED)
_OF_THE_POST: Final = (*_ENDS, Verdict.CONFIRM, Verdict.CHANGE_ACTION)


def content_of(review: Review) -> str:
    """What must be the same when a review is sent again."""
    return make_id(encode(review).decode())


def decide_review(
    context: Context, author: AuthorRow, row: PostRow | None, review: Review, source: Source, kafka_ms: int
) -> Entry:
    """A review not seen before."""
    subject = find(context.policy, author, row, review, kafka_ms, shadow=context.shadow)
    if review.clause is not None and review.clause not in context.policy.data.clauses:
        raise BadRecord(Fault.UNKNOWN_SUBJECT, "the policy has no clause of the id in `clause`")
    draft = _Draft(context, author, row or PostRow(), review, subject, kafka_ms)
    draft.apply()
    return draft.entry(source)


class _Draft:
    def __init__(
        self, context: Context, author: AuthorRow, row: PostRow, review: Review, subject: Subject, kafka_ms: int
    ) -> None:
        self.context, self.policy = context, context.policy
        self.before = self.author = author
        self.row, self.review, self.subject = row, review, subject
        self.at = from_kafka_ms(kafka_ms)
        self.event_ms = min(to_kafka_ms(review.occurred_at), kafka_ms)
        # No clock may act on a person in distress; a request of staff stands until staff act again.
        self.gentle = row.in_distress or care.lately_in_distress(self.policy, author, self.event_ms)
        self.carried_out = False  # a change of action was
        self.asks = False  # for one more decision by a person
        self.outputs: list[Output] = []
        self.clocks_set: list[Clock] = []
        self.clocks_cleared: list[Clock] = []
        self.reasons = [self.policy.reason("review", verdict=review.verdict.value)]

    def apply(self) -> None:
        verdict, post_id = self.review.verdict, self.review.post_id
        if verdict is Verdict.CONFIRM:
            self._confirm()
        elif verdict in _UNDOES:
            self._undo()
        elif verdict is Verdict.CHANGE_ACTION and self.review.action is not None:
            self._change(self.review.action)
        elif verdict is Verdict.APPEAL_FILED:
            self._stop_clock()
        elif verdict is Verdict.APPEAL_DENIED:
            self._ask_again()
        elif verdict is Verdict.REOPEN:
            self.author, self.row = strikes.reopen(self.author, self.row, post_id, self._named())
        case = self.subject.case or self._opened()
        self._add_to(case)
        if verdict in _UNDOES and not self.subject.by_case and not self._is_care(case):
            for other in self.author.cases:
                if other.case_id != case.case_id and self._is_over_in(other):
                    self._add_to(other)

    # -- verdicts --------------------------------------------------------------------------------------------------

    def _confirm(self) -> None:
        post_id = self.review.post_id
        self.author, self.row, violation = strikes.confirm(self.author, self.row, post_id, self.subject.decision)
        strike = strikes.of_post(self.author, post_id)
        if not violation or strike is None or self.author.suspended:
            return
        confirmed = history(self.policy, self.author, max(self.event_ms, strike.at_ms)).confirmed
        if confirmed >= self.policy.data.suspend_after_confirmed:
            days = self.policy.data.windows.strike_days
            self.reasons.append(self.policy.reason("suspend", days=days, count=confirmed))
            self.asks = True

    def _undo(self) -> None:
        post_id, revision = self.review.post_id, self.subject.revision
        self.author, self.row = strikes.clear(self.author, self.row, post_id, revision, self._concerns)
        left = [one for one in self.row.found.values() if one.stands]
        row, lifted = standing.lift(
            changed(self.row, terminate_first=""),
            revision,
            guilty=bool(left),
            guilty_until=any(one.revision <= revision for one in left),
        )
        if row.standing is not Action.REQUEST_REMOVAL:
            self._clear_clock()
        self.row = changed(row, clock=self.row.clock)
        if lifted:
            self._emit(Action.RESTORE, lifted)

    def _concerns(self, label: str) -> bool:
        """Whether the review speaks of that label: one that names a case and no decision speaks of the case's own."""
        case = self.subject.case
        if not self.subject.by_case or case is None or case.group == cases.NO_GROUP:
            return True
        return self.policy.data.labels[label].group == case.group

    def _named(self) -> list[str]:
        """The decisions that the review is about."""
        case = self.subject.case
        if not self.subject.by_case or case is None:
            return [self.subject.decision]
        return [decision for decision in self.row.found if case.case_id in cases.of_decision(self.row, decision)]

    def _change(self, action: Action) -> None:
        if action is Action.TERMINATE and not self._may_terminate():
            self.asks = True
            return
        self.carried_out = True
        self.row = changed(self.row, terminate_first="")
        self._clear_clock()
        stood = [(self.row.standing, self.row.standing_id), (self.row.beside, self.row.beside_id)]
        lifted = [one for one in stood if one[0] is not Action.NONE]
        if action is Action.NONE and lifted:
            action = Action.RESTORE  # nothing in its place: the platform has to undo what it was told
        if action is not Action.NONE:
            self._emit(action, lifted)

    def _may_terminate(self) -> bool:
        """解約 comes after a suspension and by two people, one of whom the policy may want to be legal staff."""
        first, second = self.row.terminate_first, self.review.reviewer_id
        if not self.author.suspended:
            self.reasons.append(self.policy.reason("not_suspended"))
            return False
        if first in ("", second):
            self.row = changed(self.row, terminate_first=second)
            self.reasons.append(self.policy.reason("second_person"))
            return False
        legal = self.policy.data.legal_reviewers
        if legal is not None and not any(re.search(legal, reviewer) for reviewer in (first, second)):
            self.reasons.append(self.policy.reason("legal_person"))
            return False
        return True

    def _stop_clock(self) -> None:
        """An author who appeals has not been silent: the request waits until people have decided."""
        reached = self.row.standing_revision <= (self.subject.revision or self.row.latest_revision)
        if self.row.clock is not None and reached:
            self._clear_clock()
            self.row = changed(self.row, stopped=True)

    def _ask_again(self) -> None:
        """A request whose clock the appeal stopped is asked anew by the person who denied it, with a new deadline."""
        if self.row.stopped and not self.gentle:
            self._emit(Action.REQUEST_REMOVAL, [(self.row.standing, self.row.standing_id)])

    def _clear_clock(self) -> None:
        if self.row.clock is not None:
            self.clocks_cleared.append(self.row.clock)
            self.row = changed(self.row, clock=None)

    # -- actions ---------------------------------------------------------------------------------------------------

    def _cited(self) -> tuple[str, list[str]]:
        """The clause that a person's action goes by, and the labels of it: the reviewer's own, else what was found.

        That is what the decision named was found to be, else the latest that still stands; nothing where the model saw
        nothing and the reviewer names no clause.
        """
        found = strikes.findings(self.author, self.row, self.review.post_id)
        named = strikes.named(self.author, self.row, self.review.post_id, self.subject.decision)
        candidates = ([named[1]] if named else []) + list(reversed(found.values()))
        finding = next((one for one in candidates if one.stands), None)
        labels = finding.stands if finding else []
        rules = self.policy.data.labels
        if self.review.clause is not None:
            return self.review.clause, [label for label in labels if rules[label].clause == self.review.clause]
        if finding is None:
            return "", []
        return rules[labels[0]].clause if finding.cleared else finding.clause, labels

    def _emit(self, action: Action, stood: list[tuple[Action, str]]) -> None:
        """Owe an action in place of what `stood`."""
        clocks = self.policy.data.clocks
        lifts = action is Action.RESTORE
        asks = action is Action.REQUEST_REMOVAL and not self.gentle
        due_at = self.at + timedelta(hours=clocks.removal_hours) if asks else None
        appeal_until = None if lifts else self.at + timedelta(days=clocks.appeal_days)
        clause, labels = ("", []) if lifts else self._cited()
        record = ModerationAction(
            action_id=output_id(Topic.ACTIONS, self.review.review_id, action.value),
            cause=self.review.review_id,
            automated=False,
            decision_id=self.subject.decision or self.row.decision_id,
            post_id=self.review.post_id,
            author_id=self.review.author_id,
            action=action,
            clause=clause,
            reasons=list(self.reasons),
            notice=notices.notice(
                self.policy,
                action,
                clause=clause,
                labels=labels,
                due_at=due_at,
                appeal_until=appeal_until,
                in_distress=self.gentle,
                lifted=[one for one, _ in stood],
            ),
            due_at=due_at,
            reversible=action not in (Action.REMOVE, Action.SUSPEND, Action.TERMINATE),
            appeal_until=appeal_until,
            supersedes=[one for _, one in stood if one],
            policy_version=self.policy.version,
            model_version=self.context.model_version,
        )
        self._owe(Topic.ACTIONS, self.review.author_id, encode(record))
        if action is not Action.TERMINATE and any(one in standing.ACCOUNT for one, _ in stood):
            self.author = changed(self.author, suspended=False)
        if action is Action.SUSPEND:
            self.author = changed(self.author, suspended=True)
        if self.review.verdict not in _UNDOES:
            revision = self.subject.revision or self.row.latest_revision
            self.row = standing.put(
                self.row, action, record.action_id, automated=False, revision=revision, asked=labels
            )
        if due_at is not None and not self.context.shadow:
            clock = Clock(action_id=record.action_id, due_ms=to_kafka_ms(due_at))
            self.row = changed(self.row, clock=clock)
            self.clocks_set.append(clock)

    def _owe(self, topic: Topic, key: str, value: bytes) -> None:
        if not self.context.shadow:
            self.outputs.append(Output(topic=topic, key=key.encode(), value=value))

    # -- cases -----------------------------------------------------------------------------------------------------

    def _moved_later(self, case: Case) -> bool:
        """Whether a later revision than the one reviewed is the case's matter, too: the post then waits on in it."""
        return any(
            one.revision > self.subject.revision and case.case_id in cases.of_decision(self.row, decision)
            for decision, one in self.row.found.items()
        )

    def _is_care(self, case: Case) -> bool:
        return case.group == self.policy.data.distress.group

    def _is_over_in(self, case: Case) -> bool:
        """What is undone is over in every case that the post waits in; whoever despairs is nobody's false alarm."""
        waits = self.review.post_id in cases.waiting(case) and case.case_id in cases.of_post(self.row)
        return waits and case.status != "closed" and not self._is_care(case) and not self._moved_later(case)

    def _after(self, case: Case) -> tuple[Case, Status]:
        """The case after this review, before its record is chained to it."""
        verdict, post_id = self.review.verdict, self.review.post_id
        known = cases.waiting(case)
        others = cases.without(known, post_id)
        if verdict in _ENDS or self.carried_out:
            waits_on = post_id in known and self._moved_later(case)
            left = others | {post_id: "decide"} if waits_on else others
        elif verdict is Verdict.CLOSE:
            left = {}
        elif verdict in _PASSED_ON:  # with all that only waited to be looked at
            left = {post: what for post, what in known.items() if what != "look"}
        else:
            left = cases.waits(known, post_id, "asked") if self.asks or verdict in _ASKS else known
        status: Status = "updated" if verdict in _ENDS and left else STATUS_AFTER[verdict]
        asked = Priority.P2 if verdict is Verdict.REMOVAL_REQUESTED else case.priority
        priority = min(case.priority, asked)
        due_ms = case.due_ms if verdict in _OF_THE_POST and others else 0
        if verdict in _FILED:  # puts nothing off
            due_ms = cases.due_ms(self.policy, priority, self.at, case.due_ms)
        after: Case = changed(
            case,
            status=status,
            priority=priority,
            last_ms=max(case.last_ms, self.event_ms),
            in_distress=case.in_distress or self.row.in_distress,
            human=cases.decides(left) if verdict in _ENDS else status in cases.AWAITING,
            waiting=left,
            due_ms=due_ms,
        )
        return after, status

    def _add_to(self, case: Case) -> None:
        updated, status = self._after(case)
        self.author = cases.replace(self.author, updated)
        # The record is about the post reviewed, also where the case has moved on to another.
        decision = self.subject.decision or self.row.decision_id
        record = cases.follow_up(
            self.policy,
            self.context.model_version,
            changed(updated, post_id=self.review.post_id, decision_id=decision),
            self.row.dossier or self._bare_dossier(),
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
        group = self.policy.data.labels[self.row.labels[0]].group if self.row.labels else cases.NO_GROUP
        case = Case(
            case_id=output_id(Topic.ESCALATIONS, self.review.review_id, f"case:{group}"),
            group=group,
            status="open",
            priority=Priority.P3,
            last_ms=self.event_ms,
            post_id=self.review.post_id,
            decision_id=self.subject.decision or self.row.decision_id,
            categories=[label for label in self.row.labels if label != DISTRESS],
            in_distress=self.row.in_distress,
            waiting={},
        )
        self.author = changed(self.author, cases=[*self.author.cases, case][-MAX_CASES:])
        self.row = cases.joined(self.row, case.decision_id, case)
        return case

    def _bare_dossier(self) -> bytes:
        """When a post was written that nobody remembers is not known, but it was before somebody asked about it."""
        written_ms = self.row.last_ms if self.row.latest_revision else self.event_ms
        past = history(self.policy, self.author, self.event_ms, but=self.review.post_id)
        post_id, revision = self.review.post_id, self.row.latest_revision
        return encode(cases.bare_dossier(post_id, revision, from_kafka_ms(written_ms), past, self.at))

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
