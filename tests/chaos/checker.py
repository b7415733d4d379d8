"""The contract against what a run left in Kafka. Pure: imports nothing of workers/ or models/, so that no fault of the
product's code can hide itself here.

    python -m tests.chaos.checker runs/chaos/seed-7/snapshot.jsonl

checks a saved run again. It cannot see what never reached Kafka: exit codes and logs are the driver's to judge.
"""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final

from tests.chaos.commits import check_commits
from tests.chaos.counting import check_counting
from tests.chaos.outputs import Rules, check_outputs
from tests.chaos.records import Violation, check_records, read_log, read_outputs
from tests.chaos.snapshot import CARE, DECISIONS, ESCALATIONS, POSTS, Snapshot, load

# What tests/chaos/setting.py's policy (the shipped one with other thresholds) says of its labels.
RULES: Final = Rules(
    groups={
        "defamation": "rights",
        "insult": "rights",
        "privacy": "rights",
        "threat": "safety",
        "suicide_inducement": "life",
        "crime_aid": "crime",
        "obscene": "crime",
        "distress": "care",
    },
    always=frozenset({"defamation", "threat", "privacy", "suicide_inducement", "crime_aid", "obscene"}),
)


def check(snapshot: Snapshot, rules: Rules = RULES) -> list[Violation]:
    """Every breach found, in the order of the parts."""
    log = read_log(snapshot)
    outputs, unreadable = read_outputs(snapshot)
    return [
        *unreadable,
        *check_records(snapshot, log, outputs),
        *check_outputs(log, outputs, rules, snapshot.taken_ms),
        *check_counting(log, outputs, rules),
        *check_commits(snapshot, log, outputs),
    ]


def figures(snapshot: Snapshot) -> dict[str, Any]:
    """How much there was to check: a run without repeats or strikes proves little."""
    log = read_log(snapshot)
    outputs, _ = read_outputs(snapshot)
    decisions = outputs[DECISIONS]
    written = sum(len(snapshot.of(topic)) for topic in outputs)
    return {
        "records": len(snapshot.of(POSTS)),
        "decisions": len(decisions),
        "dead_letters": len(outputs["dead-letters"]),
        "actions": dict(Counter(d.body["action"] for d in decisions.values() if d.body["action"] != "none")),
        "escalations": len(outputs[ESCALATIONS]),
        "care": len(outputs[CARE]),
        "most_strikes": max((d.body["history"]["strikes"] for d in decisions.values()), default=0),
        "sent_again": sum(len(o.copies) - 1 for topic in outputs for o in outputs[topic].values()),
        "repeated_records": len(log.owed) - len(log.revisions),
        "written": written,
        "commit_samples": len(snapshot.samples),
    }


def main(arguments: list[str]) -> int:
    """Check a saved snapshot; prints each violation as JSON."""
    snapshot = load(Path(arguments[0]))
    found = check(snapshot)
    for violation in found:
        print(json.dumps(violation._asdict(), ensure_ascii=False))
    print(json.dumps({"violations": Counter(v.kind for v in found), **figures(snapshot)}))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
