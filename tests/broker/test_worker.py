"""The worker from outside, on a real broker: what goes in comes out once, in order, and survives its replicas."""

import base64
import json
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from tests.broker.conftest import Service
from tests.harness import OUTPUTS, post, wait_until
from tests.kafka.cluster import KafkaCluster

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(420)]

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"
SCHEMA_OF = {
    "moderation-decisions": "decision-1",
    "moderation-actions": "action-1",
    "consultation-escalations": "escalation-1",
    "care-outreach": "care-1",
    "dead-letters": "dead-letter-1",
}
KEY_OF = {"moderation-decisions": "post_id", "consultation-escalations": "case_id"}
Flags = Callable[..., dict[str, str]]

MALFORMED: list[tuple[bytes | None, bytes]] = [
    (b"m1", b"not json"),
    (b"m2", b"\xff\xfe\x00"),
    (b"m3", b"{}"),
    (b"m4", json.dumps({**post("m4", 1, "a"), "revision": "one"}).encode()),
    (b"other", json.dumps(post("m5", 1, "a")).encode()),
    (None, json.dumps(post("m6", 1, "a")).encode()),
    (b"m7", json.dumps({**post("m7", 1, "a"), "schema": "post/2"}).encode()),
    (b"m8", json.dumps({k: v for k, v in post("m8", 1, "a").items() if k != "occurred_at"}).encode()),
    (b"m9", json.dumps(post("m9", 1, None)).encode()),
    (b"m10", b"[" * 5_000),
]


def validate(topic: str, record: dict[str, Any]) -> None:
    schema = json.loads((SCHEMAS / f"{SCHEMA_OF[topic]}.json").read_text("utf-8"))
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(record)


