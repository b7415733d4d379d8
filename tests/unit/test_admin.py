"""The health port serves three paths and no content, whatever it is asked for."""

import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from workers.admin import Health, serve
from workers.telemetry import Metrics


@pytest.fixture
def port() -> Iterator[int]:
    metrics = Metrics()
    metrics.records.labels("posts").inc()
    opened, stop = serve(0, Health(), metrics)
    yield opened
    stop()


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/table", "/table/authors", "/tables", "/router", "/stats", "/graph", "/healthz", "/healthz/"),
        *("/healthz/live/x", "/HEALTHZ/LIVE", "/metrics/", "/../etc/passwd", "/%2e%2e/etc/passwd", "/favicon.ico"),
        *("/posts", "/authors/a", "/debug/pprof", "/env"),
    ],
)
def test_nothing_else_is_served(port: int, path: str) -> None:
    assert get(port, path) == (404, "not found\n")


def test_the_three_that_are_say_only_how_the_worker_is(port: int) -> None:
    assert get(port, "/healthz/live?x=1") == (200, "ok\n")
    assert get(port, "/healthz/ready") == (503, "the model is not loaded\nno rebalance has finished\n")
    status, shown = get(port, "/metrics")
    assert status == 200
    assert 'mimamori_records_total{topic="posts"} 1.0' in shown
    names = {line.split("{")[0].split(" ")[0] for line in shown.splitlines() if not line.startswith("#")}
    assert all(name.startswith("mimamori_") for name in names), "no process, no platform, no Python internals"


def ready() -> Health:
    health = Health()
    health.model_loaded = health.assigned = health.recovered = True
    return health


WRONG: dict[str, Callable[[Health], None]] = {
    "the model is not loaded": lambda health: setattr(health, "model_loaded", False),
    "no rebalance has finished": lambda health: setattr(health, "assigned", False),
    "the authors' table is recovering": lambda health: setattr(health, "recovered", False),
    "a batch is past its deadline": lambda health: setattr(health, "batch_deadline", time.monotonic() - 1),
    "shutting down": lambda health: setattr(health, "draining", True),
    "the event loop has been silent": lambda health: setattr(health, "beat", time.monotonic() - 31),
}


@pytest.mark.parametrize("reason", WRONG)
def test_ready_is_false_for_each_reason_by_itself(reason: str) -> None:
    health = ready()
    assert health.not_ready() == []
    WRONG[reason](health)
    (told,) = health.not_ready()
    assert told.startswith(reason)
    assert bool(health.not_live()) == ("silent" in reason), "a restart helps against a hang alone"


def test_a_batch_in_time_is_no_reason() -> None:
    health = ready()
    health.batch_deadline = time.monotonic() + 60
    assert health.not_ready() == []


def test_metrics_are_labelled_by_what_is_bounded_and_ours() -> None:
    collectors: Any = Metrics().registry._names_to_collectors
    labels = {name for collector in collectors.values() for name in collector._labelnames}
    assert labels <= {"topic", "partition", "action", "fault", "policy", "model"}, "authors and texts have no label"
