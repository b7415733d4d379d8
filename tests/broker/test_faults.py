"""Faults that a worker meets, on a real broker: what it can bear it bears, and from the rest it ends with 4 and leaves
all to its heir. tests/broker/faulty.py puts them in; each fault's finer points are in tests/unit."""

import base64
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.broker.conftest import Service
from tests.broker.faulty import FaultyWorker
from tests.broker.swallowing import SwallowingProxy
from tests.chaos import setting
from tests.harness import WorkerProcess, post, wait_until
from tests.kafka.cluster import KafkaCluster, _free_ports

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(420)]

Flags = Callable[..., dict[str, str]]
END_SECONDS = 120.0
MAX_STRIKES = 200  # of one author; workers.state


@pytest.fixture(scope="module")
def tiny() -> dict[str, str]:
    """A checkpoint that loads and answers fast: what it scores is no matter here."""
    return {"MIMAMORI_MODEL": str(setting.checkpoint())}


def faulty(service: Service, faults: dict[str, Any], **settings: str) -> WorkerProcess:
    """A replica with `faults`, not yet started."""
    worker = FaultyWorker(faults, **_bootstrap(service), **{**service.settings, **settings})
    service.workers.append(worker)
    return worker


def _bootstrap(service: Service) -> dict[str, str]:
    return {"bootstrap": service.settings["MIMAMORI_BOOTSTRAP_SERVERS"]}


def ended(worker: WorkerProcess) -> int:
    """Its exit code, once it has one."""
    assert worker.process is not None
    process = worker.process
    wait_until(lambda: process.poll() is not None, END_SECONDS, lambda: f"it runs on:\n{worker.tail()}")
    return int(process.returncode)


# -- the classifier ----------------------------------------------------------------------------------------------------


def test_the_one_text_on_which_the_classifier_raises_is_dead_and_the_rest_is_decided(
    service: Service, tiny: dict[str, str]
) -> None:
    outside = service.outside
    poison = post("ann", 7, "これだけは読めない")
    posts = [post("ann", number, f"本文{number}") for number in range(20)]
    posts[7] = poison
    with faulty(service, {"classifier": f"raises-on {poison['text']}"}, **tiny) as worker:
        outside.send(posts)
        wait_until(lambda: outside.committed(service.group, "posts") == 20, 120, worker.tail)
        assert worker.terminate() == 0, worker.tail()
        log = worker.log.read_text("utf-8")
    assert poison["text"] not in log
    decided = [record["post_id"] for record in outside.records("moderation-decisions")]
    assert sorted(decided) == sorted(one["post_id"] for one in posts if one is not poison)
    (letter,) = outside.records("dead-letters")
    assert letter["error"] == {"type": "processing_failed", "message": "the classifier failed with RuntimeError"}
    assert base64.b64decode(letter["value_b64"]) == json.dumps(poison, ensure_ascii=False).encode()
    assert base64.b64decode(letter["key_b64"]) == b"ann"


@pytest.mark.parametrize("how", ["raises", "nan", "hangs"])
def test_a_classifier_that_answers_nothing_ends_the_worker_and_its_heir_decides(
    service: Service, tiny: dict[str, str], how: str
) -> None:
    outside = service.outside
    outside.send(post("ann", number, f"本文{number}") for number in range(5))
    worker = faulty(service, {"classifier": how, "classify_seconds": 5}, **tiny).start()
    assert ended(worker) == 4, worker.tail()
    assert "本文" not in worker.log.read_text("utf-8")
    assert outside.committed(service.group, "posts") == 0
    assert set(outside.counts("moderation-decisions", "dead-letters").values()) == {0}
    with service.worker(**tiny) as heir:
        wait_until(lambda: outside.committed(service.group, "posts") == 5, 120, heir.tail)
    assert len(outside.records("moderation-decisions")) == 5
    assert outside.records("dead-letters") == []


# -- the disk ----------------------------------------------------------------------------------------------------------


def settled(service: Service, count: int, tail: Callable[[], str]) -> None:
    """Until `count` records of posts are committed."""
    wait_until(lambda: service.outside.committed(service.group, "posts") == count, 120, tail)


def strikes(service: Service) -> dict[str, int]:
    """post_id → the author's strikes as its decision saw them; every copy of a decision must be equal."""
    bytes_of: dict[str, set[bytes]] = {}
    for message in service.outside.read("moderation-decisions"):
        raw = message.value() or b""
        bytes_of.setdefault(json.loads(raw)["post_id"], set()).add(raw)
    assert all(len(found) == 1 for found in bytes_of.values()), "a decision has two versions"
    return {post_id: json.loads(found.pop())["history"]["strikes"] for post_id, found in bytes_of.items()}


def test_a_full_disk_ends_the_worker_and_nothing_is_lost(
    service: Service, tiny: dict[str, str], flags: Flags, tmp_path: Path
) -> None:
    """The operating system refuses to let a file grow; what it says reaches the log, what the rows hold does not."""
    outside = service.outside
    same = {"MIMAMORI_DATADIR": str(tmp_path / "data"), **tiny, **flags("insult")}
    worker = faulty(service, {"file_bytes": 60_000}, **same).start().wait_ready()
    assert worker.process is not None
    sent = 0
    while worker.process.poll() is None:
        assert sent < 3_000, worker.tail()
        outside.send(post("ann", number, "本文" * 100) for number in range(sent, sent + 50))
        sent += 50
        time.sleep(0.5)
    assert worker.process.returncode == 4, worker.tail()
    log = worker.log.read_text("utf-8")
    assert "the store in MIMAMORI_DATADIR" in log
    assert "File too large" in log
    assert "本文" not in log
    assert outside.committed(service.group, "posts") <= len(strikes(service))
    with service.worker(**same) as heir:  # there is room again, on the same disk
        settled(service, sent, heir.tail)
    assert strikes(service) == {f"ann-{number}": min(number, MAX_STRIKES) for number in range(sent)}


