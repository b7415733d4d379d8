"""A reload: what decides afterwards, what the metrics show, and that a bad file changes nothing."""

import asyncio
import json
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import generate_latest

from tests.unit.memory import AT_MS, CONTEXT, EXECUTOR, MemoryRows, ScriptedClassifier, apply, pipeline, post, read
from tests.unit.policies import DEFAULT, POINTS, TEXT
from workers import policy, reload
from workers.admin import Health
from workers.agents import SUB_BATCH, Loop
from workers.decide import Context
from workers.errors import PolicyError
from workers.events import Topic
from workers.ledger import Ledger
from workers.pipeline import Pipeline
from workers.policy import Policy
from workers.table import BrokerClock
from workers.telemetry import JsonFormatter, Metrics

OTHER = policy.parse(TEXT.replace("strike_days: 90", "strike_days: 91"), "other.yml", POINTS)


# -- the file ----------------------------------------------------------------------------------------------------------


@dataclass
class Kept:
    """Fits workers.reload.Decider."""

    adopted: list[str] = field(default_factory=list)
    fails: bool = False

    async def adopt(self, policy: Policy) -> None:
        if self.fails:
            raise RuntimeError("本文")
        self.adopted.append(policy.version)


@dataclass
class Replica:
    """A policy file, the policy in use, and what it shows."""

    path: Path
    metrics: Metrics = field(default_factory=Metrics)
    decider: Kept = field(default_factory=Kept)

    def __post_init__(self) -> None:
        self.path.write_text(TEXT, "utf-8")
        context = Context(reload.load(self.path, POINTS), "model-1")
        self.in_use = reload.PolicyInUse(context, self.path, POINTS, self.metrics)

    def reload(self, text: str) -> None:
        self.path.write_text(text, "utf-8")
        asyncio.run(self.in_use.reload(self.decider))

    def shown(self, name: str) -> list[str]:
        return [line for line in generate_latest(self.metrics.registry).decode().splitlines() if line.startswith(name)]

    def versions(self) -> list[str]:
        return self.shown("mimamori_versions{")


@pytest.fixture
def replica(tmp_path: Path) -> Replica:
    return Replica(tmp_path / "policy.yml")


def versions(*known: Policy) -> list[str]:
    return [f'mimamori_versions{{model="model-1",policy="{one.version}"}} 1.0' for one in known]


def test_a_new_file_is_adopted_and_the_old_version_vanishes(replica: Replica) -> None:
    assert replica.versions() == versions(CONTEXT.policy)
    replica.reload(TEXT.replace("strike_days: 90", "strike_days: 91"))
    assert replica.decider.adopted == [OTHER.version]
    assert replica.versions() == versions(OTHER)
    assert replica.shown("mimamori_policy_reload_failed") == ["mimamori_policy_reload_failed 0.0"]


