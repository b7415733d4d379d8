"""`mimamori redrive` on a real broker: what goes back, where to, how often, and what is said about it."""

import base64
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from typing import Any

import pytest
from confluent_kafka import KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.broker.conftest import Service
from tests.harness import clean_environment, mimamori, post, wait_until
from tests.kafka.cluster import KafkaCluster
from workers.errors import UsageError
from workers.redrive_kafka import Cluster, Lock

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(420)]


@pytest.fixture(autouse=True)
def _settled(service: Service) -> None:
    """New topics have leaders; the plain client of these tests asks only once."""

    def there() -> bool:
        try:
            service.outside.counts("posts", "staff-reviews", "dead-letters")
        except KafkaException:
            return False
        return True

    wait_until(there, 30, lambda: "the topics have no leaders")


HIDDEN = "秘密の文章ひみつのぶんしょう"
Sent = tuple[str, int, int, bytes | None, bytes]


def redrive(service: Service, *arguments: str) -> tuple["subprocess.CompletedProcess[str]", dict[str, Any]]:
    """One run to its end, and its last line."""
    done = mimamori("redrive", *arguments, settings=service.settings)
    assert "Traceback" not in done.stderr, done.stderr
    assert HIDDEN not in done.stdout + done.stderr
    assert "secretauthor" not in done.stdout + done.stderr
    lines = done.stdout.splitlines()
    return done, json.loads(lines[-1]) if lines else {}


def b64(raw: bytes | None) -> str | None:
    return None if raw is None else base64.b64encode(raw).decode()


def bury(service: Service, source: Sent, error: str = "invalid_field", times: int = 1, **more: Any) -> None:
    """What a worker writes when it gives a record up. `source` as `Outside.sent` has it."""
    headers = [("failed_at", str(more.get("failed_at", int(time.time() * 1000))).encode()), ("attempts", b"1")]
    for _ in range(times):
        service.outside.send_raw(
            "dead-letters", source[3] or b"", letter_of(service, source, error, **more), headers=headers
        )
    service.outside.flush()


def letter_of(service: Service, source: Sent, error: str, **more: Any) -> bytes:
    topic, partition, offset, key, value = source
    letter = {
        "schema": "dead-letter/1",
        "source": {
            "topic": service.outside.prefix + topic,
            "partition": partition,
            "offset": offset,
            "timestamp": more.get("timestamp", 1_793_491_200_000),
        },
        "key_b64": b64(key),
        "value_b64": b64(value),
        "headers": more.get("headers", []),
        "error": {"type": error, "message": f"{HIDDEN} is at fault"},
    }
    return json.dumps(letter).encode()


def send(service: Service, count: int, partition: int | None = None, key: bytes | None = b"secretauthor") -> list[Sent]:
    """Records in `posts` that no worker reads."""
    before = len(service.outside.sent)
    where = {} if partition is None else {"partition": partition}
    for i in range(count):
        service.outside.send_raw("posts", key, f'{{"text": "{HIDDEN}", "n": {i}}}'.encode(), **where)
    service.outside.flush()
    return sorted(service.outside.sent[before:], key=lambda sent: sent[1:3])


def copies(service: Service, topic: str = "posts") -> list[Message]:
    """What redrive sent, by the header that it sets."""
    return [m for m in service.outside.read(topic) if "mimamori-redrive" in dict(m.headers() or ())]


