"""The parts of a run that need no Kafka: seeded plans, malformed records, the proxy, the log of seeds."""

import json
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.chaos import __main__ as command
from tests.chaos import feed, schedule
from tests.chaos.malformed import MALFORMED
from tests.chaos.proxy import Proxy
from tests.harness import post
from tests.kafka.cluster import _free_ports
from workers.codec import decode_post
from workers.errors import BadRecord

SECONDS = 10.0

# --- plans


def test_a_seed_gives_the_same_feed_and_faults() -> None:
    assert feed.plan(7, 500) == feed.plan(7, 500) != feed.plan(8, 500)
    assert schedule.plan(7, 20) == schedule.plan(7, 20) != schedule.plan(8, 20)
    assert schedule.short(7) == schedule.short(7)


def test_a_feed_has_every_kind_and_each_malformed_one() -> None:
    steps = feed.plan(1, 3_000)
    kinds = Counter(step.kind for step in steps)
    assert {"created", "edited", "deleted", "repeated", "conflict"} <= kinds.keys()
    assert {kind.removeprefix("malformed-") for kind in kinds if kind.startswith("malformed-")} == set(MALFORMED)
    assert len(MALFORMED) >= 20
    assert sum(count for kind, count in kinds.items() if kind.startswith("malformed-")) == 30


def test_revisions_rise_and_repeats_follow_what_they_repeat() -> None:
    steps = feed.plan(2, 2_000)
    latest: dict[int, int] = {}
    for i, step in enumerate(steps):
        if step.kind in ("created", "edited", "deleted"):
            assert step.revision == latest.get(step.post, 0) + 1
            latest[step.post] = step.revision
            assert feed.MARKER in (step.text or feed.MARKER)
        elif step.kind in ("repeated", "conflict"):
            assert steps[step.of].kind in ("created", "edited", "deleted")
            assert step.of < i
        else:
            assert step.post not in latest


def test_a_schedule_has_its_kills_and_each_fault_of_brokers() -> None:
    faults = schedule.plan(3, 100)
    kinds = Counter(fault.kind for fault in faults)
    assert kinds[schedule.KILL] + sum(kinds[how] for how in schedule.DAMAGE) == 100
    assert [kinds[kind] for kind in (*schedule.OF_BROKERS, schedule.OUTAGE)] == [5] * 7
    assert [fault.at for fault in faults] == sorted(fault.at for fault in faults)
    assert Counter(fault.kind in (schedule.KILL, *schedule.DAMAGE) for fault in schedule.short(3))[True] == 3


@pytest.mark.parametrize("how", MALFORMED)
def test_each_malformed_record_is_one(how: str) -> None:
    """And the post it was made from is not."""
    good = post("a", 1, "x")
    decode_post(b"a", json.dumps(good).encode())
    key, value = MALFORMED[how](good)
    with pytest.raises(BadRecord):
        decode_post(key, value)


# --- the proxy


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that answers with what it gets; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

        def answer(connection: socket.socket) -> None:
            with connection:
                while data := connection.recv(1 << 16):
                    connection.sendall(data)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]


@pytest.fixture
def proxy(echo: int) -> Iterator[Proxy]:
    (port,) = _free_ports(1)
    running = Proxy(port, echo)
    yield running
    running.stop()


def connected(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), SECONDS)


def test_the_proxy_forwards_both_ways(proxy: Proxy) -> None:
    with closing(connected(proxy)) as client:
        sent = bytes(range(256)) * 1_000
        client.sendall(sent)
        got = b""
        while len(got) < len(sent):
            got += client.recv(1 << 16)
        assert got == sent


def ended(client: socket.socket) -> bool:
    """A reset or an end, and no answer."""
    try:
        client.sendall(b"x")
        return client.recv(1) == b""
    except ConnectionError:
        return True


def test_a_loud_cut_ends_connections_and_refuses_new_ones(proxy: Proxy) -> None:
    with closing(connected(proxy)) as client:
        assert not ended(client)
        proxy.cut()
        assert ended(client) or ended(client)  # the first bytes may cross the cut
    with closing(connected(proxy)) as later:
        assert ended(later)
    proxy.restore()
    with closing(connected(proxy)) as again:
        assert not ended(again)


def test_in_a_silent_cut_bytes_wait(proxy: Proxy) -> None:
    with closing(connected(proxy)) as client:
        client.sendall(b"a")
        assert client.recv(1) == b"a"
        proxy.cut(silent=True)
        client.sendall(b"b")
        client.settimeout(0.5)
        with pytest.raises(TimeoutError):
            client.recv(1)
        proxy.restore()
        client.settimeout(SECONDS)
        assert client.recv(1) == b"b"


def test_a_dead_broker_looks_dead() -> None:
    port, nobody = _free_ports(2)
    proxy = Proxy(port, nobody)
    try:
        with closing(connected(proxy)) as client:
            assert ended(client)
    finally:
        proxy.stop()


# --- the log of seeds


def test_a_run_that_was_cut_off_is_the_next(tmp_path: Path) -> None:
    log = tmp_path / "seeds.jsonl"
    assert command.next_seed(command.read_log(log)) == 1
    log.write_text('{"seed": 1, "begun": true}\n{"seed": 1, "ok": true}\n{"seed": 2, "begun": true}\n', "utf-8")
    assert command.next_seed(command.read_log(log)) == 2
    with log.open("a") as stream:
        stream.write('{"seed": 2, "ok": false}\n{"seed": 7, "beg')
    assert command.next_seed(command.read_log(log)) == 3


@pytest.mark.parametrize("arguments", [["--posts", "0"], ["--kills", "-1"], ["--seed", "x"]])
def test_wrong_use_is_said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(arguments)
    assert arguments[0] in capsys.readouterr().err
