"""`mimamori demo`: an embedded Kafka, a real worker process, posts in, every output printed and accounted for.

    Step 1  start the embedded Kafka, make the topics, start `mimamori worker` on it
    Step 2  feed the records, never more than a window ahead of what is accounted
    Step 3  print each decision with what it led to, as it arrives
    Step 4  done when the worker has committed every record and every deletion request that ran out was answered
    Step 5  stop the worker; totals; the last line is JSON

The samples are invented. With --posts, texts are not printed: a moderator's terminal is no place for them.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Final

import yaml
from confluent_kafka import Consumer, TopicPartition
from rich.console import Console

from models.labels import DISTRESS
from workers import topics as topics_module
from workers.cases import record_id
from workers.demo_view import View
from workers.embedded import PARTITIONS, EmbeddedKafka
from workers.errors import Unavailable, usable
from workers.events import Topic

WINDOW_BYTES: Final = 1_000_000  # fed and not yet accounted for; a partition of the embedded broker holds 5 MB
STALL_SECONDS: Final = 180.0
STOP_SECONDS: Final = 60.0
SAMPLE_AGE_MS: Final = 26 * 3_600_000  # samples are stamped so long ago that an ignored request has run out by now
OUTPUTS: Final = (Topic.DECISIONS, Topic.ACTIONS, Topic.ESCALATIONS, Topic.CARE, Topic.DEAD_LETTERS)


@dataclass
class Fed:
    """One record on its way."""

    key: bytes | None
    value: bytes
    timestamp_ms: int | None = None
    identity: tuple[str, int] | None = None


@dataclass(frozen=True)
class Request:
    """A request for removal that no action has answered."""

    decision_id: str
    post_id: str
    due: float  # seconds since the epoch


@dataclass
class Account:
    """What was fed and what came back."""

    fed: int = 0
    sources_pending: dict[tuple[int, int], tuple[str, int] | None] = field(default_factory=dict)
    decisions: dict[str, int] = field(default_factory=dict)  # id → the post's revision
    decided: set[tuple[str, int]] = field(default_factory=set)
    dead: set[tuple[int, int]] = field(default_factory=set)
    actions: dict[str, str] = field(default_factory=dict)
    requests: dict[str, Request] = field(default_factory=dict)  # by action id
    settled: dict[str, int] = field(default_factory=dict)  # post → its latest revision that leaves no request standing
    escalations: dict[str, tuple[str, str]] = field(default_factory=dict)  # id → post, case
    care: set[str] = field(default_factory=set)

    def take(self, topic: Topic, record: dict[str, Any]) -> None:
        """Count one output, once by id."""
        if topic is Topic.DECISIONS:
            post_id, revision, flagged = record["post_id"], record["revision"], record["flagged"]
            self.decisions[record["decision_id"]] = revision
            self.decided.add((post_id, revision))
            if record["event"] == "deleted" or not flagged or DISTRESS in flagged:
                self.settled[post_id] = max(revision, self.settled.get(post_id, 0))
        elif topic is Topic.ACTIONS:
            self.actions[record["action_id"]] = record["action"]
            for superseded in (*record["supersedes"], record["cause"]):
                self.requests.pop(superseded, None)
            if record["due_at"]:
                self.requests[record["action_id"]] = Request(
                    record["decision_id"], record["post_id"], _epoch(record["due_at"])
                )
        elif topic is Topic.ESCALATIONS:
            self.escalations[record["escalation_id"]] = (record["post_id"], record["case_id"])
        elif topic is Topic.CARE:
            self.care.add(record["care_id"])
        else:
            self.dead.add((record["source"]["partition"], record["source"]["offset"]))

    def overdue(self, now: float) -> bool:
        """Whether a request that ran out by `now` still waits for its removal, or for a person: nobody settled it."""
        return any(
            request.due < now
            and self.decisions.get(request.decision_id, 0) >= self.settled.get(request.post_id, 0)
            and not self._asked(action_id, request)
            for action_id, request in self.requests.items()
        )

    def _asked(self, action_id: str, request: Request) -> bool:
        """Whether its clock led to a person, as where its author was lately in distress."""
        return any(
            post_id == request.post_id and escalation_id == record_id(action_id, case_id)
            for escalation_id, (post_id, case_id) in self.escalations.items()
        )

    def accounted(self) -> bool:
        """Every record fed ended as a decision or as a dead letter."""
        return all(
            source in self.dead or (identity is not None and identity in self.decided)
            for source, identity in self.sources_pending.items()
        )

    def summary(self) -> dict[str, Any]:
        """The contract's last line."""
        return {
            "posts": self.fed,
            "decisions": len(self.decisions),
            "actions": len(self.actions),
            "escalations": len(self.escalations),
            "care": len(self.care),
            "dead_letters": len(self.dead),
            "by_action": dict(sorted(Counter(self.actions.values()).items())),
            "accounted": self.accounted(),
        }


