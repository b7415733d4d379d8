"""Requests for deletion that run out: their index, and what silence leads to. Pure.

Clocks stand in buckets of a minute, one row a bucket, with one row that lists the buckets in use, so that firing
reads only what is due and never scans the authors.
"""

from datetime import timedelta
from typing import Final

import msgspec

from workers import care, cases, notices, standing
from workers.codec import encode, output_id
from workers.decide import Context
from workers.events import Action, Escalation, ModerationAction, Priority, Topic, from_kafka_ms
from workers.judge import history
from workers.policy import iso_minute
from workers.state import (
    MAX_CASES,
    AuthorRow,
    Bucket,
    BucketIndex,
    Case,
    Clock,
    Entry,
    Output,
    PostRow,
    changed,
    effect_between,
)

BUCKET_MS: Final = 60_000
INDEX_KEY: Final = "t"


def bucket_key(number: int) -> str:
    """The row of bucket `number`."""
    return f"t{number}"


def bucket_of(clock: Clock) -> int:
    """The bucket that `clock` runs out in."""
    return clock.due_ms // BUCKET_MS


def added(bucket: Bucket | None, author_id: str, post_id: str, clock: Clock) -> Bucket:
    """`bucket` with the clock in it once."""
    others = [c for c in bucket.clocks if c[2].action_id != clock.action_id] if bucket else []
    return Bucket(clocks=[*others, (author_id, post_id, clock)])


def removed(bucket: Bucket, action_id: str) -> Bucket:
    """`bucket` without the clock of that action."""
    return Bucket(clocks=[c for c in bucket.clocks if c[2].action_id != action_id])


def with_number(index: BucketIndex | None, number: int) -> BucketIndex:
    """The index that lists `number`."""
    return BucketIndex(numbers=sorted({*(index.numbers if index else ()), number}))


def without_number(index: BucketIndex, number: int) -> BucketIndex:
    """The index without `number`."""
    return BucketIndex(numbers=[n for n in index.numbers if n != number])


def source_name(clock: Clock) -> str:
    """How an entry names a clock that ran out."""
    return f"clock/{clock.action_id}"


def after(author: AuthorRow, entry: Entry) -> AuthorRow:
    """The author once the case that a clock's entry moved is as the entry has it. May be repeated.

    A crash may come before this is written, and other records be decided before the clock is found due again: a case
    that they moved on stays as it is.
    """
    heads = {record.case_id: record.previous_sha256 or "" for record in _records(entry)}
    known = {case.case_id: case for case in author.cases}
    for moved in entry.effect.cases:
        now = known.get(moved.case_id)
        if now is None and not heads[moved.case_id]:
            author = changed(author, cases=[*author.cases, moved][-MAX_CASES:])
        elif now is not None and now.head == heads[moved.case_id]:
            author = cases.replace(author, moved)
    return author


def _records(entry: Entry) -> list[Escalation]:
    found = (output.value for output in entry.outputs if output.topic is Topic.ESCALATIONS)
    return [msgspec.json.decode(value, type=Escalation) for value in found]


def fire(
    context: Context, author: AuthorRow, row: PostRow | None, author_id: str, post_id: str, clock: Clock
) -> Entry | None:
    """What an ignored request leads to; None where it was settled. Its times are the clock's own.

    A removal; but where the author is, or was lately, in distress, a person decides and hears of it in a case.
    """
    policy = context.policy
    if row is None or row.clock is None or row.clock.action_id != clock.action_id:
        return None
    settled = changed(row, clock=None, version=row.version + 1)
    entry = Entry(source=source_name(clock), content=clock.action_id, post=settled)
    if Action.REMOVE not in policy.data.authority.clock or row.deleted:
        return entry
    if row.in_distress or care.lately_in_distress(policy, author, clock.due_ms):
        return _ask(context, author, entry, author_id, post_id, clock)
    return _remove(context, entry, author_id, post_id, clock)


