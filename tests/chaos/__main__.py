"""`make chaos`: runs seeds one after the other, keeps a log of them, and prints each verdict as one line of JSON.

    python -m tests.chaos [--seed N] [--runs N] [--kills N] [--posts N] [--workers N] [--rate N]

Without --seed it goes on where the log ends; a run that was cut off is run again. Exit code 1: some seed failed, and is
named; 2: wrong use, or no Kafka here.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

from tests.chaos import driver, schedule
from tests.kafka.cluster import missing

HOME: Final = Path("runs/chaos")


def read_log(path: Path) -> list[dict[str, Any]]:
    """Lines of the log; one that a kill cut off counts as never written."""
    found = []
    for line in path.read_text("utf-8").splitlines() if path.exists() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def next_seed(lines: list[dict[str, Any]]) -> int:
    """The seed that was begun and not ended, else the one after the highest."""
    ended = {line["seed"] for line in lines if "ok" in line}
    begun = [line["seed"] for line in lines if line["seed"] not in ended]
    return begun[-1] if begun else max(ended, default=0) + 1


def main(arguments: list[str]) -> int:
    """Entry of `make chaos`."""
    parser = argparse.ArgumentParser(prog="make chaos", description="kill workers and brokers, then check every record")
    parser.add_argument("--seed", type=int, help="first seed; without it the log is continued")
    parser.add_argument("--runs", type=int, default=1, help="seeds in a row")
    parser.add_argument("--kills", type=int, default=20, help="kill -9 of workers in each run")
    parser.add_argument("--posts", type=int, default=10_000, help="records sent in each run")
    parser.add_argument("--workers", type=int, default=2, help="replicas at the start")
    parser.add_argument("--rate", type=float, default=100.0, help="records sent a second")
    chosen = parser.parse_args(arguments)
    for name in ("runs", "posts", "workers", "rate"):
        if getattr(chosen, name) <= 0:
            parser.error(f"--{name} must be above 0")
    if chosen.kills < 0:
        parser.error("--kills must not be below 0")
    reason = missing()
    if reason is not None:
        print(reason, file=sys.stderr)
        return 2
    HOME.mkdir(parents=True, exist_ok=True)
    log = HOME / "seeds.jsonl"
    first = chosen.seed if chosen.seed is not None else next_seed(read_log(log))
    failed = []
    for seed in range(first, first + chosen.runs):
        how = {"seed": seed, "kills": chosen.kills, "posts": chosen.posts}
        _note(log, {**how, "begun": True})
        driver.say(f"seed {seed}: {chosen.posts} records, {chosen.kills} kills of workers")
        faults = schedule.plan(seed, chosen.kills)
        verdict = driver.run(driver.Run(seed, chosen.posts, faults, chosen.rate, chosen.workers, home=HOME))
        _note(log, {**how, **verdict})
        print(json.dumps(verdict, ensure_ascii=False), flush=True)
        if not verdict["ok"]:
            failed.append(seed)
    for seed in failed:
        again = f"make chaos SEED={seed} KILLS={chosen.kills} POSTS={chosen.posts}"
        print(f"seed {seed} failed: {again}; logs and snapshot in {HOME}/seed-{seed}", file=sys.stderr)
    return 1 if failed else 0


def _note(log: Path, line: dict[str, Any]) -> None:
    with log.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
