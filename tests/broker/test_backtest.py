"""`mimamori backtest` on a real broker: what a worker wrote comes out the same, and nothing is written anywhere."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from confluent_kafka import TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from models.labels import LABEL_IDS
from tests.broker.conftest import NEVER, Service, policy_that_flags
from tests.broker.secured import Certificates, SecuredKafka
from tests.harness import OUTPUTS, Outside, mimamori, post
from tests.unit import checkpoints
from tests.unit.past import World, context, policy_file

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(420)]

HIDDEN = "秘密の文章ひみつのぶんしょう"
ALL = ("posts", "staff-reviews", *OUTPUTS)


def backtest(service: Service, directory: Path, *arguments: str) -> tuple["subprocess.CompletedProcess[str]", Any]:
    """One run to its end, and what it wrote as JSON."""
    path = directory / "changes.json"
    done = mimamori("backtest", *arguments, "--json", str(path), settings=service.settings, timeout=240)
    assert "Traceback" not in done.stderr, done.stderr
    assert HIDDEN not in done.stdout + done.stderr
    return done, json.loads(path.read_text("utf-8")) if path.exists() else None


def otherwise(path: Path, directory: Path, **thresholds: float) -> Path:
    """The policy at `path` with other thresholds."""
    raw = yaml.safe_load(path.read_text("utf-8"))
    for label, threshold in thresholds.items():
        raw["labels"][label]["threshold"] = threshold
    other = directory / "other.yml"
    other.write_text(yaml.safe_dump(raw, allow_unicode=True, sort_keys=False), "utf-8")
    return other


def test_the_workers_own_decisions(service: Service, tmp_path: Path) -> None:
    """Null change, another policy, another model; an edit, a deletion, reviews, shadow, a dead letter between."""
    outside, policy = service.outside, policy_that_flags(tmp_path, "insult")
    posts = [post(f"a{i % 5}", i, f"{HIDDEN} {i}") for i in range(40)]
    review = {
        "schema": "review/1",
        "review_id": "r1",
        "post_id": "a0-0",
        "author_id": "a0",
        "verdict": "overturn",
        "reviewer_id": "staff-1",
        "reason": "",
        "occurred_at": posts[0]["occurred_at"],
    }
    with service.worker(MIMAMORI_POLICY_FILE=str(policy)) as worker:
        outside.send(posts)
        outside.send([{**posts[1], "event": "edited", "revision": 2}])
        outside.send([{**posts[2], "event": "deleted", "revision": 2, "text": None}])
        outside.wait_for({"moderation-decisions": 42}, tail=worker.tail)
        first = next(d for d in outside.records("moderation-decisions") if d["post_id"] == "a0-0")
        outside.send(
            [
                {**review, "decision_id": first["decision_id"]},
                # The post comes later: a dead letter, which must not act on it in the replay.
                {**review, "review_id": "r2", "post_id": "a3-103", "author_id": "a3", "case_id": "not yet"},
            ],
            topic="staff-reviews",
        )
        outside.wait_for({"dead-letters": 1}, tail=worker.tail)
        outside.send(post(f"a{i % 5}", 100 + i, HIDDEN) for i in range(10))
        outside.wait_for({"moderation-decisions": 52}, tail=worker.tail)
        assert worker.terminate() == 0
    decisions = outside.records("moderation-decisions")
    for decision in decisions[:4]:  # what a shadow worker would write, and one decision that was delivered twice
        decision = {**decision, "shadow": True, "policy_version": "trial", "decision_id": "s" + decision["decision_id"]}
        outside.send_raw("moderation-decisions", decision["post_id"].encode(), json.dumps(decision).encode())
    outside.send_raw("moderation-decisions", b"again", json.dumps(decisions[0]).encode())
    outside.flush()
    before = outside.counts(*ALL)

    done, found = backtest(service, tmp_path, "--policy", str(policy))
    assert (done.returncode, done.stderr) == (0, "")
    assert (found["compared"], found["changed"], found["same_version"]["compared"]) == (52, 0, 52)
    assert found["not_compared"]["shadow"] == 4
    assert found["reviews"] == 1
    assert found["authors"] == {"compared": 5, "affected": 0, "most_affected": []}

    done, found = backtest(service, tmp_path, "--policy", str(otherwise(policy, tmp_path, insult=NEVER)))
    assert done.returncode == 0
    assert {new for row in found["actions"].values() for new in row} == {"none"}
    assert found["labels"]["insult"] == {"recorded": 51, "new": 0, "added": 0, "dropped": 51}
    assert found["authors"]["affected"] == 5

    done, found = backtest(service, tmp_path, "--policy", str(policy), "--shadow", "trial")
    assert (found["compared"], found["not_compared"]["acting"]) == (4, 53)

    # Another model: what is still retained is read again, the rest is history and is not compared.
    model = checkpoints.make(tmp_path / "tiny")
    (model / "thresholds.json").write_text(json.dumps(dict.fromkeys(LABEL_IDS, 0.5)), "utf-8")
    gone = TopicPartition(f"{outside.prefix}posts", first["source"]["partition"], first["source"]["offset"] + 1)
    client = AdminClient({"bootstrap.servers": outside.bootstrap})
    for future in client.delete_records([gone]).values():
        future.result(30)
    done, found = backtest(service, tmp_path, "--policy", str(policy), "--model", str(model))
    assert (done.returncode, done.stderr) == (0, "")
    assert found["policy"]["thresholds_of"].startswith("tiny-")
    assert found["not_compared"]["text_not_retained"] >= 1
    assert found["reclassified"] == 51 - found["not_compared"]["text_not_retained"]
    assert found["compared"] == 52 - found["not_compared"]["text_not_retained"]

    assert outside.counts(*ALL) == {**before, "posts": before["posts"] - found["not_compared"]["text_not_retained"]}

    done, _ = backtest(service, tmp_path, "--policy", str(policy), "--to", "2020-01-01")
    assert done.returncode == 2
    assert done.stderr.splitlines() == ["mimamori: no decision in the log from the beginning to 2020-01-01"]


def test_topics_that_are_not_there(service: Service, tmp_path: Path) -> None:
    service.settings["MIMAMORI_TOPIC_PREFIX"] = "none-"
    done, _ = backtest(service, tmp_path, "--policy", str(policy_that_flags(tmp_path)))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("mimamori: ")
    assert "no topic none-moderation-decisions, none-staff-reviews, none-dead-letters" in line


def test_reading_is_the_only_right_it_needs(tmp_path: Path, unique: str) -> None:
    """docs/operations.md: Read on three topics, on `posts` too for --model, and none on a group."""
    prefix, policy = f"{unique}-", policy_that_flags(tmp_path, "insult")
    home = tmp_path / "certificates"
    home.mkdir()
    with SecuredKafka(Certificates.make(home)) as kafka:
        kafka.add_users()
        open_door = {"MIMAMORI_BOOTSTRAP_SERVERS": kafka.bootstrap, "MIMAMORI_TOPIC_PREFIX": prefix}
        assert mimamori("topics", "apply", settings=open_door).returncode == 0
        outside = Outside(kafka.bootstrap, prefix)
        world = World(context(policy_file(tmp_path, name="recorded.yml")))
        decision = json.dumps(world.write("p1", scores={"insult": 0.8})).encode()
        outside.send_raw("moderation-decisions", b"p1", decision)
        outside.flush()
        settings = {
            "MIMAMORI_BOOTSTRAP_SERVERS": kafka.door("SASL_SSL"),
            "MIMAMORI_TOPIC_PREFIX": prefix,
            "MIMAMORI_SECURITY_PROTOCOL": "SASL_SSL",
            "MIMAMORI_SASL_USERNAME": "redrive",  # any user; the name says nothing
            "MIMAMORI_SASL_PASSWORD_FILE": kafka.certificates["password"],
            "MIMAMORI_SSL_CAFILE": kafka.certificates["ca.pem"],
        }
        command = ("backtest", "--policy", str(policy))
        refused = mimamori(*command, settings=settings)
        assert refused.returncode == 2
        assert "moderation-decisions" in refused.stderr
        kafka.allow(may_read(f"{prefix}{topic}") for topic in ("moderation-decisions", "staff-reviews", "dead-letters"))
        done = mimamori(*command, settings=settings)
        assert done.returncode == 0, done.stderr
        assert "of 1 decisions" in done.stdout
        model = str(checkpoints.make(tmp_path / "tiny"))
        refused = mimamori(*command, "--model", model, settings=settings)
        assert refused.returncode == 2
        assert f"{prefix}posts" in refused.stderr.splitlines()[-1]


def may_read(topic: str) -> AclBinding:
    return AclBinding(
        ResourceType.TOPIC,
        topic,
        ResourcePatternType.LITERAL,
        "User:redrive",
        "*",
        AclOperation.READ,
        AclPermissionType.ALLOW,
    )