def test_a_damaged_store_is_read_again_from_the_changelog(
    service: Service, tiny: dict[str, str], flags: Flags, tmp_path: Path
) -> None:
    outside = service.outside
    data = tmp_path / "data"
    same = {"MIMAMORI_DATADIR": str(data), **tiny, **flags("insult")}
    posts = [post(f"a{number % 6}", number, f"本文{number}") for number in range(120)]
    with service.worker(**same) as first:
        outside.send(posts)
        settled(service, 120, first.tail)
        assert first.terminate() == 0, first.tail()
    before = strikes(service)
    tables = [path for path in data.rglob("*.sst") if path.stat().st_size > 100]
    assert tables
    for path in tables:
        raw = bytearray(path.read_bytes())
        raw[10:74] = bytes(byte ^ 0xFF for byte in raw[10:74])
        path.write_bytes(raw)
    broken = service.worker(**same).start()
    assert ended(broken) == 4, broken.tail()
    assert "the next start reads it again from the changelog" in broken.log.read_text("utf-8")
    with service.worker(**same) as heir:
        outside.send([*posts[:6], *(post(f"a{author}", 200, "また") for author in range(6))])
        settled(service, 132, heir.tail)
    after = strikes(service)
    assert {post_id: after[post_id] for post_id in before} == before
    assert {after[f"a{author}-200"] for author in range(6)} == {20}, "an author's history is not what it was"


def test_a_store_of_another_group_is_refused(service: Service, tiny: dict[str, str], tmp_path: Path) -> None:
    """Its rows are other authors' histories, and its offset means nothing in this group's changelog."""
    outside = service.outside
    data = tmp_path / "data"
    with service.worker(MIMAMORI_DATADIR=str(data), **tiny) as first:
        outside.send([post("ann", 1, "本文")])
        settled(service, 1, first.tail)
        assert first.terminate() == 0, first.tail()
    other = Service(service.outside.bootstrap, f"{service.group}other")
    stranger = other.worker(MIMAMORI_DATADIR=str(data), **tiny).start()
    assert ended(stranger) == 2, stranger.tail()
    told = stranger.log.read_text("utf-8")
    assert f"{data} holds the store of changelog {service.group}-{service.group}-authors-changelog" in told
    assert "Traceback" not in told
    shutil.rmtree(data)
    with other.worker(MIMAMORI_DATADIR=str(data), **tiny) as moved:
        assert moved.terminate() == 0, moved.tail()


# -- the clock ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hours", [2.0, -2.0, 0.5])
def test_a_host_whose_clock_is_off_removes_nothing_early_and_decides(
    service: Service, tiny: dict[str, str], flags: Flags, hours: float
) -> None:
    outside = service.outside
    now_ms = int(time.time() * 1000)
    day_ms = 24 * 3_600_000
    with faulty(service, {"clock_seconds": hours * 3_600}, **tiny, **flags("defamation")) as worker:
        outside.send([post("soon", 1, "x")], timestamp_ms=now_ms - day_ms + 20 * 60_000)  # due in 20 minutes
        outside.send([post("over", 1, "y")], timestamp_ms=now_ms - day_ms - 60_000)  # due a minute ago
        outside.wait_for({"moderation-decisions": 2, "moderation-actions": 3}, 120, worker.tail)
        time.sleep(5)  # ticks in which the early one would come
        assert worker.terminate() == 0, worker.tail()
    removed = [action["author_id"] for action in outside.records("moderation-actions") if action["action"] == "remove"]
    assert removed == ["over"]
    stamps = [message.timestamp()[1] for message in outside.read("moderation-decisions")]
    assert all(abs(stamp - now_ms) < 15 * 60_000 for stamp in stamps), "stamped by the host's clock"


# -- the producer ------------------------------------------------------------------------------------------------------


@pytest.fixture
def swallowing() -> Iterator[tuple[SwallowingProxy, KafkaCluster]]:
    """A broker that clients reach through the proxy alone."""
    (port,) = _free_ports(1)
    cluster = KafkaCluster(1, properties={"advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}"})
    proxy = SwallowingProxy(port, int(cluster.address().rpartition(":")[2]), "mimamori")
    try:
        with cluster:
            yield proxy, cluster
    finally:
        proxy.stop()


def test_a_worker_whose_sends_never_arrive_commits_nothing_and_its_heir_finishes(
    swallowing: tuple[SwallowingProxy, KafkaCluster], unique: str, tiny: dict[str, str]
) -> None:
    """An idempotent producer repeats a request without end: it is the batch's deadline that ends the worker."""
    proxy, cluster = swallowing
    service = Service(cluster.bootstrap, unique)
    outside = service.outside
    worker = faulty(service, {"batch_seconds": 20}, **tiny).start().wait_ready()
    try:
        outside.send([post("ann", 1, "はじめ")])
        settled(service, 1, worker.tail)
        proxy.swallowing = True
        outside.send(post("ann", number, "本文") for number in range(2, 12))
        assert ended(worker) == 4, worker.tail()
        assert "a batch passed its deadline" in worker.tail()
        assert proxy.swallowed
        assert outside.committed(service.group, "posts") == 1
        proxy.swallowing = False
        with service.worker(**tiny) as heir:
            settled(service, 11, heir.tail)
    finally:
        worker.kill()
    decisions = outside.records("moderation-decisions")
    assert sorted(d["history"]["posts"] for d in decisions) == list(range(11))
