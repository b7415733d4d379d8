"""The worker end to end on a real Kafka: replicas as processes, posts in, decisions out.

Each function is one service with fresh topics: `one` replica (with the latency under a paced load), `two` replicas
(with the recovery after a kill), and one replica with `all_cores`. Each returns parts of the JSON by name; rates are
posts a second.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from threading import Thread
from typing import Any, Final

from benchmarks.ratios import percentile, recovered
from benchmarks.service import Answer, Service, metric
from tests.harness import WorkerProcess
from tests.kafka.cluster import KafkaCluster

Json = dict[str, Any]
SESSION_SECONDS: Final = 45.0  # the default; only the recovery is measured under a shorter one
RECOVERY_SESSION_SECONDS: Final = 10.0
LOADS: Final = (0.5, 0.8)  # of the throughput measured just before
_RECOVERY_LOAD: Final = 0.2  # the heir alone has to bear it, and what waited for it
_RECOVERY_MOST_PER_SECOND: Final = 60.0
_BEFORE_KILL_SECONDS: Final = 3.0
_AFTER_SESSION_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is sent. `posts` are the same for every part; `more` are others, so that no text was seen before."""

    posts: Sequence[str]
    more: Sequence[str]
    warm_up: int
    paced_seconds: float  # at most; fewer where a fast worker would see a text again

    def unseen(self) -> Iterator[str]:
        """Texts behind those for warming up; in the end they come again, rather than none."""
        return cycle(self.more[self.warm_up :])


def one(cluster: KafkaCluster, plan: Plan, *, latency: bool) -> Json:
    """One replica with one thread; with `latency`, then the same replica under each of LOADS."""
    with Service(cluster, "bench-one") as service:
        found = _throughput(service, plan, replicas=1, threads=1, session=SESSION_SECONDS)
        if not latency:
            return {"one": found}
        unseen = plan.unseen()
        seconds = min(plan.paced_seconds, len(plan.more[plan.warm_up :]) / (sum(LOADS) * found["posts_per_second"]))
        loads = [_under_load(service, unseen, seconds, load, found["posts_per_second"]) for load in LOADS]
        return {"one": found, "latency": {"arrivals": "Poisson", "seconds": round(seconds, 2), "loads": loads}}


def all_cores(cluster: KafkaCluster, plan: Plan, cores: int) -> Json:
    """One replica with as many threads as there are cores."""
    with Service(cluster, "bench-all") as service:
        return {"all": _throughput(service, plan, replicas=1, threads=cores, session=SESSION_SECONDS)}


def two(cluster: KafkaCluster, plan: Plan, *, recovery: bool) -> Json:
    """Two replicas with one thread each; with `recovery`, then one of them is killed."""
    with Service(cluster, "bench-two") as service:
        found = _throughput(service, plan, replicas=2, threads=1, session=RECOVERY_SESSION_SECONDS)
        if not recovery:
            return {"two": found}
        return {"two": found, "recovery": _recovery(service, plan, found["posts_per_second"])}


def _throughput(service: Service, plan: Plan, *, replicas: int, threads: int, session: float) -> Json:
    ready = service.start(replicas, threads, session)
    service.settled()
    service.send(plan.more[: plan.warm_up], "warm")
    service.wait()
    before, batches = service.usage(), _batches(service.replicas)
    service.send(plan.posts, "post")
    service.wait()
    after = service.usage()
    answers = service.answers("post")
    seconds = answers[-1].decided - min(answer.posted for answer in answers)
    return {
        "replicas": replicas,
        "threads": threads,
        "posts": len(answers),
        "posts_per_second": round(len(answers) / seconds, 2),
        "cpu_ms_per_post": after.per_post(before, len(answers)),
        "peak_rss_mib": service.peak_mib(),
        "start_to_ready_seconds": ready,
        **_batches_since(service.replicas, batches),
    }


def _under_load(service: Service, texts: Iterator[str], seconds: float, load: float, throughput: float) -> Json:
    name = f"load{round(100 * load)}"
    before, batches = service.usage(), _batches(service.replicas)
    sent = service.send_paced(texts, name, load * throughput, seconds)
    service.wait()
    after = service.usage()
    latencies = [1000 * (answer.decided - answer.posted) for answer in service.answers(name)]
    return {
        "load": load,
        "posts": sent,
        "offered_per_second": round(load * throughput, 2),
        "sent_per_second": round(sent / seconds, 2),
        "p50_ms": round(percentile(latencies, 50), 1),
        "p99_ms": round(percentile(latencies, 99), 1),
        "max_ms": round(max(latencies), 1),
        "cpu_ms_per_post": after.per_post(before, sent),
        **_batches_since(service.replicas, batches),
    }


def _recovery(service: Service, plan: Plan, throughput: float) -> Json:
    """kill -9 of a replica under a light load; times count from the kill."""
    rate = min(_RECOVERY_LOAD * throughput, _RECOVERY_MOST_PER_SECOND)
    seconds = _BEFORE_KILL_SECONDS + RECOVERY_SESSION_SECONDS + _AFTER_SESSION_SECONDS
    sent: list[int] = []

    def write() -> None:
        sent.append(service.send_paced(plan.unseen(), "kill", rate, seconds))

    platform = Thread(target=write, name="platform", daemon=True)
    platform.start()
    time.sleep(_BEFORE_KILL_SECONDS)
    killed = time.time()
    service.replicas.pop().kill()
    platform.join()
    if not sent:
        raise RuntimeError("the platform stopped sending")
    answers = _all_answered(service, sent[0])
    times = recovered([(a.partition, a.posted, a.decided) for a in answers], killed, RECOVERY_SESSION_SECONDS)
    return {
        "session_seconds": RECOVERY_SESSION_SECONDS,
        "sent_per_second": round(sent[0] / seconds, 2),
        "heir_first_decision_seconds": round(times.first, 2),
        "every_partition_seconds": round(times.last, 2),
        "posts": sent[0],
        "decided": len(answers),
    }


def _all_answered(service: Service, sent: int) -> list[Answer]:
    """A kill may leave a decision twice, so counting records does not tell that all are there."""
    while True:
        service.wait()
        answers = service.answers("kill")
        if len(answers) >= sent:
            return answers


def _batches(replicas: Sequence[WorkerProcess]) -> dict[str, float]:
    names = [f"mimamori_batch_{what}_{which}" for what in ("seconds", "records") for which in ("sum", "count")]
    return {name: sum(metric(replica, name) for replica in replicas) for name in names}


def _batches_since(replicas: Sequence[WorkerProcess], before: dict[str, float]) -> dict[str, float]:
    """Means of the replicas' own histograms since `before`."""
    spent = {name: value - before[name] for name, value in _batches(replicas).items()}
    return {
        f"mean_batch_{what}": round(spent[f"mimamori_batch_{what}_sum"] / spent[f"mimamori_batch_{what}_count"], 4)
        for what in ("seconds", "records")
    }
