"""One post, one author's state, one policy → an Entry: the next state and every record owed. Pure.

    Step 1  a stale revision and a deletion are settled
    Step 2  judge (workers.judge): labels over their thresholds, the rung, the model's authority
    Step 3  reconcile with what already stands on this post (an edit never punishes twice)
    Step 4  strikes, clocks, cases, care → next state
    Step 5  the records, in the order in which they are sent

No I/O, no clock, no Kafka.
"""

from dataclasses import dataclass
from datetime import timedelta

from workers import care, cases, notices
from workers.codec import decision_id, encode, make_id, output_id, text_sha256, to_utc
from workers.events import (
    Action,
    Decision,
    History,
    ModerationAction,
    Post,
    PostContext,
    Source,
    Topic,
    from_kafka_ms,
    to_kafka_ms,
)
from workers.judge import Judgement, Scored, history, judge
from workers.policy import MILD_TO_HARSH, Policy, Severity
from workers.state import (
    MAX_DECISION_IDS,
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


@dataclass(frozen=True, slots=True)
class Context:
    """What every decision of a batch shares."""

    policy: Policy
    model_version: str
    shadow: bool = False


def content_of(post: Post) -> str:
    """What must be the same when a revision is sent again."""
    return make_id(post.event, post.text or "")


def decide_post(
    context: Context,
    author: AuthorRow,
    row: PostRow | None,
    post: Post,
    source: Source,
    kafka_ms: int,
    scored: Scored | None,
) -> Entry:
    """A revision not answered before. `scored` is None for a deletion."""
    policy = context.policy
    event_ms = min(to_kafka_ms(post.occurred_at), kafka_ms)
    past = history(policy, author, event_ms, but=post.post_id if row else "")
    this_id = decision_id(post.post_id, post.revision, shadow_policy=policy.version if context.shadow else None)
    before = row or PostRow()
    draft = _Draft(context, author, before, post, source, kafka_ms, event_ms, this_id, past)
    if post.revision < before.latest_revision:
        draft.stale()
    elif scored is None:
        draft.deletion()
    else:
        draft.judged(scored)
    return draft.entry(counts=row is None)


class _Draft:
    """The records and the next state of one decision while they come together."""

    def __init__(
        self,
        context: Context,
        author: AuthorRow,
        row: PostRow,
        post: Post,
        source: Source,
        kafka_ms: int,
        event_ms: int,
        this_id: str,
        past: History,
    ) -> None:
        self.context, self.policy = context, context.policy
        self.before = self.author = author
        self.row, self.post = row, post
        self.source, self.event_ms, self.id, self.past = source, event_ms, this_id, past
        self.plain_id = decision_id(post.post_id, post.revision)  # as reviews name it, in shadow too
        self.at = from_kafka_ms(kafka_ms)
        self.decision: Decision | None = None
        self.outputs: list[Output] = []
        self.clocks_set: list[Clock] = []
        self.clocks_cleared: list[Clock] = []

    # -- the three endings ---------------------------------------------------------------------------------------

    def stale(self) -> None:
        self._decide(None, [], Action.NONE, "none", [], [self.policy.reason("stale")])

    def deletion(self) -> None:
        reasons = [self.policy.reason("deleted")]
        if self._clear_clock() or self.row.standing is Action.REQUEST_REMOVAL:
            reasons.append(self.policy.reason("settled"))
        self._decide(None, [], Action.NONE, "none", [], reasons)
        self._update_open_case(reasons)
        # These the author may still appeal; a platform that removed the post may report it as deleted.
        if self.row.standing not in (Action.REMOVE, Action.SUSPEND, Action.TERMINATE):
            self.row = changed(self.row, standing=Action.NONE, standing_id="")
        self.row = changed(
            self.row,
            deleted=True,
            latest_revision=self.post.revision,
            decision_id=self.id,
            last_ms=self.event_ms,
        )

    def judged(self, scored: Scored) -> None:
        if self.row.deleted and self.row.standing is Action.REMOVE:  # posted anew
            self.row = changed(self.row, standing=Action.NONE, standing_id="")
        judgement = judge(self.policy, scored, self.past, self.post)
        action, reasons = self._reconcile(judgement)
        self._decide(scored, judgement.flagged, action, judgement.severity, judgement.clauses, reasons)
        self.row = changed(
            self.row,
            latest_revision=self.post.revision,
            decision_id=self.id,
            deleted=False,
            labels=judgement.violations or self.row.labels,
            clause=judgement.clause or self.row.clause,
            in_distress=judgement.in_distress,
            last_ms=self.event_ms,
        )
        if action is not Action.NONE:
            self._act(action, judgement)
        if judgement.violations and not judgement.in_distress:
            self._strike(judgement.violations)
        self._escalate(scored, judgement, reasons)
        if judgement.in_distress:
            self._care(scored)

    # -- Step 3 ----------------------------------------------------------------------------------------------------

    def _reconcile(self, judgement: Judgement) -> tuple[Action, list[str]]:
        reasons = list(judgement.reasons)
        standing = self.row.standing
        stopped = (judgement.in_distress or not judgement.violations) and self._clear_clock()
        # A request may have no clock: of staff to a person in distress, or one run out without authority to remove.
        if stopped or (standing is Action.REQUEST_REMOVAL and not judgement.flagged):
            if not judgement.violations:
                reasons.append(self.policy.reason("settled"))
            standing = Action.NONE
            # A hold that follows at once still supersedes the request.
            superseded = "" if judgement.action is Action.NONE else self.row.standing_id
            self.row = changed(self.row, standing=Action.NONE, standing_id=superseded)
        if not judgement.violations:
            held = standing is Action.LIMIT_VISIBILITY and self.row.standing_automated
            if held and not judgement.in_distress:
                return Action.RESTORE, [*reasons, self.policy.reason("lifted")]
            return Action.NONE, reasons
        if standing is not Action.NONE and MILD_TO_HARSH.index(standing) >= MILD_TO_HARSH.index(judgement.action):
            return Action.NONE, [*reasons, self.policy.reason("standing", action=standing.value)]
        return judgement.action, reasons

    # -- Step 4 and 5 ------------------------------------------------------------------------------------------------

    def _decide(
        self,
        scored: Scored | None,
        flagged: list[str],
        action: Action,
        severity: Severity,
        clauses: list[str],
        reasons: list[str],
    ) -> None:
        post = self.post
        text = post.text if post.event != "deleted" else None
        self.decision = Decision(
            decision_id=self.id,
            post_id=post.post_id,
            revision=post.revision,
            event=post.event,
            author_id=post.author_id,
            platform=post.platform,
            occurred_at=to_utc(post.occurred_at),
            source=self.source,
            context=PostContext(
                reply_to=post.reply_to,
                reports=post.reports,
                minor_suspected=post.minor_suspected,
                lang=post.lang,
                text_sha256=None if text is None else text_sha256(text),
                length=len(text or ""),
            ),
            history=self.past,
            scores=scored.scores if scored else {},
            flagged=flagged,
            spans=scored.spans if scored else [],
            severity=severity,
            action=action,
            clauses=clauses,
            reasons=reasons,
            policy_version=self.policy.version,
            model_version=self.context.model_version,
            automated=True,
            shadow=self.context.shadow,
            decided_at=self.at,
        )
        self._owe(Topic.DECISIONS, post.post_id, encode(self.decision))

    def _owe(self, topic: Topic, key: str, value: bytes) -> None:
        if not self.context.shadow or topic is Topic.DECISIONS:
            self.outputs.append(Output(topic=topic, key=key.encode(), value=value))

    def _act(self, action: Action, judgement: Judgement) -> None:
        clocks = self.policy.data.clocks
        asks = action is Action.REQUEST_REMOVAL
        due_at = self.at + timedelta(hours=clocks.removal_hours) if asks else None
        appeal_until = None if action is Action.RESTORE else self.at + timedelta(days=clocks.appeal_days)
        clause = "" if action is Action.RESTORE else judgement.clause
        record = ModerationAction(
            action_id=output_id(Topic.ACTIONS, self.id, action.value),
            cause=self.id,
            automated=True,
            decision_id=self.id,
            post_id=self.post.post_id,
            author_id=self.post.author_id,
            action=action,
            clause=clause,
            # A platform's action never tells of distress: care is not joined with penalties.
            reasons=[self.policy.reason("human")] if judgement.in_distress else judgement.reasons,
            notice=notices.notice(
                self.policy,
                action,
                clause=clause,
                labels=judgement.violations,
                due_at=due_at,
                appeal_until=appeal_until,
                in_distress=judgement.in_distress,
            ),
            due_at=due_at,
            reversible=action in (Action.WARN, Action.LIMIT_VISIBILITY, Action.REQUEST_REMOVAL, Action.RESTORE),
            appeal_until=appeal_until,
            supersedes=[self.row.standing_id] if self.row.standing_id else [],
            policy_version=self.policy.version,
            model_version=self.context.model_version,
        )
        self._owe(Topic.ACTIONS, self.post.author_id, encode(record))
        self._clear_clock()
        lifted = action is Action.RESTORE
        self.row = changed(
            self.row,
            standing=Action.NONE if lifted else action,
            standing_id="" if lifted else record.action_id,
            standing_automated=True,
        )
        if action is Action.SUSPEND:
            self.author = changed(self.author, suspended=True)
        if due_at is not None:
            clock = Clock(action_id=record.action_id, due_ms=to_kafka_ms(due_at))
            self.row = changed(self.row, clock=clock)  # in shadow too: an edit settles a request there as elsewhere
            if not self.context.shadow:
                self.clocks_set.append(clock)

    def _clear_clock(self) -> bool:
        clock = self.row.clock
        if clock is None:
            return False
        self.clocks_cleared.append(clock)
        self.row = changed(self.row, clock=None)
        return True

    def _strike(self, violations: list[str]) -> None:
        kept = [s for s in self.author.strikes if s.post_id != self.post.post_id]
        mine = next((s for s in self.author.strikes if s.post_id == self.post.post_id), None)
        if mine is None:
            strike = Strike(post_id=self.post.post_id, labels=violations, at_ms=self.event_ms, decision_id=self.id)
        else:
            strike = changed(mine, labels=list(dict.fromkeys([*mine.labels, *violations])))
        strikes = sorted([*kept, strike], key=lambda s: (s.at_ms, s.post_id))[-MAX_STRIKES:]
        self.author = changed(self.author, strikes=strikes)

    def _escalate(self, scored: Scored, judgement: Judgement, reasons: list[str]) -> None:
        for wanted in cases.wanted(
            self.policy,
            judgement.violations,
            in_distress=judgement.in_distress,
            human=judgement.human or self._still_held(judgement),
            distress_priority=care.priority(self.policy, scored, self.post) if judgement.in_distress else None,
            imminent=scored.imminent,
            reports=self.post.reports,
        ):
            self.author, case = cases.find_or_open(
                self.policy, self.author, wanted, self.event_ms, self.at, self.post.post_id, self.id
            )
            dossier = cases.dossier(self.post, scored.scores, scored.spans, self.past, self.at)
            self.row = changed(
                self.row, dossier=encode(dossier), cases=cases.with_decision(self.row.cases, self.plain_id, case)
            )
            record = cases.record(
                self.policy,
                self.context.model_version,
                wanted,
                case,
                dossier,
                self.post.author_id,
                self.id,
                reasons,
            )
            self.author, value = cases.sealed(self.author, record)
            self._owe(Topic.ESCALATIONS, case.case_id, value)

    def _still_held(self, judgement: Judgement) -> bool:
        """An edit out of a violation into distress: the hold stands and only a person may lift it."""
        return judgement.in_distress and self.row.standing is Action.LIMIT_VISIBILITY

    def _update_open_case(self, reasons: list[str]) -> None:
        for case in self.author.cases:
            if case.post_id == self.post.post_id and case.status != "closed" and self.row.dossier:
                updated: Case = changed(
                    case,
                    status="updated",
                    decision_id=self.id,
                    in_distress=case.in_distress or self.row.in_distress,
                    due_ms=cases.due_ms(self.policy, case.priority, self.at, case.due_ms),
                )
                self.author = cases.replace(self.author, updated)
                record = cases.follow_up(
                    self.policy,
                    self.context.model_version,
                    updated,
                    self.row.dossier,
                    self.post.author_id,
                    self.id,
                    self.at,
                    reasons,
                )
                self.author, value = cases.sealed(self.author, record)
                self._owe(Topic.ESCALATIONS, case.case_id, value)

    def _care(self, scored: Scored) -> None:
        self.author, record = care.reach_out(
            self.policy, self.context.model_version, self.author, self.post, scored, self.id, self.event_ms, self.at
        )
        self._owe(Topic.CARE, self.post.author_id, encode(record))

    def entry(self, *, counts: bool) -> Entry:
        """Close the draft."""
        row = changed(
            self.row,
            version=self.row.version + 1,
            decision_ids=[*self.row.decision_ids, self.plain_id][-MAX_DECISION_IDS:],
        )
        author = changed(self.author, posts=self.author.posts + 1) if counts else self.author
        return Entry(
            source=source_name(self.source),
            content=content_of(self.post),
            post=row,
            effect=effect_between(self.before, author),
            outputs=self.outputs,
            clocks_set=self.clocks_set,
            clocks_cleared=self.clocks_cleared,
        )


def source_name(source: Source) -> str:
    """How an entry names the record it answers."""
    return f"{source.topic}/{source.partition}/{source.offset}"