def run(posts: Path | None) -> int:
    """The whole demo; exit code 0 when every record is accounted for."""
    records = _samples() if posts is None else _file(posts)
    console = Console(highlight=False, soft_wrap=True)
    kafka = EmbeddedKafka()
    account = Account()
    with tempfile.TemporaryDirectory(prefix="mimamori-demo-") as folder:
        names = _topics(Path(folder), kafka)
        view = View(console, {} if posts else _texts(records))
        console.print(f"[dim]埋め込みKafka {kafka.bootstrap}、ワーカーを起動しています… / starting a worker[/dim]")
        worker, log = _start_worker(Path(folder), kafka.bootstrap)
        try:
            _feed_and_follow(kafka, names, records, account, view, worker)
        except (Unavailable, KeyboardInterrupt):
            sys.stderr.write(log.read_text("utf-8")[-4_000:])
            raise
        finally:
            _stop(worker)
        view.totals(account)
    summary = account.summary()
    print(json.dumps(summary, ensure_ascii=False), flush=True)
    return 0 if summary["accounted"] and worker.returncode == 0 else 1


def _topics(folder: Path, kafka: EmbeddedKafka) -> dict[Topic, str]:
    """The packaged topics with the partition count that the embedded broker gives."""
    raw = yaml.safe_load(resources.files("workers").joinpath("topics.yml").read_text("utf-8"))
    for entry in raw["topics"].values():
        entry["partitions"] = PARTITIONS
    file = folder / "topics.yml"
    file.write_text(yaml.safe_dump(raw, allow_unicode=True), encoding="utf-8")
    topics = topics_module.load(file)
    names = {topic: topics.physical(topic) for topic in Topic}
    kafka.make([*names.values(), topics.changelog("", "mimamori")])
    return names


def _start_worker(folder: Path, bootstrap: str) -> tuple["subprocess.Popen[bytes]", Path]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MIMAMORI_")}
    for kept in ("MIMAMORI_MODEL", "MIMAMORI_POLICY_FILE", "MIMAMORI_TORCH_THREADS"):
        if kept in os.environ:
            environment[kept] = os.environ[kept]
    environment |= {
        "MIMAMORI_BOOTSTRAP_SERVERS": bootstrap,
        "MIMAMORI_TOPICS_FILE": str(folder / "topics.yml"),
        "MIMAMORI_DATADIR": str(folder / "data"),
        "MIMAMORI_WEB_PORT": "0",
    }
    environment.setdefault("MIMAMORI_TORCH_THREADS", str(os.cpu_count() or 1))
    log = folder / "worker.log"
    with log.open("wb") as stream:
        command = [sys.executable, "-m", "workers.cli", "worker"]
        worker = subprocess.Popen(  # noqa: S603 # our own interpreter and module
            command, env=environment, stdout=stream, stderr=stream, start_new_session=True
        )
    return worker, log


def _stop(worker: "subprocess.Popen[bytes]") -> None:
    if worker.poll() is None:
        worker.send_signal(signal.SIGTERM)
        try:
            worker.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()


