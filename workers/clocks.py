"""Requests for deletion that run out: their index, and what silence leads to. Pure.

Clocks stand in buckets of a minute, one row a bucket, with one row that lists the buckets in use, so that firing
reads only what is due and never scans the authors.
"""

from datetime import timedelta
from typing import Final

from workers import notices
from workers.codec import encode, output_id
from workers.decide import Context
from workers.events import Action, ModerationAction, Topic, from_kafka_ms
from workers.policy import iso_minute
from workers.state import Bucket, BucketIndex, Clock, Entry, Output, PostRow, changed

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


def fire(context: Context, row: PostRow | None, author_id: str, post_id: str, clock: Clock) -> Entry | None:
    """The removal that an ignored request leads to; None where it was settled. Its times are the clock's own."""
    policy = context.policy
    if row is None or row.clock is None or row.clock.action_id != clock.action_id:
        return None
    outputs: list[Output] = []
    settled = changed(row, clock=None, version=row.version + 1)
    if Action.REMOVE in policy.data.authority.clock and not row.deleted and not row.in_distress:
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
        outputs.append(Output(topic=Topic.ACTIONS, key=author_id.encode(), value=encode(record)))
        settled = changed(settled, standing=Action.REMOVE, standing_id=record.action_id, standing_automated=True)
    return Entry(source=source_name(clock), content=clock.action_id, post=settled, outputs=outputs)