def test_two_replicas_decide_two_thousand_posts_once(service: Service) -> None:
    """Guarantee 1, and the schemas of everything that comes out."""
    outside = service.outside
    texts = [
        "今日はいい天気",
        "お前ほんとゴミだな消えろ",
        "もう生きていたくない",
        "一緒に逝ける人いませんか",
        "半殺しのおはぎ",
    ]
    posts = [post(f"author{i % 97}", i, f"{texts[i % len(texts)]} {i}") for i in range(2_000)]
    with service.worker(), service.worker():
        for i, record in enumerate(posts):
            outside.send_raw("posts", record["author_id"].encode(), json.dumps(record).encode())
            if i % 200 == 0:
                key, value = MALFORMED[i // 200]
                outside.send_raw("posts", key, value, headers=[("trace", b"\x01")])
        outside.flush()
        tail = service.workers[0].tail
        outside.wait_for_distinct("moderation-decisions", "decision_id", len(posts), 300, tail)
        outside.wait_for_distinct("dead-letters", "source", len(MALFORMED), 300, tail)
    decisions = outside.records("moderation-decisions")
    by_id = {d["decision_id"]: d for d in decisions}
    assert all(d == by_id[d["decision_id"]] for d in decisions)
    assert sorted((d["post_id"], d["revision"]) for d in by_id.values()) == sorted((p["post_id"], 1) for p in posts)
    for topic in OUTPUTS:
        for message in outside.read(topic):
            record = json.loads(message.value() or b"")
            validate(topic, record)
            if topic != "dead-letters":
                assert (message.key() or b"").decode() == record[KEY_OF.get(topic, "author_id")]
    sent = {(partition, offset): (key, value) for topic, partition, offset, key, value in outside.sent}
    dead = outside.records("dead-letters")
    assert len({repr(letter["source"]) for letter in dead}) == len(MALFORMED)
    for letter in dead:
        key, value = sent[letter["source"]["partition"], letter["source"]["offset"]]
        assert letter["value_b64"] == base64.b64encode(value).decode()
        assert letter["key_b64"] == (None if key is None else base64.b64encode(key).decode())
        assert letter["headers"] == [["trace", base64.b64encode(b"\x01").decode()]]


def test_a_restart_goes_on_where_it_stopped(service: Service) -> None:
    """SIGTERM drains, commits and exits 0; what was decided stays and is not sent again."""
    outside = service.outside
    with service.worker() as first:
        outside.send(post(f"a{i}", i, "おはよう") for i in range(50))
        outside.wait_for({"moderation-decisions": 50}, tail=first.tail)
        assert first.terminate() == 0, first.tail()
    assert outside.committed(service.group, "posts") == 50
    outside.send(post(f"a{i}", i + 50, "こんばんは") for i in range(50))
    with service.worker() as second:
        outside.wait_for({"moderation-decisions": 100}, 60, second.tail)
        assert second.terminate() == 0, second.tail()
    decisions = outside.records("moderation-decisions")
    assert len({d["decision_id"] for d in decisions}) == len(decisions) == 100
    history = {d["post_id"]: d["history"]["posts"] for d in decisions}
    assert history["a7-7"] == 0
    assert history["a7-57"] == 1, "the second worker did not recover the author's record from the changelog"


def test_a_killed_replica_loses_and_doubles_nothing(service: Service, flags: Flags) -> None:
    """Guarantee 2: kill -9 in mid-stream; redelivered outputs have the same bytes, each post is one strike."""
    outside = service.outside
    posts = [post(f"k{i % 20}", i, f"同じ人の{i}件目") for i in range(600)]
    victim = service.worker(**flags("insult")).start().wait_ready()
    outside.send(posts)
    wait_until(lambda: outside.counts("moderation-decisions")["moderation-decisions"] > 50, 120, victim.tail)
    victim.kill()
    with service.worker(**flags("insult")) as heir:
        wait_until(lambda: outside.committed(service.group, "posts") == len(posts), 240, heir.tail)
    bytes_of: dict[str, set[bytes]] = defaultdict(set)
    for topic, identity in (("moderation-decisions", "decision_id"), ("moderation-actions", "action_id")):
        for message in outside.read(topic):
            raw = message.value() or b""
            bytes_of[json.loads(raw)[identity]].add(raw)
    assert all(len(versions) == 1 for versions in bytes_of.values())
    decisions = {d["decision_id"]: d for d in outside.records("moderation-decisions")}
    assert {d["post_id"] for d in decisions.values()} == {p["post_id"] for p in posts}
    strikes: dict[str, list[int]] = defaultdict(list)
    for decision in sorted(decisions.values(), key=lambda d: d["source"]["offset"]):
        strikes[decision["author_id"]].append(decision["history"]["strikes"])
    assert all(counts == list(range(len(counts))) for counts in strikes.values())


def test_an_authors_posts_are_decided_in_the_order_of_the_log(service: Service) -> None:
    """Guarantee 3."""
    outside = service.outside
    with service.worker() as worker:
        outside.send(post("ordered", i, "短い" if i % 7 else "とても長い文章です。" * 60) for i in range(300))
        outside.wait_for({"moderation-decisions": 300}, tail=worker.tail)
    by_offset = sorted(outside.records("moderation-decisions"), key=lambda d: d["source"]["offset"])
    assert [d["post_id"] for d in by_offset] == [f"ordered-{i}" for i in range(300)]
    assert [d["history"]["posts"] for d in by_offset] == list(range(300))


def test_distress_is_met_with_care_and_never_with_a_penalty(service: Service, flags: Flags) -> None:
    """Guarantee 4, with every violation flagged beside it."""
    outside = service.outside
    with service.worker(**flags("distress", "insult", "defamation")) as worker:
        outside.send([post("sad", 1, "もう消えてしまいたい"), post("sad", 2, "誰にも会いたくない")])
        outside.wait_for({"moderation-decisions": 2, "care-outreach": 2}, tail=worker.tail)
    assert outside.records("moderation-actions") == []
    assert [record["message"] is None for record in outside.records("care-outreach")] == [False, True]
    cases = outside.records("consultation-escalations")
    assert cases
    assert all(case["human_required"] for case in cases)
    assert {route["body"] for case in cases for route in case["routes"]} <= {"staff", "police_110", "fire_119"}


def test_an_ignored_request_is_removed_after_a_restart(service: Service, flags: Flags) -> None:
    """A clock survives its worker; an edited or deleted post settles it; what it does is not repeated."""
    outside = service.outside
    long_ago = int(time.time() * 1000) - 23 * 3_600_000 - 3_580_000  # due in about 20 s
    with service.worker(**flags("defamation")) as first:
        outside.send([post("asked", 1, "x"), post("settles", 1, "y")], timestamp_ms=long_ago)
        outside.wait_for({"moderation-actions": 2}, tail=first.tail)
        outside.send([post("settles", 1, None, event="deleted", revision=2)])
        outside.wait_for({"moderation-decisions": 3}, tail=first.tail)
        assert first.terminate() == 0, first.tail()
    assert {a["action"] for a in outside.records("moderation-actions")} == {"request_removal"}
    with service.worker(**flags("defamation")) as second:
        outside.wait_for({"moderation-actions": 3}, tail=second.tail)
        time.sleep(3)
    requests = {a["action_id"]: a for a in outside.records("moderation-actions") if a["action"] == "request_removal"}
    (removal,) = [a for a in outside.records("moderation-actions") if a["action"] == "remove"]
    assert removal["author_id"] == "asked"
    assert removal["cause"] in requests
    assert removal["supersedes"] == [removal["cause"]]
    assert len(outside.records("moderation-decisions")) == 3, "a clock makes an action, not a decision"


def test_a_review_restores_and_reaches_the_case(service: Service, flags: Flags) -> None:
    outside = service.outside
    with service.worker(**flags("suicide_inducement")) as worker:
        outside.send([post("held", 1, "z")])
        outside.wait_for({"moderation-actions": 1, "consultation-escalations": 1}, tail=worker.tail)
        (case,) = outside.records("consultation-escalations")
        review = {
            "schema": "review/1",
            "review_id": "r1",
            "post_id": "held-1",
            "author_id": "held",
            "case_id": case["case_id"],
            "verdict": "overturn",
            "reviewer_id": "staff-7",
            "reason": "歌詞の引用",
            "occurred_at": "2026-11-24T00:00:00Z",
        }
        unknown = {**review, "review_id": "r2", "case_id": "no-such-case"}
        outside.send([review, review, unknown], topic="staff-reviews")
        outside.wait_for({"moderation-actions": 2, "dead-letters": 1}, tail=worker.tail)
        wait_until(lambda: outside.committed(service.group, "staff-reviews") == 3, 60, worker.tail)
    restore = [a for a in outside.records("moderation-actions") if a["action"] == "restore"]
    assert len({a["action_id"] for a in restore}) == 1
    assert restore[0]["cause"] == "r1"
    assert restore[0]["automated"] is False
    assert "closed" in {record["status"] for record in outside.records("consultation-escalations")}
    (letter,) = outside.records("dead-letters")
    assert letter["error"]["type"] == "unknown_subject"


def test_a_worker_that_cannot_deliver_ends_and_its_heir_finishes(service: Service, kafka: KafkaCluster) -> None:
    """Guarantee 5: a topic refuses its records; nothing is committed, the process ends non-zero, nothing is lost."""
    outside = service.outside
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})

    def largest_message(size: int) -> None:
        entry = ConfigEntry("max.message.bytes", str(size), incremental_operation=AlterConfigOpType.SET)
        name = f"{outside.prefix}moderation-decisions"
        for done in admin.incremental_alter_configs(
            [ConfigResource("topic", name, incremental_configs=[entry])]
        ).values():
            done.result(30)

    sent = 0
    with service.worker() as worker:
        largest_message(100)
        assert worker.process is not None
        while worker.process.poll() is None:  # a broker takes a moment to follow its new configuration
            assert sent < 120, worker.tail()
            outside.send([post("stuck", sent, "x")])
            sent += 1
            time.sleep(1)
        assert worker.process.returncode == 4, worker.tail()
    delivered = outside.counts("moderation-decisions")["moderation-decisions"]
    assert delivered < sent
    assert outside.committed(service.group, "posts") <= delivered
    largest_message(1 << 20)
    with service.worker() as heir:
        wait_until(lambda: outside.committed(service.group, "posts") == sent, 120, heir.tail)
    assert len({d["decision_id"] for d in outside.records("moderation-decisions")}) == sent


