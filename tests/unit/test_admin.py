"""The health port serves three paths and no content, whatever it is asked for."""

import urllib.error
import urllib.request
from collections.abc import Iterator
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


def test_metrics_are_labelled_by_what_is_bounded_and_ours() -> None:
    collectors: Any = Metrics().registry._names_to_collectors
    labels = {name for collector in collectors.values() for name in collector._labelnames}
    assert labels <= {"topic", "partition", "action", "fault", "policy", "model"}, "authors and texts have no label"
