"""Checker, part 3: an author's posts were decided in the order of the log, and each counted once.

The author's history is counted again from the log and the decisions themselves, and compared with what each decision
says it saw; and within an output topic the first copies of one key stand in the order of their sources. Imports nothing
of the product.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from tests.chaos.outputs import DISTRESS, Rules
from tests.chaos.records import Log, Output, Outputs, Revision, Violation, of_its_decision
from tests.chaos.snapshot import ACTIONS, CARE, DECISIONS, ESCALATIONS

_DAY_MS = 86_400_000


@dataclass(slots=True)
class _Author:
    posts: set[str] = field(default_factory=set)
    latest: dict[str, int] = field(default_factory=dict)  # post → highest revision decided
    strikes: dict[str, tuple[int, list[str]]] = field(default_factory=dict)  # post → (event time, labels)


def check_counting(log: Log, outputs: Outputs, rules: Rules) -> Iterator[Violation]:
    """Guarantees 2 (strikes) and 3 (order)."""
    decisions = outputs[DECISIONS]
    for revisions in log.by_author.values():
        author = _Author()
        seen_before = -1
        for revision in revisions:
            decision = decisions.get(revision.decision_id)
            if decision is None:
                break  # reported as missing; what follows cannot be counted
            posts = decision.body["history"]["posts"]
            if revision.body["post_id"] not in author.posts:
                if posts < seen_before:
                    yield Violation("decided_out_of_order", revision.record.place, f"{posts} after {seen_before}")
                seen_before = max(seen_before, posts)
            yield from _history(author, revision, decision, rules)
            _count(author, revision, decision, rules)
    for topic in (DECISIONS, ACTIONS, ESCALATIONS, CARE):
        yield from _written_in_order(log, outputs, topic)


def _history(author: _Author, revision: Revision, decision: Output, rules: Rules) -> Iterator[Violation]:
    post, place, history = revision.body["post_id"], revision.record.place, decision.body["history"]
    event_ms = revision.event_ms
    if post in author.strikes:  # an edit of the nth strike does not count what came after it
        event_ms = min(event_ms, author.strikes[post][0] - 1)
    window = range(event_ms - rules.strike_days * _DAY_MS, event_ms + 1)
    standing = [labels for p, (at, labels) in author.strikes.items() if p != post and at in window]
    by_label: dict[str, int] = {}
    for labels in standing:
        for label in labels:
            by_label[label] = by_label.get(label, 0) + 1
    posts = len(author.posts - {post})
    for name, counted in (("posts", posts), ("strikes", len(standing))):
        if history[name] != counted:
            more = "too_many" if history[name] > counted else "too_few"
            yield Violation(f"{name}_{more}", place, f"{history[name]} instead of {counted}")
    if history["strikes_by_label"] != by_label and history["strikes"] == len(standing):
        yield Violation("strikes_by_label_wrong", place)
    stale = revision.body["revision"] < author.latest.get(post, 0)
    if stale != ("stale" in decision.body["reasons"]):
        yield Violation("stale_wrong", place, "stale" if stale else "not stale")
    if stale and (decision.body["action"] != "none" or decision.body["flagged"]):
        yield Violation("stale_acted_on", place)


def _count(author: _Author, revision: Revision, decision: Output, rules: Rules) -> None:
    post, flagged = revision.body["post_id"], decision.body["flagged"]
    author.posts.add(post)
    if revision.body["revision"] < author.latest.get(post, 0):
        return
    author.latest[post] = revision.body["revision"]
    if not flagged or DISTRESS in flagged:
        return
    at, labels = author.strikes.get(post, (revision.event_ms, []))
    author.strikes[post] = (at, list(dict.fromkeys([*labels, *flagged])))
    kept = sorted(author.strikes.items(), key=lambda strike: (strike[1][0], strike[0]))[-rules.strikes_kept :]
    author.strikes = dict(kept)


def _written_in_order(log: Log, outputs: Outputs, topic: str) -> Iterator[Violation]:
    """First copies of one key, by offset; what a clock led to has no place in the order of the log."""
    by_key: dict[bytes, list[tuple[int, int]]] = {}
    for output in outputs[topic].values():
        revision = log.revisions.get(output.body["decision_id"])
        if revision is None or not of_its_decision(output):
            continue
        first = output.copies[0]
        by_key.setdefault(first.key or b"", []).append((first.offset, revision.record.offset))
    for key, written in by_key.items():
        sources = [source for _, source in sorted(written)]
        if any(later < earlier for earlier, later in pairwise(sources)):
            yield Violation("written_out_of_order", topic, f"key {key.decode('utf-8', 'replace')}")
