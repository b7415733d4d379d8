"""One post, one author's state, one policy → an Entry: the next state and every record owed. Pure.

    Step 1  a stale revision and a deletion are settled
    Step 2  judge (workers.judge): labels over their thresholds, the rung, the model's authority
    Step 3  reconcile with what already stands on this post (an edit never punishes twice)
    Step 4  strikes, clocks, cases, care → next state
    Step 5  the records, in the order in which they are sent

No I/O, no clock, no Kafka.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from workers import care, cases, notices, standing, strikes
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
from workers.judge import Judgement, Scored, history, judge, may_have_forgotten
from workers.policy import Policy, Severity
from workers.state import (
    MAX_DECISION_IDS,
    AuthorRow,
    Clock,
    Entry,
    Finding,
    Output,
    PostRow,
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
    known = _counted(policy, author, row, post, kafka_ms)
    past = history(policy, author, event_ms, but=post.post_id if known else "")
    this_id = decision_id(post.post_id, post.revision, shadow_policy=policy.version if context.shadow else None)
    before = row or PostRow()
    draft = _Draft(context, author, before, post, source, kafka_ms, event_ms, this_id, past)
    if post.revision < before.latest_revision:
        draft.stale()
    elif scored is None:
        draft.deletion()
    else:
        draft.judged(scored)
    return draft.entry(kafka_ms, counts=not known)


def _counted(policy: Policy, author: AuthorRow, row: PostRow | None, post: Post, kafka_ms: int) -> bool:
    """Whether the author's count has this post already. Rows of harmless posts are forgotten, authors never."""
    if row is not None and row.latest_revision:  # 0: a review made the row
        return True
    return post.event != "created" and (row is not None or may_have_forgotten(policy, author, kafka_ms))


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
        self.lately = care.lately_in_distress(self.policy, author, event_ms)
        self.decision: Decision | None = None
        self.outputs: list[Output] = []
        self.clocks_set: list[Clock] = []
        self.clocks_cleared: list[Clock] = []

    # -- the three endings ---------------------------------------------------------------------------------------

    def stale(self) -> None:
        self._decide(None, [], Action.NONE, "none", [], [self.policy.reason("stale")])

    def deletion(self) -> None:
        reasons = [self.policy.reason("deleted")]
        if self.row.clock is not None or self.row.standing is Action.REQUEST_REMOVAL:
            reasons.append(self.policy.reason("settled"))
        self._decide(None, [], Action.NONE, "none", [], reasons)
        self._tell_cases(reasons)
        self._now(standing.after_deletion(self.row))
        self.row = changed(
            self.row,
            deleted=True,
            latest_revision=self.post.revision,
            decision_id=self.id,
            last_ms=self.event_ms,
        )

    def judged(self, scored: Scored) -> None:
        judged = judge(self.policy, scored, self.past, self.post)
        judgement = care.considerate(self.policy, judged) if self.lately else judged
        row, action, reasons = standing.reconcile(self.policy, standing.posted_anew(self.row), judgement)
        if judgement is not judged:
            reasons = [*reasons, self.policy.reason("considerate")]
        self._now(changed(row, found=strikes.findings(self.author, self.row, self.post.post_id)))
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
        self._note(judgement)
        if action is not Action.NONE:
            self._act(action, judgement)
        self._escalate(scored, judgement, reasons)
        if judgement.in_distress:
            self._care(scored)

    def _now(self, row: PostRow) -> None:
        """The row after a step that may have ended its clock."""
        if self.row.clock is not None and row.clock is None:
            self.clocks_cleared.append(self.row.clock)
        self.row = row

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
        gentle = judgement.in_distress or self.lately
        asks = action is Action.REQUEST_REMOVAL and not gentle  # no clock may act on a person in distress
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
                in_distress=gentle,
                lifted=[standing.on_post(self.row)],
            ),
            due_at=due_at,
            reversible=action in (Action.WARN, Action.LIMIT_VISIBILITY, Action.REQUEST_REMOVAL, Action.RESTORE),
            appeal_until=appeal_until,
            supersedes=standing.superseded(self.row, action, automated=True),
            policy_version=self.policy.version,
            model_version=self.context.model_version,
        )
        self._owe(Topic.ACTIONS, self.post.author_id, encode(record))
        now = standing.put(
            changed(self.row, clock=None),
            action,
            record.action_id,
            automated=True,
            revision=self.post.revision,
            asked=[judgement.label],
        )
        self._now(now)
        if action is Action.SUSPEND:
            self.author = changed(self.author, suspended=True)
        if due_at is not None:
            clock = Clock(action_id=record.action_id, due_ms=to_kafka_ms(due_at))
            self.row = changed(self.row, clock=clock)  # in shadow too: an edit settles a request there as elsewhere
            if not self.context.shadow:
                self.clocks_set.append(clock)

    def _note(self, judgement: Judgement) -> None:
        """What the decision found; a post is one strike however often it is edited."""
        if judgement.flagged:
            finding = Finding(
                revision=self.post.revision,
                at_ms=self.event_ms,
                labels=judgement.violations,
                clause=judgement.clause,
                strike=bool(judgement.violations) and not judgement.in_distress,
            )
            self.author, self.row = strikes.noted(self.author, self.row, self.post.post_id, self.plain_id, finding)

    def _escalate(self, scored: Scored, judgement: Judgement, reasons: list[str]) -> None:
        groups: set[str] = set()
        for wanted in cases.wanted(
            self.policy,
            judgement.violations,
            in_distress=judgement.in_distress,
            human=judgement.human or self._still_held(judgement),
            distress_priority=care.priority(self.policy, scored, self.post) if judgement.in_distress else None,
            imminent=scored.imminent,
            reports=self.post.reports,
            watched=cases.current(self.policy, self.author, self.policy.data.distress.group, self.event_ms) is not None,
        ):
            self.author, case = cases.find_or_open(
                self.policy, self.author, wanted, self.event_ms, self.at, self.post.post_id, self.id
            )
            dossier = cases.dossier(self.post, scored.scores, scored.spans, self.past, self.at)
            self.row = cases.joined(changed(self.row, dossier=encode(dossier)), self.plain_id, case)
            record = cases.record(
                self.policy,
                self.context.model_version,
                case,
                dossier,
                self.post.author_id,
                self.id,
                reasons,
            )
            self.author, value = cases.sealed(self.author, record)
            self._owe(Topic.ESCALATIONS, case.case_id, value)
            groups.add(wanted.group)
        if not judgement.in_distress:
            self._tell_cases(reasons, groups)

    def _still_held(self, judgement: Judgement) -> bool:
        """An edit out of a violation into distress: the hold stands and only a person may lift it."""
        return judgement.in_distress and standing.on_post(self.row) is Action.LIMIT_VISIBILITY

    def _tell_cases(self, reasons: list[str], called: Collection[str] | None = None) -> None:
        """The post's open cases hear that it is gone; with the groups `called`, others that nothing of theirs is left.

        A hold that stands in spite of an edit still waits for the person.
        """
        post_id, in_distress = self.post.post_id, self.row.in_distress
        held = standing.on_post(self.row) is Action.LIMIT_VISIBILITY
        clean = self.plain_id not in self.row.found
        for case in cases.hearing(self.author, self.row, post_id, called, clean=clean):
            gone = called is None
            updated = cases.heard(
                self.policy,
                case,
                post_id,
                self.id,
                self.at,
                in_distress=in_distress,
                done=gone or not held,
                gone=gone,
            )
            self.author = cases.replace(self.author, updated)
            record = cases.follow_up(
                self.policy,
                self.context.model_version,
                changed(updated, post_id=post_id, decision_id=self.id),
                self.row.dossier or self._bare_dossier(),
                self.post.author_id,
                self.id,
                self.at,
                reasons,
            )
            self.author, value = cases.sealed(self.author, record)
            self._owe(Topic.ESCALATIONS, case.case_id, value)

    def _bare_dossier(self) -> bytes:
        written = from_kafka_ms(self.row.last_ms)
        post_id, revision = self.post.post_id, self.row.latest_revision
        return encode(cases.bare_dossier(post_id, revision, written, self.past, self.at))

    def _care(self, scored: Scored) -> None:
        self.author, record = care.reach_out(
            self.policy, self.context.model_version, self.author, self.post, scored, self.id, self.event_ms, self.at
        )
        self._owe(Topic.CARE, self.post.author_id, encode(record))

    def entry(self, kafka_ms: int, *, counts: bool) -> Entry:
        """Close the draft."""
        row = changed(
            self.row,
            version=self.row.version + 1,
            decision_ids=[*self.row.decision_ids, self.plain_id][-MAX_DECISION_IDS:],
        )
        author = self.author
        if not author.posts:
            author = changed(author, since_ms=kafka_ms)
        author = changed(author, posts=author.posts + 1) if counts else author
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
