"""One run: cluster, topics, workers, feed; then the faults; then quiet, a snapshot, and the checker's verdict.

    Step 1  three brokers; `mimamori topics apply`; workers, until the first is ready
    Step 2  the feed starts; each fault strikes when its share of the feed is decided
    Step 3  all faults are over; wait until everything sent is committed
    Step 4  SIGTERM to all workers that are ready, each must drain and exit 0
    Step 5  read the topics, check, tell

The seed fixes feed and faults, not the moments of the machine: a failing seed is likely to fail again, and its snapshot
and logs are kept.
"""

import json
import re
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from confluent_kafka import KafkaException

from tests.chaos import checker, schedule, setting
from tests.chaos.cluster import NETWORKS, ChaosCluster
from tests.chaos.feed import MARKER, Feeder
from tests.chaos.feed import plan as plan_feed
from tests.chaos.fleet import HUNG, Fleet, Slot
from tests.chaos.reading import Reader, Sampler
from tests.chaos.records import Violation
from tests.chaos.schedule import Fault
from tests.chaos.snapshot import Snapshot
from tests.harness import mimamori

SESSION_SECONDS: Final = "6"  # the shortest that a worker takes
START_SECONDS: Final = 180.0
DRAIN_SECONDS: Final = 420.0
PATIENCE_SECONDS: Final = 45.0  # a fault strikes then, whether its share is decided or not
BACKLOG: Final = 3_000  # records not committed at which the feed pauses
AHEAD_SECONDS: Final = 4.0  # of the feed, past the share of the next fault: it shall find work under way
UNEXPECTED_CODES: Final = {1, 2, -6, -11}  # bad input, wrong use, abort, segmentation fault: no fault excuses these


@dataclass(frozen=True, slots=True)
class Run:
    """What to do."""

    seed: int
    posts: int
    faults: list[Fault]
    rate: float = 100.0  # posts a second
    workers: int = 2
    quiet_seconds: float = 6.0  # after the last commit: clocks that are due run out, commits stay where they are
    home: Path = Path("runs/chaos")

    @property
    def name(self) -> str:
        """Of group and prefix."""
        return f"chaos{self.seed}"


def say(text: str) -> None:
    """A line of progress."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def run(wanted: Run) -> dict[str, Any]:
    """The verdict; with violations, the run's directory is kept and named in it."""
    home = (wanted.home / f"seed-{wanted.seed}").absolute()
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    started = time.monotonic()
    with ChaosCluster() as cluster:
        settings = _settings(cluster, wanted, home)
        applied = mimamori("topics", "apply", settings=settings)
        if applied.returncode != 0:
            raise RuntimeError(f"topics apply: {applied.stderr}")
        networks = [cluster.workers_bootstrap(network) for network in NETWORKS]
        fleet = Fleet(home, wanted.workers, settings, networks, wanted.seed)
        try:
            found = _Running(wanted, cluster, fleet).through()
        finally:
            fleet.end()
        logs = fleet.logs()
    snapshot, violations, told = found
    if MARKER in logs:
        violations.append(Violation("text_in_log", "worker.log"))
    snapshot.save(home / "snapshot.jsonl")
    violations += checker.check(snapshot)
    told |= {
        "violations": dict(Counter(v.kind for v in violations)),
        "first": [v._asdict() for v in violations[:10]],
        "seconds": round(time.monotonic() - started, 1),
        **checker.figures(snapshot),
    }
    verdict = {"seed": wanted.seed, "ok": not violations, **told}
    (home / "verdict.json").write_text(json.dumps(verdict, ensure_ascii=False, indent=1), "utf-8")
    (home / "violations.jsonl").write_text("".join(json.dumps(v._asdict()) + "\n" for v in violations), "utf-8")
    for data in home.glob("worker-*/data"):
        shutil.rmtree(data, ignore_errors=True)
    return verdict


