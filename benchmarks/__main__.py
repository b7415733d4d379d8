"""`make bench`: everything in one run, on the same posts.

    python -m benchmarks [--parts classifier,policy,one,latency,two,recovery,all,hand] [--quick] [--out runs/bench]

Parts run one after another, each in processes of its own; bench.json is written after each, so that a run cut off keeps
what it has. `latency` brings `one` with it, `recovery` brings `two`. Progress goes to stderr, the tables to stdout and
bench.md, a plot to bench.svg. All parts but `classifier` and `policy` need Java and Kafka's jars: tests/kafka/fetch.sh.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from benchmarks import apart, plot, replicas, topic
from benchmarks.machine import cores
from benchmarks.ratios import percentile, ratios
from benchmarks.report import SCHEMA
from benchmarks.service import BROKER
from benchmarks.sizes import FULL, QUICK, Size
from benchmarks.tables import tables
from tests.kafka.cluster import KafkaCluster, missing

PARTS: Final = ("classifier", "policy", "one", "latency", "two", "recovery", "all", "hand")
WITHOUT_KAFKA: Final = frozenset(("classifier", "policy"))
BRINGS: Final = {"latency": "one", "recovery": "two"}
LEFT_OUT: Final = (
    "FastStream and Quix Streams around the same model: neither is among the pinned dependencies, and nothing is "
    "installed for a benchmark alone.",
    "onnxruntime int8 as the limit: for the same reason. [Dependencies](dependencies.md) says, under torch, why the "
    "worker has one engine.",
)

Found = dict[str, Any]


class Run:
    """One run; `result` grows part by part."""

    def __init__(self, parts: list[str], size: Size, *, quick: bool, out: Path) -> None:
        self.parts, self.size, self.out = parts, size, out
        self.cores = cores()
        self._started = time.monotonic()
        only = "" if parts == list(PARTS) else f" PARTS={','.join(parts)}"
        self.result: Found = {
            "schema": SCHEMA,
            "command": f"make bench{only}{' QUICK=1' if quick else ''}",
            "quick": quick,
            "machine": {"cores": self.cores},
            "left_out": list(LEFT_OUT),
            "part_seconds": {},
            "parts": {},
        }

    def all(self) -> None:
        """Every part that was asked for."""
        self._timed("posts", self._settle)
        if "classifier" in self.parts:
            self._timed("classifier", self._classifier)
        if "policy" in self.parts:
            self._timed("policy", self._policy)
        if not WITHOUT_KAFKA.issuperset(self.parts):
            with KafkaCluster(properties=BROKER) as cluster:
                self._with_kafka(cluster)
        if "classifier" in self.parts:
            self._timed("classifier again", self._classifier_again)

    def _with_kafka(self, cluster: KafkaCluster) -> None:
        plan = replicas.Plan(self._texts, self._more, self.size.warm_up, self.size.paced_seconds)
        latency, recovery = "latency" in self.parts, "recovery" in self.parts
        measures: dict[str, Callable[[], Found]] = {
            "one": lambda: replicas.one(cluster, plan, latency=latency),
            "two": lambda: replicas.two(cluster, plan, recovery=recovery),
            "all": lambda: replicas.all_cores(cluster, plan, self.cores),
            "hand": lambda: self._hand(cluster),
        }
        for name, measure in measures.items():
            if name in self.parts:
                self._timed(name, measure)

    def _timed(self, name: str, measure: Callable[[], Found]) -> None:
        """Measure, keep what was found, write it."""
        print(f"bench: {name} …", end=" ", file=sys.stderr, flush=True)
        started = time.monotonic()
        self.result["parts"] |= measure()
        seconds = time.monotonic() - started
        print(f"{seconds:.0f} s", file=sys.stderr, flush=True)
        self.result["part_seconds"][name] = round(seconds, 1)
        self.result["seconds"] = round(time.monotonic() - self._started, 1)
        self.result["ratios"] = [ratio.as_json() for ratio in ratios(self.result["parts"], self.cores)]
        text = json.dumps(self.result, indent=1, ensure_ascii=False) + "\n"
        (self.out / "bench.json").write_text(text, "utf-8")

    def _settle(self) -> Found:
        count = self.size.posts + self.size.more
        made = apart.run("settled", self.cores, count=count, directory=self.out.absolute())
        self._file = Path(made["file"])
        kept = json.loads(self._file.read_text("utf-8"))
        self._texts, self._more = kept["texts"][: self.size.posts], kept["texts"][self.size.posts :]
        lengths = [float(len(text)) for text in self._texts]
        self.result["posts"] = {
            "count": len(self._texts),
            "sha256": made["sha256"],
            "median": percentile(lengths, 50),
            "percentile_95": percentile(lengths, 95),
            "flagged": round(sum(kept["flagged"][: self.size.posts]) / len(self._texts), 4),
            "repeated": round(1 - len(set(self._texts)) / len(self._texts), 4),
        }
        self.result["model"] = {"version": kept["model_version"]}
        return {}

    def _bare(self, threads: int) -> Found:
        return apart.run("bare", threads, posts=self._file, count=self.size.posts)

    def _classifier(self) -> Found:
        found = {"one_thread": self._bare(1), "all_cores": self._bare(self.cores)}
        self.result["model"]["dtype"] = found["one_thread"]["dtype"]
        return {"classifier": found}

    def _classifier_again(self) -> Found:
        return {"classifier": {**self.result["parts"]["classifier"], "one_thread_after": self._bare(1)}}

    def _policy(self) -> Found:
        return {"policy": apart.run("deciding", 1, posts=self._file, count=self.size.policy)}

    def _hand(self, cluster: KafkaCluster) -> Found:
        source, sink = topic.make(cluster.bootstrap, "by-hand-posts"), topic.make(cluster.bootstrap, "by-hand-answers")
        topic.fill(cluster.bootstrap, source, [*self._more[: self.size.warm_up], *self._texts])
        places = {"bootstrap": cluster.bootstrap, "source": source, "sink": sink}
        return {
            "hand": {
                name: apart.run("hand", threads, **places, **self.size.by_hand)
                for name, threads in (("one_thread", 1), ("all_cores", self.cores))
            }
        }


def chosen(asked: str | None) -> list[str]:
    """The parts of a comma list in their order, with what they bring; ValueError names one that does not exist."""
    names = list(PARTS) if asked is None else [name.strip() for name in asked.split(",")]
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        raise ValueError(f"no such part: {', '.join(map(repr, unknown))} (there are {', '.join(PARTS)})")
    wanted = {*names, *(BRINGS[name] for name in names if name in BRINGS)}
    return [name for name in PARTS if name in wanted]


def main() -> int:
    """Entry of the command; exit code 2 for wrong use."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="measure everything in one run")
    parser.add_argument("--parts", help=f"some of {','.join(PARTS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="few posts: checks the code, measures nothing")
    parser.add_argument("--out", type=Path, default=Path("runs/bench"), help="directory of the results")
    arguments = parser.parse_args()
    try:
        parts = chosen(arguments.parts)
    except ValueError as error:
        parser.error(f"--parts: {error}")
    lacking = None if WITHOUT_KAFKA.issuperset(parts) else missing()
    if lacking:
        parser.error(lacking)
    arguments.out.mkdir(parents=True, exist_ok=True)
    run = Run(parts, QUICK if arguments.quick else FULL, quick=arguments.quick, out=arguments.out)
    run.all()
    plot.write(arguments.out / "bench.svg", run.result)
    text = tables(run.result)
    (arguments.out / "bench.md").write_text(text, "utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
