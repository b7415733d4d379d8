"""Fixtures for all tests, and when the ones marked `kafka` are skipped.

Without Java or Kafka's jars they are skipped and say so; with "kafka" in MIMAMORI_REQUIRE (CI, `make kafka-test`)
they fail instead, so that a machine set up for them cannot leave them out unseen.
"""

import functools
import os
import uuid
from collections.abc import Iterator

import pytest

from tests.kafka import cluster

kafka_missing = functools.cache(cluster.missing)

# The product refuses MIMAMORI_* variables that it does not know; tests start it as a subprocess of this one.
REQUIRED = frozenset(os.environ.pop("MIMAMORI_REQUIRE", "").replace(",", " ").split())


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that takes the broker needs the marker; before -m selects, so that it counts there."""
    for item in items:
        if "kafka" in getattr(item, "fixturenames", ()) and item.get_closest_marker("kafka") is None:
            item.add_marker("kafka")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, or fail where Kafka is required."""
    if item.get_closest_marker("kafka") is None:
        return
    reason = kafka_missing()
    if reason is not None:
        if "kafka" in REQUIRED:
            pytest.fail(f"MIMAMORI_REQUIRE names kafka, but: {reason}", pytrace=False)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def kafka() -> Iterator[cluster.KafkaCluster]:
    """One real broker for the whole run, started by the first test that asks. Tests share it: use `unique` names."""
    with cluster.KafkaCluster(1) as running:
        yield running


@pytest.fixture
def unique() -> str:
    """A name no other test has: for groups, and as the start of topics and keys."""
    return f"t{uuid.uuid4().hex[:10]}"


@pytest.fixture
def topics_prefix(unique: str) -> str:
    """A MIMAMORI_TOPIC_PREFIX no other test has."""
    return f"{unique}-"
