"""`mimamori report` on a real broker: of what a worker wrote, with the least rights; nothing is written anywhere."""

import csv
import io
import json
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.broker.conftest import Service, policy_that_flags
from tests.broker.secured import Certificates, SecuredKafka
from tests.broker.test_backtest import may_read
from tests.harness import OUTPUTS, Outside, mimamori, post
from tests.unit.accounts import DAY_MS, HIDDEN, HOUR_MS, Log
from workers.days import JAPAN, start_ms
from workers.events import Action, Topic, Verdict
from workers.transparency import Order
from workers.transparency_source import SOURCES

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(420)]

ALL = ("posts", "staff-reviews", *OUTPUTS)
AUTHORS = 4


def around_now() -> tuple[str, ...]:
    today = datetime.now(UTC).astimezone(JAPAN).date()
    return ("--from", str(today - timedelta(days=1)), "--to", str(today + timedelta(days=1)))


def report(service: Service, *arguments: str) -> "subprocess.CompletedProcess[str]":
    done = mimamori("report", *around_now(), *arguments, settings=service.settings, timeout=240)
    assert "Traceback" not in done.stderr, done.stderr
    assert HIDDEN not in done.stdout + done.stderr
    return done


def test_of_what_a_worker_wrote(service: Service, tmp_path: Path) -> None:
    """Posts, an edit, a deletion, a request and its answer, an overturn, a dead letter, shadow, a repeated record."""
    outside, policy = service.outside, policy_that_flags(tmp_path, "insult")
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())

    def review(id: str, verdict: str, author: str, decision: str, **more: Any) -> dict[str, Any]:
        return {
            "schema": "review/1",
            "review_id": id,
            "post_id": f"{author}-0",
            "author_id": author,
            "decision_id": decision,
            "verdict": verdict,
            "reviewer_id": f"staff-{id}",
            "reason": HIDDEN,
            "occurred_at": now,
            **more,
        }

    with service.worker(MIMAMORI_POLICY_FILE=str(policy)) as worker:
        outside.send(post(f"a{i}", n, f"{HIDDEN} {i} {n}") for n in range(2) for i in range(AUTHORS))
        outside.send([post("a0", 0, HIDDEN, event="edited", revision=2)])
        outside.send([post("a1", 1, None, event="deleted", revision=2)])
        outside.wait_for({"moderation-decisions": 2 * AUTHORS + 2, "moderation-actions": 2 * AUTHORS}, tail=worker.tail)
        ids = {one["post_id"]: one["decision_id"] for one in outside.records("moderation-decisions")}
        outside.send(
            [
                review("r1", "removal_requested", "a0", ids["a0-0"], requested_by="victim"),
                review("r2", "change_action", "a0", ids["a0-0"], action="remove"),
                review("r3", "answered", "a0", ids["a0-0"]),
                review("r4", "overturn", "a1", ids["a1-0"]),
                review("r5", "confirm", "a2", "no such decision"),
            ],
            topic="staff-reviews",
        )
        outside.wait_for({"consultation-escalations": 4, "dead-letters": 1}, tail=worker.tail)
        outside.wait_for({"moderation-actions": 2 * AUTHORS + 2}, tail=worker.tail)
        assert worker.terminate() == 0
    for topic in ("moderation-decisions", "moderation-actions", "consultation-escalations"):
        for message in outside.read(topic):  # everything once more, as after a crash
            outside.send_raw(topic, message.key(), message.value() or b"")
    first = outside.records("moderation-decisions")[0]
    shadow = {**first, "shadow": True, "decision_id": "s", "policy_version": "trial"}
    outside.send_raw("moderation-decisions", first["post_id"].encode(), json.dumps(shadow).encode())
    outside.flush()
    before = outside.counts(*ALL)

    done = report(service)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["left_out"] == {
        "shadow_decisions": 1,
        "repeated": {
            "moderation-decisions": 2 * AUTHORS + 2,
            "moderation-actions": 2 * AUTHORS + 2,
            "consultation-escalations": 4,
            "staff-reviews": 0,
        },
        "reviews_that_are_dead_letters": 0,
        "reviews_without_effect": 1,
        "unreadable": 0,
    }
    tables = found["tables"]
    overview = {row["figure"]: row["value"] for row in tables["overview"]}
    assert (overview["decisions"], overview["posts"], overview["flagged"]) == (
        2 * AUTHORS + 2,
        2 * AUTHORS,
        2 * AUTHORS + 1,
    )
    assert (overview["measures"], overview["automated"], overview["reviewers"]) == (2 * AUTHORS + 1, 2 * AUTHORS, 3)
    assert {(row["action"], row["by"]): row["measures"] for row in tables["measures_by_label"]} == {
        ("warn", "model"): AUTHORS,
        ("request_removal", "model"): AUTHORS,
        ("remove", "human"): 1,
        ("restore", "human"): 1,
    }
    (victim, _) = tables["requests_by_requester"]
    assert (victim["requester"], victim["requests"], victim["in_time"], victim["done"]) == ("victim", 1, 1, 1)
    (overturned,) = tables["overturns_by_clause"]
    assert (overturned["measures"], overturned["overturned"], overturned["changed"]) == (2 * AUTHORS, 1, 1)
    (posted, _) = tables["latency"]
    assert posted["count"] == 2 * AUTHORS + 2
    assert 0 < posted["p50_seconds"] <= posted["p95_seconds"] < 600

    page, table = tmp_path / "report.html", tmp_path / "report.csv"
    assert report(service, "--format", "html", "--out", str(page), "--regime", "designated").stdout == ""
    assert "大規模特定電気通信役務提供者（指定）" in page.read_text("utf-8")
    assert report(service, "--format", "csv", "--out", str(table)).returncode == 0
    rows = [*csv.DictReader(io.StringIO(table.read_text("utf-8")))]
    assert {row["value"] for row in rows if row["figure"] == "measures"} == {str(2 * AUTHORS + 1)}
    assert HIDDEN not in page.read_text("utf-8") + table.read_text("utf-8")

    outside.send_raw("moderation-actions", b"a0", HIDDEN.encode())
    outside.flush()
    done = report(service)
    assert done.returncode == 1
    assert "not valid UTF-8 JSON" in done.stderr
    assert json.loads(done.stdout)["tables"] == tables
    assert outside.counts(*ALL) == {**before, "moderation-actions": before["moderation-actions"] + 1}


