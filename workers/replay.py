"""One author's recorded posts decided again under another policy. Pure: the decisions are workers.decide's own.

What "past" means here: the records are replayed in the order of the log, and every decision sees the strikes, standing
actions and clocks that the new policy itself has led to by then, not those of the recorded history. A post that the new
policy does not flag is no strike for the next one. The recorded history counts only where the log begins in the middle
of an author's story: what stood before is taken over from the first decision there is.

    scores, context      as recorded; no text is needed (or another model's scores, where the caller has them)
    edits, deletions,    as decide_post handles them
    stale revisions
    reviews by staff     what people decided stands, and acts on whatever the new policy did to that post
    requests that run    at their due time, as the worker's clocks do: silence is what the log shows, since nobody
    out                  asked these authors under the new policy

It compares nothing (workers.comparison does) and reads nothing (workers.backtest does).
"""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal, cast

import msgspec

from models.labels import DISTRESS
from workers import clocks
from workers.decide import Context, decide_post
from workers.errors import BadRecord
from workers.events import Decision, Post, Review, Source, Topic, to_kafka_ms
from workers.judge import Scored
from workers.reviews import decide_review
from workers.state import AuthorRow, Clock, Entry, PostRow, Strike, apply_effect, changed

CLOCK_GRACE_MS: Final = 2_000  # as workers.agents: a record stamped before a clock ran out comes first
_DECISION: Final = msgspec.json.Decoder(Decision)


@dataclass(frozen=True, slots=True)
class Recorded:
    """One decision of the log; `scored` replaces its scores where another model read the post again."""

    decision: Decision
    scored: Scored | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """One record of staff-reviews that the worker applied; `kafka_ms` is its Kafka timestamp."""

    review: Review
    source: Source
    kafka_ms: int


class Unknown(StrEnum):
    """Why a decision cannot be compared."""

    BEGAN_BEFORE = "began_before"  # an edit of a post whose earlier revisions are not in the log
    FAILED = "failed"  # deciding raised; a worker would make a dead letter of it


@dataclass(frozen=True, slots=True)
class Replayed:
    """A recorded decision and the new one; `why_not` says why they must not be compared."""

    recorded: Recorded
    new: Decision | None
    why_not: Unknown | None = None
    error: str = ""  # the exception's type, with FAILED