def test_the_same_file_again_keeps_the_version(replica: Replica) -> None:
    replica.reload(f"# another comment\n{TEXT}")
    assert replica.versions() == versions(CONTEXT.policy)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("labels: [", ":1: not valid YAML"),
        (
            TEXT.replace("borderline_ladder: caution", "borderline_ladder: stairs"),
            "borderline_ladder: unknown `stairs`",
        ),
        (TEXT.replace("imminent_signs:\n", "imminent_signs:\n  - (夜+)+$\n"), "imminent_signs[0]: `(夜+)+$"),
        ("", "Expected `object`, got `null`"),
    ],
)
def test_a_bad_file_keeps_the_old_policy_and_raises_an_alarm(
    replica: Replica, caplog: pytest.LogCaptureFixture, text: str, told: str
) -> None:
    replica.reload(text)
    assert replica.decider.adopted == []
    assert replica.versions() == versions(CONTEXT.policy)
    assert replica.shown("mimamori_policy_reload_failed") == ["mimamori_policy_reload_failed 1.0"]
    (record,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    line = json.loads(JsonFormatter().format(record))
    assert line["policy"] == CONTEXT.policy.version
    assert str(replica.path) in line["detail"]
    assert told in line["detail"]
    replica.reload(TEXT.replace("strike_days: 90", "strike_days: 91"))
    assert replica.versions() == versions(OTHER)
    assert replica.shown("mimamori_policy_reload_failed") == ["mimamori_policy_reload_failed 0.0"]


def test_a_file_that_is_gone_keeps_the_old_policy(replica: Replica) -> None:
    replica.path.unlink()
    asyncio.run(replica.in_use.reload(replica.decider))
    assert replica.versions() == versions(CONTEXT.policy)
    assert replica.shown("mimamori_policy_reload_failed") == ["mimamori_policy_reload_failed 1.0"]


def test_an_error_that_nobody_expected_is_told_without_its_words(
    replica: Replica, caplog: pytest.LogCaptureFixture
) -> None:
    replica.decider.fails = True
    replica.reload(TEXT.replace("strike_days: 90", "strike_days: 91"))
    assert replica.versions() == versions(CONTEXT.policy)
    (record,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    line = JsonFormatter().format(record)
    assert json.loads(line)["exception"] == "RuntimeError"
    assert "本文" not in line


def test_of_two_signals_the_later_file_wins(replica: Replica) -> None:
    async def both() -> None:
        first = asyncio.ensure_future(replica.in_use.reload(replica.decider))
        second = asyncio.ensure_future(replica.in_use.reload(replica.decider))
        await asyncio.sleep(0)
        replica.path.write_text(TEXT.replace("strike_days: 90", "strike_days: 91"), "utf-8")
        await asyncio.gather(first, second)

    asyncio.run(both())
    assert replica.decider.adopted[-1] == OTHER.version
    assert replica.versions() == versions(OTHER)


def test_stale_contacts_are_counted_on_the_day_of_the_scrape(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    later = SimpleNamespace(today=lambda: date(2025, 7, 30) + timedelta(days=546))
    monkeypatch.setattr(reload, "date", later)
    assert replica.shown("mimamori_stale_contacts") == ["mimamori_stale_contacts 14.0"]


def test_a_worker_starts_with_nothing_that_the_check_calls_an_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "policy.yml"
    path.write_text(TEXT.replace("imminent_signs:\n", "imminent_signs:\n  - (夜+)+$\n"), "utf-8")
    with pytest.raises(PolicyError, match="takes far too long"):
        reload.load(path, POINTS)
    caplog.set_level(logging.WARNING)
    reload.load(DEFAULT, POINTS)
    told = [json.loads(JsonFormatter().format(record)) for record in caplog.records]
    assert any("bodies.inochi_sos.verified_at" in line["why"] for line in told)


# -- between batches ---------------------------------------------------------------------------------------------------


class Topics:
    """What a Loop asks of the app: topics that acknowledge at once, and keep what they took."""

    consumer_generation_id = 1
    consumer = SimpleNamespace(sought_generation=1)

    def __init__(self) -> None:
        self.sent: dict[str, list[Any]] = {}

    def topic(self, name: str, **_: Any) -> Any:
        async def send(*, value: bytes, **_: Any) -> Any:
            self.sent.setdefault(name, []).append(json.loads(value))
            return asyncio.sleep(0)

        return SimpleNamespace(send=send)


class Rows(MemoryRows):
    """With what more a Loop needs."""

    clock = BrokerClock()

    async def flush(self) -> None: ...


def messages(first: int, count: int) -> list[Any]:
    """Posts as Faust hands them out."""
    found = []
    for offset in range(first, first + count):
        record = post(f"p{offset}", author_id=f"a{offset}", offset=offset)
        message = SimpleNamespace(
            topic=record.topic,
            partition=0,
            offset=offset,
            timestamp=AT_MS / 1000,
            key=record.key,
            value=record.value,
            headers=(),
            generation_id=1,
        )
        found.append(SimpleNamespace(message=message, ack=lambda: None))
    return found


def test_a_batch_that_is_begun_is_decided_by_the_policy_it_was_scored_under() -> None:
    """The new policy comes while the first of three parts is being classified."""
    at_work, go_on = threading.Event(), threading.Event()

    def slowly(text: str) -> Sequence[str]:
        at_work.set()
        assert go_on.wait(60)
        return ["insult"]

    rows, app, ledger = Rows(), Topics(), Ledger()
    ledger.finish("test-posts", 0, -1)
    line = Pipeline(CONTEXT, ScriptedClassifier(slowly), rows, EXECUTOR)
    outputs: dict[Topic, str] = {
        topic: topic.value for topic in Topic if topic not in (Topic.POSTS, Topic.STAFF_REVIEWS)
    }
    failed: list[BaseException] = []
    store: Any = rows
    loop = Loop(
        app, store, line, ledger, {"test-posts": Topic.POSTS}, outputs, Health(), Metrics(), failed.append, "nowhere:1"
    )
    size = 2 * SUB_BATCH + 1

    async def stream() -> None:
        async def batches(*_: Any, **__: Any) -> Any:
            yield messages(0, size)
            await adopted
            yield messages(size, size)

        async def adopt() -> None:
            await asyncio.to_thread(at_work.wait, 60)
            adopting = asyncio.ensure_future(loop.adopt(OTHER))
            await asyncio.sleep(0)
            go_on.set()
            await adopting

        adopted = asyncio.ensure_future(adopt())
        await loop.run(SimpleNamespace(noack_take=batches))

    asyncio.run(stream())
    assert failed == []
    decided = [record["policy_version"] for record in app.sent[Topic.DECISIONS]]
    assert decided == [CONTEXT.policy.version] * size + [OTHER.version] * size


def test_what_was_stored_under_the_old_policy_is_sent_as_it_was_stored() -> None:
    rows = MemoryRows()
    before = apply(pipeline(rows), post(), "insult")
    after = pipeline(rows, context=Context(OTHER, "model-1"))
    assert apply(after, post(), "insult") == before
    (decision,) = read(apply(after, post("p2", offset=1), "insult"), Topic.DECISIONS)
    assert decision["policy_version"] == OTHER.version
    assert decision["history"]["strikes"] == 1
