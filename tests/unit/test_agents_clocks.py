"""When a removal clock fires: by the brokers' time, caught up to it, never earlier, whatever the host's clock says."""

import asyncio
from collections.abc import Sequence

import pytest

from tests.unit.looped import POSTS, Hands, Stage, Store
from tests.unit.memory import AT_MS, DAY_MS, HOUR_MS, ScriptedClassifier, post
from workers.agents import CLOCK_GRACE_MS
from workers.events import Topic
from workers.table import CLOCK_FRESH_SECONDS

DUE_MS = AT_MS + DAY_MS
HOURS = 3_600.0
SKEWS = [0.0, 2 * HOURS, -2 * HOURS, 24 * 366 * HOURS, -24 * 366 * 50 * HOURS]


def asked() -> Store:
    """The store of a worker that asked for a removal and has gone."""
    stage = Stage(ScriptedClassifier(lambda _: ("defamation",)))
    stage.store.broker_ms = AT_MS
    asyncio.run(stage.run(stage.events([post()])))
    assert stage.failed == []
    assert len(stage.store.clocks()) == 1
    return stage.store


def heir(rows: Store, now_ms: int, skew: float, told: bool = True) -> tuple[Stage, Hands]:
    """Another worker on that store, whose host's clock is off by `skew` seconds; `told`: the broker tells the time."""
    stage = Stage(ScriptedClassifier(), rows)
    hands = Hands(now_ms / 1000 + skew)
    stage.store.clock = hands.clock()
    stage.store.broker_ms = now_ms if told else None
    return stage, hands


def tick(stage: Stage) -> list[str]:
    """Actions that a tick has led to."""
    asyncio.run(stage.loop.tick())
    assert stage.failed == []
    return [record["action"] for name, record in stage.broker.sent if name == Topic.ACTIONS.value]


@pytest.mark.parametrize("skew", SKEWS)
def test_a_hosts_clock_moves_no_removal(skew: float) -> None:
    rows = asked()
    for now_ms, fired in (
        (DUE_MS - HOUR_MS, []),
        (DUE_MS + CLOCK_GRACE_MS - 1, []),
        (DUE_MS + CLOCK_GRACE_MS, ["remove"]),
    ):
        stage, _ = heir(rows, now_ms, skew)
        assert tick(stage) == fired, now_ms - DUE_MS
        assert len(rows.clocks()) == 1 - len(fired)


@pytest.mark.parametrize("jump", SKEWS)
def test_a_jump_of_the_hosts_clock_moves_no_removal_either(jump: float) -> None:
    stage, hands = heir(asked(), DUE_MS - HOUR_MS, 0.0)
    assert tick(stage) == []
    hands.wall += jump
    hands.monotonic += 30.0
    assert tick(stage) == []
    hands.monotonic += HOURS  # nothing is written meanwhile: the host counts on
    stage.store.broker_ms = DUE_MS + 30_000
    assert tick(stage) == ["remove"]


def test_where_no_broker_tells_the_time_the_hosts_is_taken() -> None:
    rows = asked()
    early, _ = heir(rows, DUE_MS - 1, 0.0, told=False)
    assert tick(early) == []
    late, _ = heir(rows, DUE_MS + CLOCK_GRACE_MS, 0.0, told=False)
    assert tick(late) == ["remove"]


def test_an_answer_that_is_no_time_is_not_taken_for_one() -> None:
    """The embedded broker stamps whatever it takes with 1234."""
    stage, _ = heir(asked(), DUE_MS + CLOCK_GRACE_MS, 0.0)
    stage.store.broker_ms = 1234
    assert tick(stage) == ["remove"]


def test_the_time_is_told_before_it_is_asked_how_far_the_log_goes() -> None:
    """An edit that was stamped in time and came between the two would be missed."""
    stage, _ = heir(asked(), DUE_MS + HOUR_MS, 0.0)
    stage.told.clear()
    assert tick(stage) == ["remove"]
    assert stage.told.index("changelog") < stage.told.index("ends") < stage.told.index("sent moderation-actions")


