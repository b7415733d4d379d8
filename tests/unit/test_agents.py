"""The loop's order, step by step: what is awaited before what, what a failure leaves, what a batch may hold."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest

from tests.unit import looped
from tests.unit.looped import POSTS, Stage
from tests.unit.memory import ScriptedClassifier, post
from workers import agents
from workers.agents import BATCH_CHARACTERS, SUB_BATCH, SUB_BATCH_CHARACTERS, cut
from workers.errors import GuaranteeAtRisk
from workers.pipeline import Incoming

pytestmark = pytest.mark.timeout(60)  # what should fail waits for ever where the code is broken

LONG = "あ" * SUB_BATCH_CHARACTERS


def posts(count: int, text: str = "本文") -> list[Incoming]:
    return [post(f"p{n}", text=text, offset=n) for n in range(count)]


async def until(there: Callable[[], bool]) -> None:
    while not there():  # noqa: ASYNC110 # what is waited for sets no event
        await asyncio.sleep(0.01)


async def ends_by(running: Awaitable[None], stage: Stage) -> BaseException:
    """The error that the loop told; its body goes on waiting then, for Faust acknowledges what an ended one took."""
    task = asyncio.ensure_future(running)
    await until(lambda: bool(stage.failed))
    await asyncio.sleep(0.05)
    assert not task.done(), "the agent's body ended"
    task.cancel()
    (error,) = stage.failed
    return error


# -- the order of the steps --------------------------------------------------------------------------------------------


def test_the_changelog_is_awaited_before_the_outputs_and_these_before_any_record_is_finished() -> None:
    async def run() -> None:
        stage = Stage()
        await stage.store.flush()  # the time was told lately: nothing else waits for the changelog
        stage.told.clear()
        stage.broker.go_on.clear()
        running = asyncio.ensure_future(stage.run(stage.events(posts(2))))
        await until(lambda: len(stage.broker.sent) == 2)
        assert stage.told.index("changelog") < stage.told.index("sent moderation-decisions")
        await asyncio.sleep(0.05)
        assert stage.finished == 0, "finished before its output was acknowledged"
        assert not any(step.startswith("ack ") for step in stage.told)
        stage.broker.go_on.set()
        await running
        assert stage.finished == 2
        assert stage.told[-2:] == ["ack 0", "ack 1"]
        assert stage.failed == []

    asyncio.run(run())


def test_rows_that_the_changelog_did_not_take_let_no_output_out() -> None:
    async def run() -> None:
        stage = Stage()
        await stage.store.flush()
        stage.store.fails = GuaranteeAtRisk("the authors' changelog took no write: KafkaTimeoutError")
        error = await ends_by(stage.run(stage.events(posts(1))), stage)
        assert isinstance(error, GuaranteeAtRisk)
        assert stage.broker.sent == []
        assert stage.finished == 0

    asyncio.run(run())


def test_an_output_that_is_not_acknowledged_finishes_nothing() -> None:
    async def run() -> None:
        stage = Stage()
        stage.broker.refuses = TimeoutError()
        error = await ends_by(stage.run(stage.events(posts(3))), stage)
        assert str(error) == "moderation-decisions took no record: TimeoutError"
        assert stage.finished == 0
        assert not any(step.startswith("ack ") for step in stage.told)

    asyncio.run(run())


def test_no_exception_leaves_the_agents_body(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faust acknowledges the whole batch of a body that raised; nothing may follow either."""

    async def run() -> None:
        stage = Stage()
        monkeypatch.setattr(stage.line, "apply", lambda *_: 1 / 0)
        error = await ends_by(stage.run(stage.events(posts(1)), stage.events(posts(2)[1:])), stage)
        assert isinstance(error, ZeroDivisionError)
        assert stage.finished == 0

    asyncio.run(run())


