"""The table as the pipeline sees it: partitions, the wait for the changelog, the brokers' clock, faults of the disk."""

import asyncio
import gc
from types import SimpleNamespace
from typing import Any

import pytest
from faust.streams import current_event

from tests.unit.looped import Hands
from workers.datadir import condemn
from workers.errors import GuaranteeAtRisk
from workers.table import CLOCK_FRESH_SECONDS, AuthorsTable, TableStore

AT_MS = 1_793_491_200_000
APPENDED, CREATED = 1, 0  # Kafka's kinds of a record's timestamp


class Table:
    """Faust's, as far as a TableStore uses it: it learns its partition from the current event alone."""

    def __init__(self) -> None:
        self.rows: dict[tuple[int, bytes], bytes] = {}
        self.under_way: list[Any] = []
        self.fails: Exception | None = None

    def _at(self, key: bytes) -> tuple[int, bytes]:
        gc.collect()  # Faust keeps a weak reference to the event
        if self.fails is not None:
            raise self.fails
        event = current_event()
        assert event is not None, "no event: Faust would not know where the row belongs"
        assert event.message.topic == "posts"
        return event.message.partition, key

    def get(self, key: bytes) -> bytes | None:
        return self.rows.get(self._at(key))

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self.rows[self._at(key)] = value

    def pop(self, key: bytes, default: None) -> bytes | None:
        return self.rows.pop(self._at(key), default)


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def store(table: Table) -> TableStore:
    faust: Any = table
    return TableStore(faust, "posts")


def test_each_access_names_its_partition(table: Table, store: TableStore) -> None:
    store.put(3, "k", b"three")
    store.put(4, "k", b"four")
    assert table.rows == {(3, b"k"): b"three", (4, b"k"): b"four"}
    assert (store.get(3, "k"), store.get(4, "k"), store.get(5, "k")) == (b"three", b"four", None)
    store.delete(3, "k")
    store.delete(3, "gone before")
    assert table.rows == {(4, b"k"): b"four"}
    assert current_event() is None, "left set for whoever runs next"


# -- the changelog -----------------------------------------------------------------------------------------------------


def acknowledged(kind: int = CREATED, at_ms: int = AT_MS) -> Any:
    return SimpleNamespace(timestamp=at_ms, timestamp_type=kind)


def test_every_row_under_way_is_awaited_once(table: Table, store: TableStore) -> None:
    async def run() -> None:
        futures = [asyncio.get_running_loop().create_future() for _ in range(3)]
        table.under_way.extend(futures)
        flushing = asyncio.ensure_future(store.flush())
        for future in futures:
            await asyncio.sleep(0.01)
            assert not flushing.done()
            future.set_result(acknowledged())
        await flushing
        assert table.under_way == []
        await store.flush()

    asyncio.run(run())


@pytest.mark.parametrize("at", range(3))
def test_a_row_that_is_not_taken_is_a_guarantee_at_risk(table: Table, store: TableStore, at: int) -> None:
    async def run() -> None:
        for n in range(3):
            future = asyncio.get_running_loop().create_future()
            future.set_exception(TimeoutError("本文")) if n == at else future.set_result(acknowledged())
            table.under_way.append(future)
        with pytest.raises(GuaranteeAtRisk) as raised:
            await store.flush()
        assert str(raised.value) == "the authors' changelog took no write: TimeoutError"
        for future in table.under_way:
            future.exception()

    asyncio.run(run())


def test_a_write_of_fausts_table_keeps_its_future(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faust gives it to nobody; without it a commit could come before the row."""
    monkeypatch.setattr(AuthorsTable.__mro__[1], "send_changelog", lambda self, *_: "future")
    table: Any = object.__new__(AuthorsTable)
    table.under_way = []
    assert table.send_changelog(0, b"k", b"v") == "future"
    assert table.under_way == ["future"]


# -- the disk ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["get", "put", "delete"])
def test_what_the_disk_refuses_ends_the_worker_with_the_reason_and_no_row(
    table: Table, store: TableStore, how: str, tmp_path: Any
) -> None:
    table.fails = Exception("Corruption: block checksum mismatch: 秘密 in /d/9.sst")
    with pytest.raises(GuaranteeAtRisk) as raised:
        {"get": store.get, "delete": store.delete}[how](2, "k") if how != "put" else store.put(2, "k", b"v")
    assert str(raised.value) == "the store in MIMAMORI_DATADIR, partition 2: Corruption: block checksum mismatch"
    assert condemn(tmp_path, raised.value)


def test_other_errors_pass_as_they_are(table: Table, store: TableStore) -> None:
    table.fails = KeyError("k")
    with pytest.raises(KeyError):
        store.get(0, "k")


# -- the clock ---------------------------------------------------------------------------------------------------------


def test_the_brokers_time_is_the_latest_that_was_told_and_what_has_gone_by_since() -> None:
    hands = Hands(wall=5.0)
    clock = hands.clock()
    assert clock.now_ms() == 5_000, "nobody told: the host's"
    clock.note(acknowledged(APPENDED))
    hands.wall = 1e9
    assert clock.now_ms() == AT_MS
    hands.monotonic += 1.5
    assert clock.now_ms() == AT_MS + 1_500
    clock.note(acknowledged(APPENDED, AT_MS + 1_400))
    assert clock.now_ms() == AT_MS + 1_400, "never ahead of what a broker said"


def test_a_time_that_a_producer_wrote_is_not_the_brokers() -> None:
    """A topic from before, or the demo's broker, gives back the host's own."""
    hands = Hands(wall=7.0)
    clock = hands.clock()
    clock.note(acknowledged(CREATED))
    assert clock.now_ms() == 7_000
    clock.note(acknowledged(APPENDED, 1_234))  # librdkafka's mock cluster, to every produce request
    assert clock.now_ms() == 7_000


@pytest.mark.parametrize("kind", [APPENDED, CREATED])
def test_asked_lately_is_fresh_whatever_was_told(kind: int) -> None:
    hands = Hands()
    clock = hands.clock()
    assert not clock.fresh
    clock.note(acknowledged(kind))
    hands.monotonic += CLOCK_FRESH_SECONDS - 0.1
    assert clock.fresh
    hands.monotonic += 0.1
    assert not clock.fresh


def test_acknowledgements_of_the_changelog_tell_it(table: Table, store: TableStore) -> None:
    async def run() -> None:
        future = asyncio.get_running_loop().create_future()
        future.set_result(acknowledged(APPENDED))
        table.under_way.append(future)
        await store.flush()

    asyncio.run(run())
    assert 0 <= store.clock.now_ms() - AT_MS < 60_000
