"""What holds for every stream: no example, but any authors, scores, edits, deletions, verdicts and clocks."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.labels import DISTRESS, VIOLATION_IDS
from tests.scenarios.always import UNSPEAKABLE
from tests.unit import memory, streams
from tests.unit.memory import Json, MemoryRows, identity
from tests.unit.streams import (
    AUTHORS,
    CONTEXTS,
    END_MS,
    Event,
    Told,
    feed,
    lives,
    play,
    time_passes,
    told,
    whole,
    writes,
)
from workers.decide import Context
from workers.events import Action, Topic, to_kafka_ms
from workers.policy import MILD_TO_HARSH
from workers.state import Output

MANY = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


# -- a higher score is never treated more mildly -----------------------------------------------------------------------


def _rank(action: str) -> int:
    return -1 if action == Action.RESTORE else MILD_TO_HARSH.index(Action(action))


def _ends_in(life: Sequence[Event], policy: str) -> tuple[int, int]:
    """How harsh the decision on the last post is, and what then stands on that post."""
    rows = MemoryRows()
    *_, last = play(memory.pipeline(rows, context=CONTEXTS[policy]), told(life))
    decision = memory.only(last, Topic.DECISIONS)
    return _rank(decision["action"]), _rank(rows.post(decision["post_id"], decision["author_id"]).standing)


@MANY
@given(
    lives("ann"),
    writes("ann"),
    st.sampled_from(VIOLATION_IDS),
    st.tuples(streams.SCORE, streams.SCORE).map(sorted),
    st.booleans(),
    st.sampled_from(sorted(CONTEXTS)),
)
def test_a_higher_score_never_yields_a_milder_action(
    past: list[Event], last: Event, label: str, low_high: list[float], anew: bool, policy: str
) -> None:
    """All else equal: the same past, the same text by any other label. An edit never leaves less standing either."""
    mild, harsh = (
        _ends_in([*past, replace(last, post="p9" if anew else last.post, scores=scores)], policy)
        for scores in (tuple((dict(last.scores) | {label: score}).items()) for score in low_high)
    )
    assert harsh[1] >= mild[1]
    assert harsh[0] >= mild[0]


# -- distress alone is no violation ------------------------------------------------------------------------------------


@st.composite
def cries(draw: st.DrawFn) -> list[Event]:
    """Ann's life, with posts d1 … d3 flagged distress alone: written, edited, deleted, reviewed.

    Left out are changes of action: what people do to such a post, they do.
    """
    life = draw(lives("ann"))
    events = streams.events("ann", [DISTRESS]).filter(lambda event: event.does != "change_action")
    for event in draw(st.lists(events, min_size=1, max_size=4)):
        flagged = ((DISTRESS, draw(st.floats(0.5, 1.0))),) if event.does == "write" else ()
        life.insert(draw(st.integers(0, len(life))), replace(event, post=f"d{event.post[1:]}", hours=0, scores=flagged))
    return life


def _cried(record: Json) -> bool:
    return bool(record["post_id"].startswith("ann-d"))


@dataclass(frozen=True)
class _Lived:
    """A life and what it left: outputs, and how harsh what stands on each post is at the end."""

    outputs: list[list[Output]]
    standing: dict[str, int]

    def found(self) -> list[Json]:
        """What was found in the other posts. Only `history.posts`, and whether the machine suspended, may differ."""
        told = [one for one in streams.records(self.outputs, Topic.DECISIONS) if not _cried(one)]
        names = ("decision_id", "flagged", "severity", "clauses", "scores")
        return [
            {name: one[name] for name in names} | {"history": one["history"] | {"posts": 0, "suspended": False}}
            for one in told
        ]

    def done(self) -> dict[str, Json]:
        """What was done and why, by id: not in which words, and by when."""
        actions = streams.records(self.outputs, Topic.ACTIONS)
        return {one["action_id"]: {name: one[name] for name in ("action", "clause", "reasons")} for one in actions}


def _lived(stream: Sequence[Told], policy: str) -> _Lived:
    rows = MemoryRows()
    line = memory.pipeline(rows, context=CONTEXTS[policy])
    outputs = [*play(line, stream), time_passes(line, END_MS)]
    posts = {one["post_id"] for one in streams.records(outputs, Topic.DECISIONS) if not _cried(one)}
    stand = {post: rows.post(post, post.partition("-")[0]) for post in posts}
    return _Lived(outputs, {post: max(_rank(row.standing), _rank(row.beside)) for post, row in stand.items()})


@MANY
@given(cries(), st.sampled_from(sorted(CONTEXTS)))
def test_distress_alone_yields_no_action_and_no_strike_whatever_else_there_is(life: list[Event], policy: str) -> None:
    """Beside the same life without these posts: the same is found in the others, for the same reasons, and nothing
    harsher is left standing on any. A clock that must not act, and gentle words, are all that distress changes.
    """
    stream = told(life)
    lived = _lived(stream, policy)
    assert not any(_cried(action) for action in streams.records(lived.outputs, Topic.ACTIONS))
    for decision in filter(_cried, streams.records(lived.outputs, Topic.DECISIONS)):
        assert (decision["action"], decision["clauses"], decision["severity"]) == ("none", [], "none")
    calm = _lived([one for one in stream if not one.event.post.startswith("d")], policy)
    assert lived.found() == calm.found()
    done, otherwise = lived.done(), calm.done()
    assert {id: done[id] for id in done.keys() & otherwise} == {id: otherwise[id] for id in done.keys() & otherwise}
    assert all(stands <= calm.standing[post] for post, stands in lived.standing.items())


@MANY
@given(lives("ann", most=12), st.sampled_from(sorted(CONTEXTS)))
def test_a_person_in_distress_is_never_told_of_violation_penalty_score_or_machine(
    life: list[Event], policy: str
) -> None:
    """Not by a message of care, nor by a notice about a post that is flagged distress or comes within two weeks of one.

    Nor does a clock act on them: what it removed was theirs who had been silent about everything.
    """
    stream = told(life)
    days_ms = CONTEXTS[policy].policy.data.windows.distress_days * memory.DAY_MS
    in_distress: dict[str, bool] = {}
    cried_ms: list[int] = []
    for one, outputs in zip(stream, whole(stream, CONTEXTS[policy]), strict=False):  # the last is the silence after it
        told_ms = one.at_ms - one.event.hours_late * memory.HOUR_MS
        lately = bool(cried_ms) and told_ms <= max(cried_ms) + days_ms
        for output in outputs:
            record = json.loads(output.value)
            if output.topic is Topic.DECISIONS and record["scores"]:
                in_distress[record["post_id"]] = DISTRESS in record["flagged"]
                cried_ms += [told_ms] * (DISTRESS in record["flagged"])
            elif output.topic is Topic.CARE:
                assert not UNSPEAKABLE.search(json.dumps(record["message"], ensure_ascii=False))
            elif output.topic is Topic.ACTIONS and record["automated"] and record["cause"] != record["decision_id"]:
                due_ms = to_kafka_ms(datetime.fromisoformat(record["appeal_until"])) - 14 * memory.DAY_MS
                assert all(due_ms > cry + days_ms for cry in cried_ms), "a clock removed it"
            elif output.topic is not Topic.ACTIONS or record["action"] == Action.RESTORE:
                continue
            elif lately or in_distress.get(record["post_id"]):
                assert not UNSPEAKABLE.search(json.dumps(record["notice"], ensure_ascii=False))
                assert record["due_at"] is None


# -- a replay decides the same -----------------------------------------------------------------------------------------


def _by_id(outputs: Iterable[Sequence[Output]]) -> dict[tuple[str, str], bytes]:
    """As readers see it who drop repeats; a repeat has the same bytes."""
    found: dict[tuple[str, str], bytes] = {}
    for some in outputs:
        for output in some:
            assert found.setdefault(identity(output), output.value) == output.value
    return found


@st.composite
def merged(draw: st.DrawFn, first: list[Told], second: list[Told]) -> list[Told]:
    """Both lists in one, each in its own order."""
    found, left = [], [list(first), list(second)]
    while any(left):
        found.append((left[draw(st.integers(0, 1))] or left[0] or left[1]).pop(0))
    return found


@MANY
@given(lives(*AUTHORS, most=12), st.data())
def test_replaying_any_prefix_and_then_the_rest_gives_the_bytes_of_the_whole(
    life: list[Event], data: st.DataObject
) -> None:
    """The worker dies anywhere and goes back to any commit of each topic; the model has been replaced meanwhile."""
    stream = told(life)
    once = _by_id(whole(stream))
    died = data.draw(st.integers(0, len(stream)), "records before it dies")
    rows = MemoryRows()
    first = play(memory.pipeline(rows), stream[:died])
    posts, reviews = (
        [one for one in stream[:died] if one.record.kind is kind] for kind in (Topic.POSTS, Topic.STAFF_REVIEWS)
    )
    posts = posts[data.draw(st.integers(0, len(posts)), "commit of posts") :]
    reviews = reviews[data.draw(st.integers(0, len(reviews)), "commit of reviews") :]
    new_model = memory.pipeline(rows, context=Context(memory.POLICY, "model-2"))
    for one in data.draw(merged(posts, reviews)):
        now = replace(one, scored=one.scored and memory.scored("threat", imminent=True))
        again = feed(new_model, now)
        assert again == first[stream.index(one)][-len(again) :]
    rest = memory.pipeline(rows)
    found = [*first, *play(rest, stream[died:]), time_passes(rest, END_MS)]
    assert _by_id(found) == once


@settings(MANY, max_examples=100)
@given(lives(*AUTHORS, most=12))
def test_the_same_stream_gives_the_same_bytes(life: list[Event]) -> None:
    assert whole(told(life)) == whole(told(life))


# -- the order of unrelated authors does not matter --------------------------------------------------------------------


def _of_each(stream: Sequence[Told]) -> dict[str, list[Json]]:
    """What concerns each author, in its order. Where the log has the record is all that may differ."""
    line = memory.pipeline(MemoryRows())
    found: dict[str, list[Json]] = {author: [] for author in AUTHORS}
    offsets = {Topic.POSTS: 0, Topic.STAFF_REVIEWS: 0}
    for one in stream:
        kind = one.record.kind
        for output in feed(line, replace(one, record=replace(one.record, offset=offsets[kind]))):
            record = json.loads(output.value)
            record.get("source", {}).pop("offset", None)
            found[one.event.author].append(record)
        offsets[kind] += 1
    for output in time_passes(line, END_MS):
        record = json.loads(output.value)
        found[record["author_id"]].append(record)
    return found


@MANY
@given(lives(*AUTHORS, most=14), st.data())
def test_the_order_of_unrelated_authors_does_not_matter_to_any_of_them(life: list[Event], data: st.DataObject) -> None:
    """Three authors in one partition, merged in another order that keeps each one's own."""
    stream = told(life)
    ann, bob, cho = ([one for one in stream if one.event.author == author] for author in AUTHORS)
    other = data.draw(merged(data.draw(merged(ann, bob)), cho))
    assert _of_each(other) == _of_each(stream)