def test_a_partition_that_is_behind_fires_nothing() -> None:
    """The author's deletion may be what has not been read yet."""
    stage, _ = heir(asked(), DUE_MS + HOUR_MS, 0.0)
    stage.broker.ends[POSTS, 0] = 5
    assert tick(stage) == []
    assert len(stage.store.clocks()) == 1


def test_the_lag_is_shown_by_partition() -> None:
    """Faust's own sensor has none."""
    stage, _ = heir(asked(), AT_MS, 0.0)
    stage.broker.ends[POSTS, 0] = 5
    tick(stage)
    assert stage.metrics.lag.labels(POSTS, "0")._value.get() == 5
    stage.broker.ends[POSTS, 0] = 0
    tick(stage)
    assert stage.metrics.lag.labels(POSTS, "0")._value.get() == 0


def test_a_clocks_rows_are_in_the_changelog_before_it_is_sent_and_it_ends_only_after() -> None:
    stage, _ = heir(asked(), DUE_MS + HOUR_MS, 0.0)
    stage.told.clear()
    stage.broker.refuses = TimeoutError()
    with pytest.raises(Exception, match="moderation-actions took no record"):
        asyncio.run(stage.loop.tick())
    assert stage.told[:4] == ["changelog", "ends", "changelog", "sent moderation-actions"]
    assert len(stage.store.clocks()) == 1, "the next owner fires it again"


@pytest.mark.parametrize("quiet", [False, True])
def test_an_idle_worker_writes_once_a_minute_to_be_told(quiet: bool) -> None:
    stage, hands = heir(asked(), AT_MS, 0.0, told=not quiet)
    written = len(stage.store.log)
    before = dict(stage.store.rows)
    for _ in range(3):
        tick(stage)
    assert len(stage.store.log) == written + 1
    hands.monotonic += CLOCK_FRESH_SECONDS
    tick(stage)
    assert len(stage.store.log) == written + 2
    assert stage.store.rows == before, "written again as it stood"


def test_outputs_are_stamped_by_the_brokers_time() -> None:
    """Kafka refuses what is stamped more than an hour ahead, and readers go by these times."""
    stage, _ = heir(asked(), AT_MS + 7_000, 2 * HOURS)
    asyncio.run(stage.run(stage.events([post("p2", offset=0)])))
    assert stage.failed == []
    assert stage.broker.stamps == [(AT_MS + 7_000) / 1000]


@pytest.mark.parametrize("skew", SKEWS)
def test_nothing_is_forgotten_before_its_time_by_a_hosts_clock(skew: float) -> None:
    rows = asked()
    entries = _entries(rows)
    stage, _ = heir(rows, AT_MS, skew)
    records = [post(f"q{n}", offset=n) for n in range(3)]
    asyncio.run(stage.run(stage.events(records)))
    stage.broker.ends[POSTS, 0] = 3
    for _ in range(5):
        tick(stage)
    assert _entries(rows) >= entries
    assert len(_entries(rows)) == len(entries) + 3


def _entries(rows: Store) -> set[str]:
    return {key for _, key in rows.rows if key.startswith("r")}


@pytest.mark.parametrize("stopped", ["draining", "rebalancing", "recovering"])
def test_no_clock_fires_while_others_may_own_the_partition(stopped: str) -> None:
    stage, _ = heir(asked(), DUE_MS + HOUR_MS, 0.0)
    stage.health.draining = stopped == "draining"
    stage.broker.rebalancing = stopped == "rebalancing"
    stage.health.recovered = stopped != "recovering"
    assert tick(stage) == []
    assert stage.told == []


@pytest.mark.parametrize("owned", [[], [1]])
def test_clocks_of_others_are_left_alone(owned: Sequence[int]) -> None:
    stage, _ = heir(asked(), DUE_MS + HOUR_MS, 0.0)
    stage.broker.ends = {(POSTS, partition): 0 for partition in owned}
    for partition in owned:
        stage.ledger.finish(POSTS, partition, -1)
    assert tick(stage) == []