def test_shadow_writes_decisions_and_nothing_else(service: Service, flags: Flags) -> None:
    outside = service.outside
    with service.worker(MIMAMORI_SHADOW="1", **flags("insult", "distress", "suicide_inducement")) as worker:
        outside.send([post("shadow", i, "z") for i in range(3)])
        outside.wait_for({"moderation-decisions": 3}, tail=worker.tail)
        wait_until(lambda: outside.committed(service.group, "posts") == 3, 60, worker.tail)
    assert all(d["shadow"] for d in outside.records("moderation-decisions"))
    assert set(outside.counts(*OUTPUTS[1:]).values()) == {0}


def test_probes_metrics_and_silent_logs(service: Service) -> None:
    """Health, lag and versions are served; no text, author or key is in logs or metrics (guarantee 6)."""
    outside = service.outside
    hidden = "秘密の文章ひみつのぶんしょう"
    with service.worker() as worker:
        outside.send([post("secretauthor", 1, hidden)])
        outside.send_raw(
            "posts", b"secretauthor", json.dumps({**post("secretauthor", 2, hidden), "reports": hidden}).encode()
        )
        outside.flush()
        outside.wait_for({"moderation-decisions": 1, "dead-letters": 1}, tail=worker.tail)
        assert worker.probe("/healthz/live") == (200, "ok\n")
        assert worker.probe("/healthz/ready") == (200, "ok\n")
        assert worker.probe("/table")[0] == 404
        status, metrics = worker.probe("/metrics")
        assert status == 200
        for name in ("mimamori_records_total", "mimamori_versions", "mimamori_lag"):
            assert name in metrics
        assert worker.terminate() == 0
        log = worker.log.read_text("utf-8")
    for line in log.splitlines():
        json.loads(line)
    for told in (log, metrics, json.dumps([letter["error"] for letter in outside.records("dead-letters")])):
        assert hidden not in told
        assert "secretauthor" not in told