def _remove(context: Context, entry: Entry, author_id: str, post_id: str, clock: Clock) -> Entry:
    policy, row = context.policy, entry.post
    due_at = from_kafka_ms(clock.due_ms)
    appeal_until = due_at + timedelta(days=policy.data.clocks.appeal_days)
    record = ModerationAction(
        action_id=output_id(Topic.ACTIONS, clock.action_id, Action.REMOVE.value),
        cause=clock.action_id,
        automated=True,
        decision_id=row.decision_id,
        post_id=post_id,
        author_id=author_id,
        action=Action.REMOVE,
        clause=row.clause,
        reasons=[policy.reason("ignored", due=iso_minute(due_at))],
        notice=notices.notice(
            policy,
            Action.REMOVE,
            clause=row.clause,
            labels=row.labels,
            due_at=None,
            appeal_until=appeal_until,
            in_distress=False,
        ),
        due_at=None,
        reversible=False,
        appeal_until=appeal_until,
        supersedes=[clock.action_id],
        policy_version=policy.version,
        model_version=context.model_version,
    )
    revision = row.standing_revision
    stands = standing.put(row, Action.REMOVE, record.action_id, automated=True, revision=revision, asked=[])
    done: Entry = changed(
        entry, post=stands, outputs=[Output(topic=Topic.ACTIONS, key=author_id.encode(), value=encode(record))]
    )
    return done


def _case_of(context: Context, author: AuthorRow, row: PostRow, group: str) -> Case | None:
    """Where a person is to hear of this post: the group's open case that it is in, or any of this episode, or a closed
    one that it was in.
    """
    mine = cases.of_post(row)
    own = [case for case in author.cases if case.case_id in mine and case.group == group]
    own.sort(key=lambda case: (case.status == "closed", mine.index(case.case_id)))
    if own and own[0].status != "closed":
        return own[0]
    return cases.current(context.policy, author, group, row.last_ms) or next(iter(own), None)


def _ask(context: Context, author: AuthorRow, entry: Entry, author_id: str, post_id: str, clock: Clock) -> Entry:
    """The request stands until a person decides; its case says so, and is opened where there was none."""
    policy, row = context.policy, entry.post
    at = from_kafka_ms(clock.due_ms)
    rules = policy.data.labels
    label = next(iter(row.asked or row.labels), None)  # none: staff asked for what the model did not see
    group, priority = (rules[label].group, rules[label].priority) if label else (cases.NO_GROUP, Priority.P3)
    labels = [label for label in row.labels if rules[label].group == group]
    before, case = author, _case_of(context, author, row, group)
    status: cases.Status = "open" if case is None else "reopened" if case.status == "closed" else "updated"
    if case is None:
        case = Case(
            case_id=output_id(Topic.ESCALATIONS, clock.action_id, f"case:{group}"),
            group=group,
            status=status,
            priority=priority,
            last_ms=row.last_ms,
            post_id=post_id,
            decision_id=row.decision_id,
            categories=labels,
            waiting={},
        )
        author = changed(author, cases=[*author.cases, case][-MAX_CASES:])
    row = cases.joined(row, row.decision_id, case)
    asked: Case = changed(
        case,
        status=status,
        human=True,
        waiting=cases.waits(cases.waiting(case), post_id, "decide"),
        categories=list(dict.fromkeys([*case.categories, *labels])),
        in_distress=case.in_distress or row.in_distress,
        due_ms=cases.due_ms(policy, case.priority, at, case.due_ms),
    )
    past = history(policy, author, row.last_ms, but=post_id)
    bare = cases.bare_dossier(post_id, row.latest_revision, from_kafka_ms(row.last_ms), past, at)
    record = cases.follow_up(
        policy,
        context.model_version,
        changed(asked, post_id=post_id, decision_id=row.decision_id),
        row.dossier or encode(bare),
        author_id,
        clock.action_id,
        at,
        [policy.reason("ignored", due=iso_minute(at)), policy.reason("considerate")],
        status,
    )
    told, value = cases.sealed(cases.replace(author, asked), record)
    done: Entry = changed(
        entry,
        post=row,
        effect=effect_between(before, told),
        outputs=[Output(topic=Topic.ESCALATIONS, key=case.case_id.encode(), value=value)],
    )
    return done
