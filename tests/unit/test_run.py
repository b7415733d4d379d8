"""The end of a process that does not end by itself; all else of workers.run is tests/broker's and tests/cli's."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from workers.datadir import DAMAGED_FILE
from workers.errors import GuaranteeAtRisk
from workers.run import Replica
from workers.settings import Settings


class Exited(BaseException):
    """os._exit was called."""


@pytest.fixture
def replica(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """One that has joined; its waits take no time, and the third look of its watchdog ends the test."""
    looks = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) > 3:
            raise StopIteration

    def leave(code: int) -> None:
        raise Exited(code)

    monkeypatch.setattr("workers.run.time.sleep", sleep)
    monkeypatch.setattr("workers.run.os._exit", leave)
    made: Any = Replica(Settings(datadir=tmp_path))
    made.health.assigned = True
    made._worker = SimpleNamespace(crashed=False)
    return made


def late(replica: Any) -> None:
    replica.health.batch_deadline = time.monotonic() - 1


def silent(replica: Any) -> None:
    replica.health.beat = time.monotonic() - 60


def crashed(replica: Any) -> None:
    """Before any rebalance: a store that cannot be opened."""
    replica.health.assigned = False
    replica._worker.crashed = True


@pytest.mark.parametrize("what", [late, silent, crashed])
def test_the_watchdog_ends_the_process(replica: Any, what: Callable[[Any], None]) -> None:
    what(replica)
    with pytest.raises(Exited, match=str(GuaranteeAtRisk.exit_code)):
        replica._watch()


@pytest.mark.parametrize("starting", [False, True])
def test_the_watchdog_lets_a_sound_or_starting_worker_be(replica: Any, starting: bool) -> None:
    if starting:  # no beat yet while the model loads
        silent(replica)
        replica.health.assigned = False
    with pytest.raises(StopIteration):
        replica._watch()


def test_an_error_is_kept_with_its_code_and_a_damaged_store_is_marked(replica: Any, tmp_path: Path) -> None:
    replica._worker, replica._end = None, lambda: None
    replica.fail(Exception("Corruption: block checksum mismatch: x"))
    assert str(replica.error).startswith("Corruption")
    assert (tmp_path / DAMAGED_FILE).exists()


def test_a_failure_that_does_not_end_by_itself_is_ended(replica: Any) -> None:
    """Faust's own end can wait for a broker that is not there."""
    ending = threading.Event()
    stopped: list[Any] = []
    replica._end = ending.set
    replica._worker = SimpleNamespace(loop=SimpleNamespace(call_soon_threadsafe=stopped.append))
    replica.fail(GuaranteeAtRisk("moderation-decisions took no record: TimeoutError"))
    assert ending.wait(30)
    assert stopped == [replica._stop], "and asked to end by itself first"


def test_the_hard_exit_has_its_code(replica: Any) -> None:
    with pytest.raises(Exited, match="4"):
        replica._end()