def test_back_to_the_worker_and_dead_again(service: Service) -> None:
    """A review that came before its post is applied the second time; a broken record dies again, its attempts grow."""
    outside = service.outside
    review = {
        "schema": "review/1",
        "review_id": "r1",
        "post_id": "late-1",
        "author_id": "late",
        "decision_id": hashlib.sha256(b'["late-1",1]').hexdigest()[:32],
        "verdict": "confirm",
        "reviewer_id": "staff-7",
        "reason": "確認",
        "occurred_at": "2026-11-24T00:00:00Z",
    }
    broken = json.dumps({"text": HIDDEN}, ensure_ascii=False).encode()
    with service.worker() as worker:
        outside.send([review], topic="staff-reviews")
        outside.send_raw("posts", b"secretauthor", broken, headers=[("trace", b"\x01"), ("none", None)])
        outside.send_raw("posts", None, b"")
        outside.flush()
        outside.wait_for({"dead-letters": 3}, tail=worker.tail)
        outside.send([post("late", 1, "やっと届いた")])
        outside.wait_for({"moderation-decisions": 1}, tail=worker.tail)

        done, told = redrive(service)
        assert done.returncode == 0, done.stderr
        assert (told["letters"], told["ready"], told["sent"]) == (3, 3, 0)
        assert "dry run, nothing was sent" in done.stdout
        assert copies(service) == copies(service, "staff-reviews") == []

        done, told = redrive(service, "--go", "--wait", "90")
        assert (told["sent"], told["done"], told["sent_dead_again"]) == (3, 1, 2), done.stdout + worker.tail()
        assert done.returncode == 1
        lines = done.stderr.splitlines()
        assert len(lines) == 2
        assert all("is dead again: " in line and line.endswith("attempt 2") for line in lines)

        done, told = redrive(service, "--go")
        assert done.returncode == 0
        assert (told["sent"], told["done"], told["dead_again"], told["held"]) == (0, 1, 2, 2)

        done, told = redrive(service, "--go", "--again", "--wait", "90")
        assert (told["sent"], told["sent_dead_again"]) == (2, 2), done.stdout + worker.tail()
        assert worker.terminate() == 0

    letters = [(json.loads(m.value() or b""), dict(m.headers() or ())) for m in outside.read("dead-letters")]
    assert Counter(headers["attempts"] for _, headers in letters) == {b"1": 3, b"2": 2, b"3": 2}
    for copy in copies(service):
        named = [name for name, _ in copy.headers() or ()]
        if copy.key() == b"secretauthor":
            assert copy.value() == broken
            assert (copy.headers() or [])[:2] == [("trace", b"\x01"), ("none", None)]
            assert named == ["trace", "none", "mimamori-redrive", "mimamori-attempts"]
        else:
            assert (copy.key(), copy.value()) == (None, b"")
            assert named == ["mimamori-redrive", "mimamori-attempts"]
    assert len(copies(service)) == 4
    assert len(copies(service, "staff-reviews")) == 1


def test_a_second_run_and_a_redelivered_letter_send_nothing_twice(service: Service) -> None:
    for source in send(service, 5):
        bury(service, source, times=2)
    _, told = redrive(service, "--go")
    assert (told["letters"], told["sent"]) == (5, 5)
    _, told = redrive(service, "--go")
    assert (told["letters"], told["sent"], told["waiting"]) == (5, 0, 5)
    assert len(copies(service)) == 5


def test_a_killed_run_is_finished_by_the_next_one(service: Service) -> None:
    """kill -9 in the middle: what went out is found in the log, the rest is sent, in the author's order."""
    for source in send(service, 80):
        bury(service, source)
    running = start(service, "--go", "--rate", "20")
    wait_until(lambda: len(copies(service)) >= 10, 60, lambda: "nothing was sent")
    os.killpg(running.pid, signal.SIGKILL)
    running.wait(30)
    sent = len(copies(service))
    assert sent < 80
    for _ in range(30):  # the dead one keeps its place in the group for some seconds
        done, told = redrive(service, "--go", "--rate", "500")
        if done.returncode != 2:
            break
        assert "another redrive" in done.stderr
        time.sleep(1)
    assert (told["letters"], told["waiting"], told["sent"]) == (80, 80, 80 - sent)
    numbers = [json.loads(copy.value() or b"")["n"] for copy in copies(service)]
    assert numbers == list(range(80))


def test_two_at_once_are_one_too_many(service: Service) -> None:
    for source in send(service, 60):
        bury(service, source)
    running = start(service, "--go", "--rate", "3")
    wait_until(lambda: len(copies(service)) >= 1, 60, lambda: "nothing was sent")
    done = mimamori("redrive", "--go", settings=service.settings)
    assert done.returncode == 2
    assert done.stderr.startswith("mimamori: another redrive of ")
    assert done.stderr.count("\n") == 1
    assert running.poll() is None, "the first one goes on"
    os.killpg(running.pid, signal.SIGKILL)
    running.wait(30)