class Replay:
    """One author's. `beginning_ms`: the time of the log's first decision, of whatever author."""

    def __init__(self, context: Context, beginning_ms: int) -> None:
        self._context, self._beginning_ms = context, beginning_ms
        self._author, self._rows = AuthorRow(), dict[str, PostRow]()
        self._author_id = ""
        self._whole = True
        self._clocks: dict[str, tuple[str, Clock]] = {}
        self._early: dict[str, list[Told]] = {}
        self.removals: list[int] = []  # when an ignored request became a removal, ms since the epoch
        self.failed_reviews: list[str] = []  # review_id and the exception's type

    @property
    def unplaced(self) -> int:
        """Reviews of posts that are not in the log; known at the end."""
        return sum(map(len, self._early.values()))

    def run(self, recorded: Sequence[Recorded], told: Sequence[Told], until_ms: int) -> Iterator[Replayed]:
        """One author's records of one partition, each in the order of its topic; time ends at `until_ms`."""
        waiting = deque(told)
        if recorded:
            self._begin(recorded)
        now_ms = 0
        for one in recorded:
            now_ms = max(now_ms, to_kafka_ms(one.decision.decided_at))
            while waiting and waiting[0].kafka_ms <= now_ms:
                self._review(waiting.popleft())
            self._fire(now_ms)
            yield self._decide(one)
            for late in self._early.pop(one.decision.post_id, ()):
                self._review(late)
        for rest in waiting:
            self._review(rest)
        self._fire(until_ms)

    def _begin(self, recorded: Sequence[Recorded]) -> None:
        """What stood before the log: the recorded counts, as old as they can be at the latest.

        The first new post shows them whole (an edit's counts leave its own post out), less what the log itself added
        until then. Whatever is not in the log happened before it began, so that is when it is held to have happened.
        """
        decisions = [one.decision for one in recorded]
        first = decisions[0]
        self._author_id = first.author_id
        self._whole = first.event == "created" and first.history.posts == 0
        if self._whole:
            return
        at = next((i for i, decision in enumerate(decisions) if decision.event == "created"), 0)
        past, since = decisions[at].history, decisions[:at]
        struck = {d.post_id: d.flagged for d in since if d.flagged and DISTRESS not in d.flagged}
        by_label = Counter(past.strikes_by_label)
        by_label.subtract(label for flagged in struck.values() for label in flagged)
        at_ms = min(self._beginning_ms, _event_ms(first)) - 1
        strikes = [
            Strike(
                post_id=f"before the log {i}",
                labels=[label for label, count in sorted(by_label.items()) if i < count],
                at_ms=at_ms,
                decision_id="",
                confirmed=i < past.confirmed,
            )
            for i in range(past.strikes - len(struck))
        ]
        self._author = AuthorRow(posts=first.history.posts, strikes=strikes, suspended=first.history.suspended)

    def _decide(self, one: Recorded) -> Replayed:
        decision = one.decision
        row = self._rows.get(decision.post_id)
        scored = None if decision.event == "deleted" else one.scored or self._as_recorded(decision)
        if scored is None and decision.event != "deleted" and not (row and decision.revision < row.latest_revision):
            return Replayed(one, None, Unknown.BEGAN_BEFORE)  # stale beside a revision that the log lacks
        at_ms = to_kafka_ms(decision.decided_at)
        try:
            entry = decide_post(self._context, self._author, row, _post(decision), decision.source, at_ms, scored)
        except Exception as error:  # noqa: BLE001 # as the worker: one record at fault; the command counts and names it
            return Replayed(one, None, Unknown.FAILED, type(error).__name__)
        self._apply(decision.post_id, entry, decision.source)
        new = next(_DECISION.decode(out.value) for out in entry.outputs if out.topic is Topic.DECISIONS)
        unseen = row is None or not row.latest_revision  # a review may have made the row
        headless = unseen and decision.event == "edited" and not self._whole
        return Replayed(one, new, Unknown.BEGAN_BEFORE if headless else None)

    def _as_recorded(self, decision: Decision) -> Scored | None:
        """None: the decision was stale, which is settled before any score."""
        if not decision.scores:
            return None
        imminent = self._context.policy.reason("imminent") in decision.reasons
        return Scored(decision.scores, decision.spans, imminent)

    def _review(self, told: Told) -> None:
        """Under another policy a post may have no case, or one of another id: the review is about the post then."""
        self._fire(told.kafka_ms)
        review = told.review
        row = self._rows.get(review.post_id)
        named = [review]
        if row is not None and row.decision_ids and review.case_id is not None:
            named.append(changed(review, case_id=None, decision_id=row.decision_ids[-1]))
        for form in named:
            try:
                entry = decide_review(self._context, self._author, row, form, told.source, told.kafka_ms)
            except BadRecord:
                continue
            except Exception as error:  # noqa: BLE001 # as above
                self.failed_reviews.append(f"{review.review_id}: {type(error).__name__}")
                return
            self._apply(review.post_id, entry, told.source)
            return
        self._early.setdefault(review.post_id, []).append(told)

    def _apply(self, post_id: str, entry: Entry, source: Source) -> None:
        self._author = apply_effect(self._author, entry.effect, source.topic, source.offset)
        self._rows[post_id] = entry.post
        for clock in entry.clocks_set:
            self._clocks[clock.action_id] = (post_id, clock)
        for clock in entry.clocks_cleared:
            self._clocks.pop(clock.action_id, None)

    def _fire(self, now_ms: int) -> None:
        due = [(clock.due_ms, id) for id, (_, clock) in self._clocks.items() if clock.due_ms + CLOCK_GRACE_MS < now_ms]
        for due_ms, id in sorted(due):
            post_id, clock = self._clocks.pop(id)
            entry = clocks.fire(self._context, self._author, self._rows.get(post_id), self._author_id, post_id, clock)
            if entry is None:
                continue
            self._author = clocks.after(self._author, entry)
            self._rows[post_id] = entry.post
            if any(output.topic is Topic.ACTIONS for output in entry.outputs):
                self.removals.append(due_ms)


def _event_ms(decision: Decision) -> int:
    return min(to_kafka_ms(decision.occurred_at), to_kafka_ms(decision.decided_at))


def _post(decision: Decision) -> Post:
    """The post as far as its decision tells; decide_post asks no text of it."""
    deleted = decision.event == "deleted"
    return Post(
        event=cast(Literal["created", "edited", "deleted"], decision.event),
        post_id=decision.post_id,
        revision=decision.revision,
        author_id=decision.author_id,
        occurred_at=decision.occurred_at,
        text=None if deleted else "",
        platform=decision.platform,
        lang=decision.context.lang,
        reply_to=decision.context.reply_to,
        reports=decision.context.reports,
        minor_suspected=decision.context.minor_suspected,
    )