def test_a_batch_in_which_an_offset_is_missing_ends_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit that follows would cover the record that never came."""

    async def look(*_: object) -> int:
        return 1

    monkeypatch.setattr(agents, "first_offset_from", look)

    async def run() -> None:
        stage = Stage()
        first, _, third = posts(3)
        error = await ends_by(stage.run(stage.events([first, third])), stage)
        assert str(error) == f"{POSTS}/0: offset 1 was skipped before 2"
        assert (stage.broker.sent, stage.finished) == ([], 0)

    asyncio.run(run())


def test_what_lies_below_the_commit_is_not_sent_again() -> None:
    """Faust fetches from where the log begins before it seeks."""

    async def run() -> None:
        stage = Stage()
        stage.ledger.forget({(POSTS, 0)})
        stage.broker._committed_offset[stage.broker._new_topicpartition(POSTS, 0)] = 2
        await stage.run(stage.events(posts(4)))
        assert [record["source"]["offset"] for _, record in stage.broker.sent] == [2, 3]
        assert stage.ledger.next(POSTS, 0) == 4

    asyncio.run(run())


def test_what_was_taken_before_a_rebalance_is_left_to_its_owner() -> None:
    async def run() -> None:
        stage = Stage()
        await stage.run(stage.events(posts(2), generation=looped.GENERATION - 1))
        assert (stage.broker.sent, stage.finished) == ([], 0)
        stage.loop._fenced_generation = looped.GENERATION
        await stage.run(stage.events(posts(2)))
        assert (stage.broker.sent, stage.finished) == ([], 0)

    asyncio.run(run())


def test_what_comes_before_the_seek_waits_for_it_and_is_decided() -> None:
    """Faust lets partitions be fetched and seeks them then: where they begin was taken for 0, and the heir of a killed
    worker ended with "offset 0 was skipped before 1" more often than not."""

    async def run() -> None:
        stage = Stage()
        stage.ledger.forget({(POSTS, 0)})
        stage.broker.sought_generation = looped.GENERATION - 1
        running = asyncio.ensure_future(stage.run(stage.events(posts(7)[5:])))
        await asyncio.sleep(0.1)
        assert (stage.broker.sent, stage.failed) == ([], [])
        stage.broker._committed_offset[stage.broker._new_topicpartition(POSTS, 0)] = 5
        stage.broker.sought_generation = looped.GENERATION
        await running
        assert (len(stage.broker.sent), stage.finished, stage.failed) == (2, 7, [])

    asyncio.run(run())


# -- a rebalance and a shutdown ----------------------------------------------------------------------------------------


def test_partitions_go_only_when_the_batch_in_hand_is_through() -> None:
    async def run() -> None:
        stage = Stage()
        stage.broker.go_on.clear()
        running = asyncio.ensure_future(stage.run(stage.events(posts(1))))
        await until(lambda: bool(stage.broker.sent))
        leaving = asyncio.ensure_future(stage.loop.on_revoked({stage.broker._new_topicpartition(POSTS, 0)}))
        await asyncio.sleep(0.05)
        assert not leaving.done()
        stage.broker.go_on.set()
        await leaving
        assert stage.broker.commits == 1
        await running
        assert stage.finished is None, "read again from the commit by whoever comes next"

    asyncio.run(run())


def test_a_batch_that_hangs_does_not_hold_a_rebalance_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that kept its partitions while its group has gone on would be a zombie."""
    monkeypatch.setattr(agents, "DRAIN_SECONDS", 0.1)

    async def run() -> None:
        stage = Stage()
        stage.broker.go_on.clear()
        running = asyncio.ensure_future(stage.run(stage.events(posts(1))))
        await until(lambda: bool(stage.broker.sent))
        with pytest.raises(TimeoutError):
            await stage.loop.on_revoked({stage.broker._new_topicpartition(POSTS, 0)})
        assert isinstance(stage.failed[0], GuaranteeAtRisk)
        assert stage.broker.commits == 0
        running.cancel()

    asyncio.run(run())


# -- what a batch may hold ---------------------------------------------------------------------------------------------