def _feed_and_follow(
    kafka: EmbeddedKafka,
    names: dict[Topic, str],
    records: list[Fed],
    account: Account,
    view: View,
    worker: "subprocess.Popen[bytes]",
) -> None:
    consumer = Consumer(
        {"bootstrap.servers": kafka.bootstrap, "group.id": "mimamori", "enable.auto.commit": False, "log_level": 0}
    )
    logical = {names[topic]: topic for topic in OUTPUTS}
    consumer.assign([TopicPartition(name, p, 0) for name in logical for p in range(PARTITIONS)])
    sizes: dict[tuple[int, int], int] = {}
    waiting = list(reversed(records))
    last_progress = time.monotonic()
    produced = dict.fromkeys(range(PARTITIONS), 0)
    try:
        while True:
            if worker.poll() is not None:
                raise Unavailable(f"the worker ended with exit code {worker.returncode}")
            if time.monotonic() - last_progress > STALL_SECONDS:
                raise Unavailable(f"nothing came back for {STALL_SECONDS:.0f} s")
            while waiting and sum(sizes.values()) < WINDOW_BYTES:  # Step 2
                record = waiting.pop()
                partition, offset = _send(kafka, names[Topic.POSTS], record)
                sizes[partition, offset] = len(record.value)
                produced[partition] = offset + 1
                account.fed += 1
                account.sources_pending[partition, offset] = record.identity
            messages = consumer.consume(500, timeout=0.2)
            for message in messages:  # Step 3
                if message.error() is None:
                    record_ = json.loads(message.value())
                    topic = logical[message.topic()]
                    account.take(topic, record_)
                    view.show(topic, record_)
                    last_progress = time.monotonic()
            committed = _committed(consumer, names[Topic.POSTS])
            sizes = {at: size for at, size in sizes.items() if at[1] >= committed.get(at[0], 0)}
            view.progress(account.fed - len(sizes), len(records))
            drained = not messages and _at_end(consumer)
            if not waiting and not sizes and drained and not account.overdue(time.time()):  # Step 4
                return
    finally:
        consumer.close()


def _send(kafka: EmbeddedKafka, topic: str, record: Fed) -> tuple[int, int]:
    where: list[tuple[int, int]] = []

    def delivered(error: Any, message: Any) -> None:
        if error is not None:
            raise Unavailable(f"the embedded Kafka took no record: {error}")
        where.append((message.partition(), message.offset()))

    extra = {} if record.timestamp_ms is None else {"timestamp": record.timestamp_ms}
    kafka.producer.produce(topic, key=record.key, value=record.value, on_delivery=delivered, **extra)
    kafka.producer.flush(30)
    return where[0]


def _committed(consumer: Consumer, topic: str) -> dict[int, int]:
    found = consumer.committed([TopicPartition(topic, p) for p in range(PARTITIONS)], timeout=10)
    return {tp.partition: max(0, tp.offset) for tp in found}


def _at_end(consumer: Consumer) -> bool:
    """Every output that exists has been read."""
    for position in consumer.position(consumer.assignment()):
        _, end = consumer.get_watermark_offsets(TopicPartition(position.topic, position.partition), timeout=10)
        if max(0, position.offset) < end:
            return False
    return True


def _samples() -> list[Fed]:
    """One a minute, starting so long ago that a request nobody answered has run out by now."""
    lines = resources.files("workers").joinpath("samples/posts.jsonl").read_bytes().splitlines()
    start = int(time.time() * 1000) - SAMPLE_AGE_MS
    records = [_fed(line) for line in lines]
    for minute, record in enumerate(records):
        record.timestamp_ms = start + minute * 60_000
    return records


def _file(path: Path) -> list[Fed]:
    with usable(path):
        raw = path.read_bytes()
    return [_fed(line) for line in raw.split(b"\n") if line.strip()]


def _fed(line: bytes) -> Fed:
    try:
        found = json.loads(line)
        author = found["author_id"]
        key = author.encode() if isinstance(author, str) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return Fed(None, line)
    post_id, revision = found.get("post_id"), found.get("revision")
    identity = (post_id, revision) if isinstance(post_id, str) and isinstance(revision, int) else None
    return Fed(key, line, None, identity)


def _texts(records: list[Fed]) -> dict[tuple[str, int], str]:
    texts = {}
    for record in records:
        if record.identity is not None:
            texts[record.identity] = str(json.loads(record.value).get("text", ""))
    return texts


def _epoch(time_text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(time_text).timestamp()
