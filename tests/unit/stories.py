"""The records of a case as the pipeline writes them, for tests of evidence and hand-off."""

import hashlib
import json
from typing import Any, Final

from tests.unit.memory import AT_MS, DAY_MS, HOUR_MS, Json, MemoryRows, apply, pipeline, post, review
from workers.events import Topic

WORDS: Final = "内緒の文章"  # stands in every text; nothing but a sheet may show it


def told() -> list[bytes]:
    """One case, seven records: opened, edited, a second post, taken, that post deleted, closed, reopened."""
    line = pipeline(MemoryRows())
    steps: list[tuple[Any, tuple[str, ...]]] = [
        (post("p1", text=f"{WORDS}1", url="https://sns.example/p1"), ("threat",)),
        (post("p1", 2, text=f"{WORDS}2", offset=1, at_ms=AT_MS + HOUR_MS), ("threat",)),
        (post("p2", text=f"{WORDS}3", offset=2, at_ms=AT_MS + 2 * HOUR_MS), ("threat",)),
        (review("hold", "p1", review_id="r1", offset=0, at_ms=AT_MS + 3 * HOUR_MS), ()),
        (post("p2", 2, text=None, offset=3, at_ms=AT_MS + 4 * HOUR_MS), ()),
        (review("close", "p1", review_id="r2", offset=1, at_ms=AT_MS + DAY_MS), ()),
        (review("reopen", "p2", review_id="r3", offset=2, at_ms=AT_MS + 2 * DAY_MS), ()),
    ]
    outputs = [output for record, labels in steps for output in apply(line, record, *labels)]
    return [output.value for output in outputs if output.topic is Topic.ESCALATIONS]


def one(*labels: str, imminent: bool = False, **more: Any) -> Json:
    """The first record of the case that a post with these labels opens."""
    more = {"post_id": "p1", "text": WORDS, "url": "https://sns.example/p1"} | more
    outputs = apply(pipeline(MemoryRows()), post(**more), *labels, imminent=imminent)
    found: Json = next(json.loads(output.value) for output in outputs if output.topic is Topic.ESCALATIONS)
    return found


def raw(record: Json) -> bytes:
    """As on the topic."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()


def resealed(record: Json) -> None:
    """What somebody who knows the rules would do after changing a post."""
    canonical = json.dumps(record["dossier"]["post"], ensure_ascii=False, separators=(",", ":"))
    record["dossier"]["sha256"] = hashlib.sha256(canonical.encode()).hexdigest()
