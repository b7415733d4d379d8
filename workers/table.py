"""The authors' table as the pipeline sees it: rows in a partition, the wait for the changelog, and the brokers' clock.

Faust's own table does none of the three; see workers.app for the others of its places.
"""

import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Final

import faust
from faust.streams import _current_event

from workers.datadir import fault_of
from workers.errors import GuaranteeAtRisk

CLOCK_FRESH_SECONDS: Final = 60.0
_LOG_APPEND_TIME: Final = 1  # Kafka's, of a record's timestamp
_NO_CLOCK_MS: Final = 1_600_000_000_000  # 2020: librdkafka's mock broker answers 1234 and means nothing by it


class BrokerClock:
    """The time as the brokers have it, told by the acknowledgements of the changelog (layout.TopicSpec.configs).

    A host's own clock may be hours off, or jump. Between two acknowledgements its monotonic clock counts on, so the
    result is never ahead of the brokers'. Where they do not tell (an older topic, the demo's broker), the host's it is.
    """

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._heard: tuple[int, float] | None = None  # ms since the epoch, and when that was, in monotonic seconds
        self._asked: float | None = None

    @property
    def fresh(self) -> bool:
        """Something was written lately, so that nothing has to be written to be told the time."""
        return self._asked is not None and self._monotonic() - self._asked < CLOCK_FRESH_SECONDS

    def note(self, acknowledged: Any) -> None:
        """Of a record of the changelog, what the producer's future gave."""
        self._asked = self._monotonic()
        if acknowledged.timestamp_type == _LOG_APPEND_TIME and acknowledged.timestamp > _NO_CLOCK_MS:
            self._heard = int(acknowledged.timestamp), self._asked

    def now_ms(self) -> int:
        """ms since the epoch."""
        if self._heard is None:
            return int(self._wall() * 1000)
        told, at = self._heard
        return told + int((self._monotonic() - at) * 1000)


class AuthorsTable(faust.Table):
    """Keeps the futures of the changelog records that are under way."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.under_way: list[Any] = []

    def _on_changelog_sent(self, fut: Any) -> None:
        # Faust takes the offset for how far the store has read; past an heir's rows that would be wrong.
        if self.app.membership.holds:
            super()._on_changelog_sent(fut)

    def send_changelog(self, *args: Any, **kwargs: Any) -> Any:
        future = super().send_changelog(*args, **kwargs)
        self.under_way.append(future)
        return future


class _Event:
    """Enough of an event for Faust to know which partition a table access belongs to."""

    def __init__(self, topic: str, partition: int) -> None:
        self.message = SimpleNamespace(topic=topic, partition=partition)


class TableStore:
    """workers.pipeline.Store over the table, plus the wait for the changelog."""

    def __init__(self, table: AuthorsTable, source_topic: str) -> None:
        self._table = table
        self._source_topic = source_topic
        self._events: dict[int, _Event] = {}
        self.clock = BrokerClock()

    @contextmanager
    def _in_partition(self, partition: int) -> Iterator[None]:
        # Faust keeps a weak reference only, so the event has to live here.
        event = self._events.setdefault(partition, _Event(self._source_topic, partition))
        token = _current_event.set(weakref.ref(event))
        try:
            yield
        except Exception as error:
            fault = fault_of(error)
            if fault is None:
                raise
            raise GuaranteeAtRisk(f"the store in MIMAMORI_DATADIR, partition {partition}: {fault}") from error
        finally:
            _current_event.reset(token)

    def get(self, partition: int, key: str) -> bytes | None:
        with self._in_partition(partition):
            found: bytes | None = self._table.get(key.encode())
            return found

    def put(self, partition: int, key: str, value: bytes) -> None:
        with self._in_partition(partition):
            self._table[key.encode()] = value

    def delete(self, partition: int, key: str) -> None:
        with self._in_partition(partition):
            self._table.pop(key.encode(), None)

    async def flush(self) -> None:
        """Every row put so far is in the changelog, acknowledged by all in-sync replicas."""
        under_way, self._table.under_way = self._table.under_way, []
        for future in under_way:
            try:
                acknowledged = await future
            except Exception as error:  # noqa: BLE001 # whatever the client raises, the row is not there
                raise GuaranteeAtRisk(f"the authors' changelog took no write: {type(error).__name__}") from None
            self.clock.note(acknowledged)