def test_reading_is_the_only_right_it_needs(tmp_path: Path, unique: str) -> None:
    """docs/operations.md: Read on four topics, on two of them for a trend; none on `posts`, `care-outreach` or a group.

    The records are of the year's last whole month; what comes out is what the same records give in this process.
    """
    prefix = f"{unique}-"
    last = datetime.now(UTC).astimezone(JAPAN).date().replace(day=1) - timedelta(days=1)
    first = last.replace(day=1)
    log = written(start_ms(first) + 9 * HOUR_MS)
    home = tmp_path / "certificates"
    home.mkdir()
    with SecuredKafka(Certificates.make(home)) as kafka:
        kafka.add_users()
        open_door = {"MIMAMORI_BOOTSTRAP_SERVERS": kafka.bootstrap, "MIMAMORI_TOPIC_PREFIX": prefix}
        assert mimamori("topics", "apply", settings=open_door).returncode == 0
        outside = Outside(kafka.bootstrap, prefix)
        for topic, key, raw, at in log.values:
            outside.send_raw(topic.value, key, raw, at)
        outside.flush()
        settings = {
            "MIMAMORI_BOOTSTRAP_SERVERS": kafka.door("SASL_SSL"),
            "MIMAMORI_TOPIC_PREFIX": prefix,
            "MIMAMORI_SECURITY_PROTOCOL": "SASL_SSL",
            "MIMAMORI_SASL_USERNAME": "redrive",  # any user; the name says nothing
            "MIMAMORI_SASL_PASSWORD_FILE": kafka.certificates["password"],
            "MIMAMORI_SSL_CAFILE": kafka.certificates["ca.pem"],
        }
        period = ("--from", str(first), "--to", str(last))
        refused = mimamori("report", *period, settings=settings)
        assert refused.returncode == 2
        assert "moderation-decisions" in refused.stderr
        kafka.allow(may_read(f"{prefix}{topic.value}") for topic in (Topic.DECISIONS, Topic.ACTIONS))
        told = answered("--trend", "--k", "3", *period, settings=settings)
        assert told == log.account(Order(first, last, trend=True, k=3))
        refused = mimamori("report", *period, settings=settings)
        assert refused.returncode == 2
        assert f"{prefix}consultation-escalations" in refused.stderr.splitlines()[-1]
        kafka.allow(may_read(f"{prefix}{topic.value}") for topic in SOURCES)
        for form in ("json", "csv", "html"):
            told = answered("--format", form, *period, settings=settings)
            assert told == log.account(Order(first, last, form=form))


def answered(*arguments: str, settings: dict[str, str]) -> bytes:
    done = mimamori("report", *arguments, settings=settings)
    assert done.returncode == 0, done.stderr
    return done.stdout.encode()


def written(base_ms: int) -> Log:
    """A month of a few authors, its cases and requests, and the first moment of the next."""
    log = Log(base_ms)
    for number in range(12):
        author, at = f"a{number}", number * DAY_MS
        log.decide(f"p{number}", "insult", at=at, author=author, action=Action.WARN if number % 3 else Action.NONE)
        case = log.case(f"p{number}", "insult", at=at, author=author)
        log.review(Verdict.REMOVAL_REQUESTED, f"p{number}", "insult", case=case, at=at + HOUR_MS, author=author)
        log.review(Verdict.CLOSE, f"p{number}", "insult", case=case, at=at + number * DAY_MS, author=author)
    log.ends(31 * DAY_MS)
    return log


def test_topics_that_are_not_there(service: Service) -> None:
    service.settings["MIMAMORI_TOPIC_PREFIX"] = "none-"
    done = report(service)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "no topic none-moderation-decisions, none-moderation-actions" in line
    assert "care-outreach" not in line