def start(service: Service, *arguments: str) -> "subprocess.Popen[bytes]":
    """A run that goes on in the background."""
    return subprocess.Popen(
        [sys.executable, "-m", "workers.cli", "redrive", *arguments],
        env=clean_environment(**service.settings),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def test_each_goes_to_the_partition_of_its_key(service: Service) -> None:
    """Where the source stood counts only for a record whose key says nothing."""
    (known,) = send(service, 1)
    elsewhere = (known[1] + 1) % 12
    *_, astray = send(service, 4, elsewhere)  # so that its copy stands at a lower offset than it does
    (keyless,) = send(service, 1, elsewhere, None)
    (wrong,) = send(service, 1, elsewhere, b"another")
    bury(service, astray)
    bury(service, keyless)
    bury(service, wrong, "wrong_key")
    _, told = redrive(service, "--go")
    assert told["sent"] == 3
    found = {copy.key(): copy.partition() for copy in copies(service)}
    assert found == {b"secretauthor": known[1], None: elsewhere, b"another": elsewhere}
    _, told = redrive(service, "--go")
    assert told["sent"] == 0, "a copy in another partition than its source's is found too"


def test_a_copy_that_the_broker_refuses_is_named_and_the_rest_goes_on(service: Service) -> None:
    """Too large for `posts`, which a dead letter may be."""
    sources = send(service, 2)
    large = (*sources[0][:4], random.Random(1).randbytes(1_300_000))  # which gzip cannot help
    producer = Producer({"bootstrap.servers": service.outside.bootstrap, "message.max.bytes": 4 << 20})
    producer.produce(f"{service.outside.prefix}dead-letters", letter_of(service, large, "too_large"), b"secretauthor")
    assert producer.flush(30) == 0
    bury(service, sources[1])
    done, told = redrive(service, "--go")
    assert (told["sent"], told["refused"], done.returncode) == (1, 1, 1)
    (line,) = done.stderr.splitlines()
    topic, partition, offset = sources[0][:3]
    assert line == (
        f"mimamori: {service.outside.prefix}{topic}/{partition}/{offset}: the broker refuses it: MSG_SIZE_TOO_LARGE"
    )


def test_two_that_join_at_the_same_moment_both_stop(service: Service) -> None:
    config, dead_letters = {"bootstrap.servers": service.outside.bootstrap}, f"{service.outside.prefix}dead-letters"
    first, second = (Cluster(config, dead_letters, {}, f"{dead_letters}-redrive") for _ in range(2))
    stopped: list[UsageError] = []

    def join() -> None:
        try:
            with Lock(second):
                pass
        except UsageError as error:
            stopped.append(error)

    def alone() -> bool:
        held.check()
        return False

    with Lock(first) as held:
        held.check()
        other = threading.Thread(target=join)
        other.start()
        with pytest.raises(UsageError, match=f"another redrive of {dead_letters} has started"):
            wait_until(alone, 60, lambda: "the second one never joined")
        while other.is_alive():
            held._poll(0.1)
    assert len(stopped) == 1
    first.close()
    second.close()


def test_filters(service: Service) -> None:
    sources = send(service, 4)
    bury(service, sources[0], "not_json", failed_at=1_000_000, timestamp=5_000_000)
    bury(service, sources[1], "unknown_subject", failed_at=2_000_000, timestamp=6_000_000)
    bury(service, sources[2], "unknown_subject", failed_at=3_000_000, timestamp=7_000_000)
    bury(service, (*("staff-reviews", *sources[3][1:]),), "unknown_subject", failed_at=4_000_000, timestamp=8_000_000)
    partition, offset = str(sources[1][1]), sources[1][2]
    for arguments, letters in (
        ((), 4),
        (("--error", "not_json"), 1),
        (("--error", "unknown_subject"), 3),
        (("--error", "not_json", "--error", "unknown_subject"), 4),
        (("--topic", "staff-reviews"), 1),
        (("--topic", "posts", "--error", "unknown_subject"), 2),
        (("--failed-since", "1970-01-01T00:33:20Z"), 3),
        (("--failed-since", "1970-01-01T00:33:20Z", "--failed-until", "1970-01-01T09:50:00+09:00"), 1),
        (("--sent-until", "1970-01-01T01:40:00Z"), 1),
        (("--partition", partition, "--offset", str(offset)), 1),
        (("--partition", partition, "--offset", f"{offset}-{offset + 1}"), 2),
        (("--partition", str((sources[1][1] + 1) % 12)), 0),
    ):
        done, told = redrive(service, *arguments)
        assert (done.returncode, told["letters"], told["ready"]) == (0, letters, letters), arguments
    _, told = redrive(service, "--go", "--topic", "posts", "--limit", "2")
    assert told["sent"] == 2


def test_a_letter_whose_log_is_gone_is_not_sent(service: Service, kafka: KafkaCluster) -> None:
    """Nobody can tell any more whether it was sent before."""
    sources = send(service, 4)
    for source in sources:
        bury(service, source)
    topic, partition, offset = service.outside.prefix + "posts", *sources[1][1:3]
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    for deleted in admin.delete_records([TopicPartition(topic, partition, offset + 1)]).values():
        deleted.result(30)
    _, told = redrive(service, "--go")
    assert (told["unsure"], told["sent"]) == (1, 3), "what stands right before the log's beginning is certain"


def test_what_is_no_dead_letter_is_named_and_left_alone(service: Service) -> None:
    outside = service.outside
    (source,) = send(service, 1)
    bury(service, source)
    outside.send_raw("dead-letters", b"x", HIDDEN.encode())
    bury(service, ("moderation-decisions", *source[1:]))
    bury(service, ("posts", 99, *source[2:]))
    done, told = redrive(service, "--go")
    assert done.returncode == 1
    assert (told["letters"], told["sent"], told["unreadable"]) == (1, 1, 3)
    lines = done.stderr.splitlines()
    assert len(lines) == 3
    assert all(line.startswith(f"mimamori: {outside.prefix}dead-letters/") for line in lines)
    assert outside.counts("moderation-decisions")["moderation-decisions"] == 0
