"""Checker, part 4: no commit ever covered a record whose outputs were not all in their topics.

Each sample reads the commits first and the ends of the output topics after: whatever a commit covers must stand before
those ends, whenever the sample was taken. Imports nothing of the product.
"""

from collections import defaultdict
from collections.abc import Iterator

from tests.chaos.records import Log, Outputs, Violation, letter_id, of_its_decision
from tests.chaos.snapshot import ACTIONS, CARE, DEAD_LETTERS, DECISIONS, ESCALATIONS, POSTS, Sample, Snapshot

Place = tuple[str, int, int]  # topic, partition, offset


def check_commits(snapshot: Snapshot, log: Log, outputs: Outputs) -> Iterator[Violation]:
    """Guarantee 1's second half; and at the end of a run everything is committed."""
    ends: dict[int, int] = defaultdict(int)
    for record in snapshot.of(POSTS):
        ends[record.partition] = max(ends[record.partition], record.offset + 1)
    for partition, end in ends.items():
        committed = snapshot.committed.get(partition, 0)
        if committed != end:
            yield Violation("commit_not_at_the_end", f"{POSTS}/{partition}", f"{committed} instead of {end}")
    owed = _owed(log, outputs)
    for partition in ends:
        offsets = sorted(offset for p, offset in owed if p == partition)
        at = 0
        for sample in snapshot.samples:
            committed = sample.committed.get(partition, 0)
            while at < len(offsets) and offsets[at] < committed:  # the first sample that covers it is the earliest end
                yield from _covered(sample, partition, offsets[at], owed[partition, offsets[at]])
                at += 1


def _covered(sample: Sample, partition: int, offset: int, places: list[Place] | None) -> Iterator[Violation]:
    where = f"{POSTS}/{partition}@{offset}"
    if places is None:
        yield Violation("committed_without_outputs", where, "it has none to this day")
        return
    for topic, output_partition, output_offset in places:
        if sample.ends.get((topic, output_partition), 0) <= output_offset:
            yield Violation("committed_before_outputs", where, f"{topic}/{output_partition}@{output_offset}")


def _owed(log: Log, outputs: Outputs) -> dict[tuple[int, int], list[Place] | None]:
    """Where the first copies of a record's outputs stand; None where its decision or dead letter is missing."""
    by_decision: dict[str, list[Place]] = defaultdict(list)
    for topic in (DECISIONS, ACTIONS, ESCALATIONS, CARE):
        for output in outputs[topic].values():
            if of_its_decision(output):
                first = output.copies[0]
                by_decision[output.body["decision_id"]].append((topic, first.partition, first.offset))
    found: dict[tuple[int, int], list[Place] | None] = {
        at: by_decision[decision_id] if decision_id in outputs[DECISIONS] else None
        for at, decision_id in log.owed.items()
    }
    for at in log.dead:
        letter = outputs[DEAD_LETTERS].get(letter_id(*at))
        found[at] = None if letter is None else [(DEAD_LETTERS, c.partition, c.offset) for c in letter.copies[:1]]
    return found