def test_long_posts_are_classified_a_few_at_a_time_and_all_are_decided_in_order() -> None:
    """64 posts of 20,000 characters took the classifier far beyond its deadline: the worker ended, and its heir too."""

    async def run() -> None:
        classifier = ScriptedClassifier()
        stage = Stage(classifier)
        seen: list[int | None] = []
        flush = stage.store.flush

        async def noting() -> None:
            seen.append(stage.finished)
            await flush()

        stage.store.flush = noting  # type: ignore[method-assign]
        count = 3 * BATCH_CHARACTERS // SUB_BATCH_CHARACTERS
        await stage.run(stage.events([*posts(count, LONG), post("short", offset=count)]))
        assert stage.failed == []
        assert all(sum(map(len, call)) <= SUB_BATCH_CHARACTERS for call in classifier.calls)
        assert [d["source"]["offset"] for _, d in stage.broker.sent] == list(range(count + 1))
        per_batch = BATCH_CHARACTERS // SUB_BATCH_CHARACTERS
        assert {0, per_batch, 2 * per_batch} <= set(seen), "one batch for all of them"
        assert stage.finished == count + 1

    asyncio.run(run())


def test_a_rebalance_comes_between_two_batches_of_one_take() -> None:
    async def run() -> None:
        stage = Stage()
        stage.broker.go_on.clear()
        per_batch = BATCH_CHARACTERS // SUB_BATCH_CHARACTERS
        running = asyncio.ensure_future(stage.run(stage.events(posts(2 * per_batch, LONG))))
        await until(lambda: len(stage.broker.sent) == per_batch)
        leaving = asyncio.ensure_future(stage.loop.on_revoked({stage.broker._new_topicpartition(POSTS, 0)}))
        await asyncio.sleep(0.05)
        stage.broker.go_on.set()
        await asyncio.gather(leaving, running)
        assert len(stage.broker.sent) == per_batch, "decided after the partition had gone"

    asyncio.run(run())


@pytest.mark.parametrize("lengths", [[], [1], [SUB_BATCH_CHARACTERS], [1, SUB_BATCH_CHARACTERS, 1], [300] * 200])
def test_parts_are_as_large_as_allowed_and_no_larger(lengths: list[int]) -> None:
    stage = Stage()
    decoded = [stage.line.decode(post(f"p{n}", text="あ" * length, offset=n)) for n, length in enumerate(lengths)]
    parts = list(cut(decoded, SUB_BATCH, SUB_BATCH_CHARACTERS))
    assert [one for part in parts for one in part] == decoded
    for part in parts:
        assert len(part) <= SUB_BATCH
        assert sum(one.characters for one in part) <= SUB_BATCH_CHARACTERS
    for part, following in pairwise(parts):
        more = sum(one.characters for one in [*part, following[0]])
        assert len(part) == SUB_BATCH or more > SUB_BATCH_CHARACTERS, "smaller than it had to be"


def test_a_deletion_has_no_characters() -> None:
    deleted = Stage().line.decode(post(revision=2, text=None))
    assert (deleted.text, deleted.characters) == (None, 0)


# -- logs --------------------------------------------------------------------------------------------------------------


def test_no_log_of_a_failing_batch_shows_a_text(caplog: pytest.LogCaptureFixture) -> None:
    """Guarantee 6, where it is broken most easily: a model whose message quotes what it was given."""

    def fails(text: str) -> tuple[str, ...]:
        if "ひみつ" in text:
            raise RuntimeError(text)
        return ()

    async def run() -> None:
        stage = Stage(ScriptedClassifier(fails))
        with caplog.at_level(logging.DEBUG):
            await stage.run(stage.events([post("p0", text="ひみつ"), post("p1", offset=1)]))
        assert [name for name, _ in stage.broker.sent] == ["dead-letters", "moderation-decisions"]
        assert "ひみつ" not in json.dumps(stage.broker.sent[0][1]["error"], ensure_ascii=False)

    asyncio.run(run())
    assert "ひみつ" not in caplog.text
