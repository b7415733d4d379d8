"""Streams of posts and reviews for property tests: any authors, any scores, edits, deletions, verdicts, clocks."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from hypothesis import strategies as st

from models.labels import LABEL_IDS
from tests.unit import memory
from tests.unit.memory import AT_MS, HOUR_MS, Json, MemoryRows
from workers.decide import Context
from workers.events import Action, Topic, Verdict
from workers.judge import Scored
from workers.pipeline import Incoming, Pipeline
from workers.policy import Policy
from workers.state import Output, changed

CONTEXT: Final = memory.CONTEXT


def raised(policy: Policy) -> Policy:
    """A policy whose model may do anything alone."""
    authority = changed(policy.data.authority, model=list(Action))
    return Policy(changed(policy.data, authority=authority), policy.version, policy.thresholds)


CONTEXTS: Final = {"default": CONTEXT, "raised authority": Context(raised(memory.POLICY), "model-1")}


@dataclass(frozen=True)
class Event:
    """Something that an author, or staff about an author, do some hours after what came before.

    `does`: write (a new revision of `post`), delete, or a verdict.
    """

    author: str
    post: str
    does: str
    hours: int
    scores: tuple[tuple[str, float], ...] = ()
    imminent: bool = False
    fields: tuple[tuple[str, Any], ...] = ()
    by: str = "s1"
    action: Action = Action.NONE
    hours_late: int = 0


@dataclass(frozen=True)
class Told:
    """One record and what the classifier says of it."""

    event: Event
    record: Incoming
    scored: Scored | None

    @property
    def at_ms(self) -> int:
        """When the broker took it."""
        return self.record.timestamp_ms


AUTHORS: Final = ("ann", "bob", "cho")
END_MS: Final = AT_MS + 100_000 * HOUR_MS  # every clock has run out
POSTS: Final = ("p1", "p2", "p3")
SCORE: Final = st.sampled_from([0.5, 0.55, 0.6, 0.8, 0.9, 1.0]) | st.floats(0.0, 1.0)
_FIELDS = st.tuples(st.sampled_from([0, 1, 5, 80]), st.booleans()).map(
    lambda told: (("reports", told[0]), ("minor_suspected", told[1]))
)


def scores(labels: Sequence[str] = LABEL_IDS) -> st.SearchStrategy[tuple[tuple[str, float], ...]]:
    """Any scores of some labels."""
    return st.dictionaries(st.sampled_from(labels), SCORE, max_size=3).map(lambda told: tuple(sorted(told.items())))


def writes(author: str, labels: Sequence[str] = LABEL_IDS) -> st.SearchStrategy[Event]:
    """A new revision of one of the author's posts."""
    return st.builds(
        Event,
        author=st.just(author),
        post=st.sampled_from(POSTS),
        does=st.just("write"),
        hours=st.sampled_from([0, 0, 0, 1, 23, 24, 25, 700, 2_200]),
        scores=scores(labels),
        imminent=st.booleans(),
        fields=_FIELDS,
        hours_late=st.sampled_from([0, 0, 0, 5, 1_000]),
    )


def events(author: str, labels: Sequence[str] = LABEL_IDS) -> st.SearchStrategy[Event]:
    """Anything about one author; mostly posts, since a review of what was never written is a dead letter."""
    other = st.builds(
        Event,
        author=st.just(author),
        post=st.sampled_from(POSTS),
        does=st.sampled_from(["delete", *(verdict.value for verdict in Verdict)]),
        hours=st.sampled_from([0, 1, 25]),
        by=st.sampled_from(["s1", "s2"]),
        action=st.sampled_from(list(Action)),
    )
    return st.one_of(*[writes(author, labels)] * 3, other)


def lives(*authors: str, labels: Sequence[str] = LABEL_IDS, most: int = 8) -> st.SearchStrategy[list[Event]]:
    """A stream about these authors."""
    return st.lists(st.one_of([events(author, labels) for author in authors]), min_size=most // 4, max_size=most)


def told(stream: Sequence[Event], *, start_ms: int = AT_MS) -> list[Told]:
    """The records of a stream, as its topics hold them."""
    at_ms = start_ms
    revisions: dict[tuple[str, str], int] = {}
    offsets = {Topic.POSTS: 0, Topic.STAFF_REVIEWS: 0}
    found = []
    for event in stream:
        at_ms += event.hours * HOUR_MS + 1
        name = f"{event.author}-{event.post}"  # post ids are the platform's: no two authors share one
        if event.does in ("write", "delete"):
            revision = revisions.get((event.author, event.post), 0) + 1
            revisions[event.author, event.post] = revision
            record = memory.post(
                name,
                revision,
                text=f"本文{revision}" if event.does == "write" else None,
                author_id=event.author,
                offset=offsets[Topic.POSTS],
                at_ms=at_ms,
                occurred_ms=at_ms - event.hours_late * HOUR_MS,
                **dict(event.fields),
            )
            offsets[Topic.POSTS] += 1
        else:
            more = {"action": event.action.value} if event.does == "change_action" else {}
            record = memory.review(
                event.does,
                name,
                review_id=f"r{offsets[Topic.STAFF_REVIEWS]}",
                revision=max(1, revisions.get((event.author, event.post), 0)),
                author_id=event.author,
                offset=offsets[Topic.STAFF_REVIEWS],
                at_ms=at_ms,
                reviewer_id=event.by,
                **more,
            )
            offsets[Topic.STAFF_REVIEWS] += 1
        said = memory.scored(imminent=event.imminent, **dict(event.scores)) if event.does == "write" else None
        found.append(Told(event, record, said))
    return found


def feed(line: Pipeline, one: Told) -> list[Output]:
    """Steps 2 and 4."""
    return line.apply(line.decode(one.record), one.scored)


def time_passes(line: Pipeline, now_ms: int) -> list[Output]:
    """What the clocks owe that ran out by `now_ms`."""
    outputs: list[Output] = []
    for author_id, post_id, clock in line.due(0, now_ms):
        outputs += line.fire(0, author_id, post_id, clock)
        line.settle(0, clock)
    return outputs


def play(line: Pipeline, stream: Sequence[Told]) -> list[list[Output]]:
    """What each record yields, after what the clocks owe that ran out since the record before."""
    return [[*time_passes(line, one.at_ms - 1), *feed(line, one)] for one in stream]


def whole(stream: Sequence[Told], context: Context = CONTEXT) -> list[list[Output]]:
    """One life from the first record to the last, and silence after it."""
    line = memory.pipeline(MemoryRows(), context=context)
    return [*play(line, stream), time_passes(line, END_MS)]


def records(outputs: Sequence[Sequence[Output]], topic: Topic) -> list[Json]:
    """All records of one topic."""
    return [json.loads(output.value) for some in outputs for output in some if output.topic is topic]