def _settings(cluster: ChaosCluster, wanted: Run, home: Path) -> dict[str, str]:
    return {
        "MIMAMORI_BOOTSTRAP_SERVERS": cluster.bootstrap,
        "MIMAMORI_GROUP": wanted.name,
        "MIMAMORI_TOPIC_PREFIX": f"{wanted.name}-",
        "MIMAMORI_SESSION_TIMEOUT_SECONDS": SESSION_SECONDS,
        "MIMAMORI_MODEL": str(setting.checkpoint()),
        "MIMAMORI_POLICY_FILE": str(setting.policy(home)),
        "MIMAMORI_TORCH_THREADS": "1",
        "MIMAMORI_WEB_PORT": "0",
    }


class _Running:
    """A run between its workers' start and their end."""

    def __init__(self, wanted: Run, cluster: ChaosCluster, fleet: Fleet) -> None:
        self.wanted, self.cluster, self.fleet = wanted, cluster, fleet
        self.reader = Reader(cluster.bootstrap, f"{wanted.name}-", wanted.name)
        self.sampler = Sampler(Reader(cluster.bootstrap, f"{wanted.name}-", wanted.name))
        steps = plan_feed(wanted.seed, wanted.posts)
        self.feeder = Feeder(cluster.bootstrap, f"{wanted.name}-", wanted.name, steps, wanted.rate)
        self.faults: Counter[str] = Counter()
        self.failed: list[Violation] = []
        self._next = 0.0  # the next fault's share
        self._of_brokers: threading.Thread | None = None
        self._background: list[threading.Thread] = []

    def through(self) -> tuple[Snapshot, list[Violation], dict[str, Any]]:
        """Steps 1 (its end) to 5 (its start)."""
        self._wait_for_workers()
        self.sampler.start()
        self.feeder.hold_while(self._behind)
        self.feeder.start()
        for fault in self.wanted.faults:
            self._next = fault.at
            self._until(fault.at)
            time.sleep(fault.wait)
            self._strike(fault)
        self._next = 1.0
        if self._of_brokers is not None:
            self._of_brokers.join()
        for thread in self._background:
            thread.join()
        say("all faults are over")
        self._drain()
        codes = self.fleet.stop()
        for name, code in codes.items():
            if code != 0:
                self.failed.append(Violation("exit_not_clean", name, f"exit code {code} after SIGTERM"))
        for how, count in self.fleet.exits.items():
            number, _, reason = how.partition(" ")
            if reason == HUNG or int(number) in UNEXPECTED_CODES:
                self.failed.append(Violation("exit_unexpected", how, f"{count} times"))
        snapshot = self.reader.snapshot(self.sampler.finish(), self.feeder.accepted)
        told = {
            "faults": dict(self.faults),
            "exits": dict(self.fleet.exits),
            "starts": sum(slot.starts for slot in self.fleet.slots),
            "stores_rebuilt": self.fleet.rebuilt,
            "producer_outages": self.feeder.outages,
            "samples_unanswered": self.sampler.unanswered,
        }
        return snapshot, self.failed, told

    # -- waiting -----------------------------------------------------------------------------------------------------

    def _wait_for_workers(self) -> None:
        until = time.monotonic() + START_SECONDS
        while not any(slot.ready for slot in self.fleet.slots):
            if time.monotonic() > until:
                raise TimeoutError(f"no worker is ready after {START_SECONDS:g} s\n{self.fleet.logs()[-4_000:]}")
            time.sleep(0.2)
        say("the first worker is ready")

    def _decided(self) -> int:
        latest = self.sampler.samples[-1] if self.sampler.samples else None
        return sum(latest.committed.values()) if latest else 0

    def _behind(self) -> bool:
        ahead = self.feeder.sent - self._next * self.wanted.posts
        return self.feeder.sent - self._decided() > BACKLOG or ahead > AHEAD_SECONDS * self.wanted.rate

    def _until(self, share: float) -> None:
        patience = time.monotonic() + PATIENCE_SECONDS
        while self._decided() < share * self.wanted.posts and time.monotonic() < patience:
            if self.feeder.failed is not None:
                raise self.feeder.failed
            time.sleep(0.05)

    def _drain(self) -> None:
        """Step 3."""
        self.feeder.join()
        if self.feeder.failed is not None:
            raise self.feeder.failed
        until = time.monotonic() + DRAIN_SECONDS
        lag = -1
        while lag != 0:
            if time.monotonic() > until:
                self.failed.append(
                    Violation("stuck", "posts", f"{lag} records not committed {DRAIN_SECONDS:g} s after")
                )
                return
            time.sleep(0.5)
            try:
                lag = self.reader.lag()
            except KafkaException:
                lag = -1
        time.sleep(self.wanted.quiet_seconds)
        say("everything is committed")

    # -- faults ------------------------------------------------------------------------------------------------------

    def _strike(self, fault: Fault) -> None:
        if fault.kind in schedule.OF_BROKERS:
            if self._of_brokers is not None:
                self._of_brokers.join()
            self._of_brokers = self._beside(self._broker_fault, fault)
            return
        say(f"{fault.kind} at {self._decided()} of {self.wanted.posts}")
        self.faults[fault.kind] += 1
        if fault.kind == schedule.OUTAGE:
            self.feeder.outage(fault.seconds)
        elif fault.kind == schedule.JOIN:
            self.fleet.join()
        else:
            self._worker_fault(fault)

    def _worker_fault(self, fault: Fault) -> None:
        slots = self._slots(fault.kind)
        if not slots:
            self.faults[f"{fault.kind} skipped"] += 1
            return
        slot = slots[fault.pick % len(slots)]
        if fault.kind == schedule.KILL:
            self.fleet.kill(slot)
        elif fault.kind.startswith("damage-"):
            self.fleet.damage(slot, fault.kind.removeprefix("damage-"))
        elif fault.kind == schedule.PAUSE:
            self._background.append(self._beside(self.fleet.pause, slot, fault.seconds))
        else:
            end = self.fleet.leave if fault.kind == schedule.LEAVE else self.fleet.terminate
            self._background.append(self._beside(end, slot))

    def _slots(self, kind: str) -> list[Slot]:
        """Whom a fault may strike; a kill waits until somebody is there."""
        until = time.monotonic() + PATIENCE_SECONDS
        while not (alive := self.fleet.alive()) and time.monotonic() < until:
            time.sleep(0.1)
        if kind == schedule.LEAVE and len([slot for slot in self.fleet.slots if slot.wanted]) <= self.wanted.workers:
            return []
        return alive

    @staticmethod
    def _beside(work: Callable[..., Any], *arguments: Any) -> threading.Thread:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        thread.start()
        return thread

    def _broker_fault(self, fault: Fault) -> None:
        cluster, kind = self.cluster, fault.kind
        nodes = cluster.running
        node = nodes[fault.pick % len(nodes)]
        if kind == schedule.CONTROLLER:
            node = cluster.controller() or node
        say(f"{kind} of node {node} for {fault.seconds:.1f} s")
        self.faults[kind] += 1
        try:
            if kind in (schedule.BROKER, schedule.CONTROLLER):
                cluster.kill(node)
                time.sleep(fault.seconds)
                cluster.start(node)
            elif kind == schedule.TWO:
                others = [other for other in nodes if other != node]
                for other in others:
                    cluster.kill(other)
                time.sleep(fault.seconds)
                cluster.start()
            elif kind == schedule.STOP:
                cluster.pause(node)
                time.sleep(fault.seconds)
                cluster.resume(node)
            else:
                proxies = cluster.between(NETWORKS[fault.pick % 2], None if fault.pick % 3 else node)
                for proxy in proxies:
                    proxy.cut(silent=kind == schedule.CUT_SILENT)
                time.sleep(fault.seconds)
                for proxy in proxies:
                    proxy.restore()
        except Exception as error:  # noqa: BLE001 # a cluster that does not come back is the run's failure
            self.failed.append(Violation("cluster_failed", kind, re.sub(r"\s+", " ", str(error))[:500]))
        say(f"{kind} is over")
