"""`mimamori evidence verify`: do records of escalation/1 hold together? Offline, from nothing but the records. Pure.

Recomputed are the hash of each record's evidence (`dossier.sha256`), the chain in which each record of a case names the
hash of the one before it (`previous_sha256`), and what must not change without a newer revision. Any order and repeats
are fine, since a topic gives both. docs/evidence.md has the exact bytes, and what none of this can prove.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TextIO

import msgspec

from workers.cases import evidence_hash
from workers.codec import decode, encode
from workers.errors import BadRecord
from workers.events import Dossier, Escalation
from workers.policy_problem import word

_SHOWN: Final = 12  # characters of a hash that tell it from others in a list
_COMPARED: Final = ("status", "priority", "post_id", "categories", "human_required", "due_at")
_ONE_REVISION: Final = ("url", "spans", "scores", "author_history")  # what a dossier cannot change while it is the same


class _Raw(msgspec.Struct):
    previous_sha256: str | msgspec.UnsetType | None = msgspec.UNSET


@dataclass(frozen=True, slots=True)
class Found:
    """One record, where it stands (file:line), and the hashes by which the next one may name it.

    `digest` is that of its canonical bytes, `digests` also has that of the bytes as found: a record may hold fields of
    a later version. `linked` is false for a record from before there was a chain.
    """

    place: str
    record: Escalation
    digest: str
    digests: frozenset[str]
    linked: bool

    @property
    def name(self) -> str:
        """As messages call it."""
        return f"escalation {word(self.record.escalation_id)}"


@dataclass(frozen=True, slots=True)
class Fault:
    """What does not hold, at the first record at which it shows."""

    at: Found
    what: str

    def __str__(self) -> str:
        return f"{self.at.place}: case {word(self.at.record.case_id)}, {self.at.name}: {self.what}"


@dataclass(slots=True)
class Chain:
    """One case: its records in order up to the first that fails, repeats left out."""

    case_id: str
    steps: list[Found] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    repeats: int = 0
    fault: Fault | None = None
    notes: list[str] = field(default_factory=list)


def read(name: str, lines: Iterable[bytes]) -> Iterator[Found | str]:
    """The records of one file, and for a line that is none what is wrong with it; blank lines are passed over."""
    for number, line in enumerate(lines, 1):
        raw = line.strip()
        if not raw:
            continue
        place = f"{name}:{number}"
        try:
            record = decode(Escalation, raw)
        except BadRecord as error:
            yield f"{place}: no record of escalation/1: {error.message}"
            continue
        digest = hashlib.sha256(encode(record)).hexdigest()
        both = frozenset((digest, hashlib.sha256(raw).hexdigest()))
        linked = msgspec.json.decode(raw, type=_Raw).previous_sha256 is not msgspec.UNSET
        yield Found(place, record, digest, both, linked)


def verify(records: Iterable[Found]) -> list[Chain]:
    """One chain for each case, in the order in which the cases first appear."""
    by_case: dict[str, list[Found]] = {}
    for found in records:
        by_case.setdefault(found.record.case_id, []).append(found)
    return [_case(case_id, found) for case_id, found in by_case.items()]


def own_fault(dossier: Dossier | None) -> str | None:
    """Whether a dossier's evidence has the hash that it is sealed by."""
    if dossier is None or evidence_hash(dossier.post) == dossier.sha256:
        return None
    wanted, found = word(dossier.sha256[:_SHOWN]), evidence_hash(dossier.post)[:_SHOWN]
    return f"its evidence is not what its hash says: dossier.sha256 is {wanted}…, dossier.post gives {found}…"


# -- one case ----------------------------------------------------------------------------------------------------------


def _case(case_id: str, records: Sequence[Found]) -> Chain:
    chain = Chain(case_id)
    unique: dict[str, Found] = {}
    for found in records:
        known = unique.setdefault(found.record.escalation_id, found)
        if known.digest == found.digest:
            chain.repeats += known is not found
        elif chain.fault is None:
            at, other = (known, found) if own_fault(known.record.dossier) else (found, known)
            chain.fault = Fault(at, own_fault(at.record.dossier) or f"{other.place} has it with other content")
    if chain.fault is not None:
        return chain
    latest: dict[str, Found] = {}
    for found, link_fault in _ordered([*unique.values()]):
        what = own_fault(found.record.dossier) or link_fault or _misplaced(chain, found, latest)
        if what:
            chain.fault = Fault(found, what)
            return chain
        chain.changes.append(_change(chain.steps[-1].record if chain.steps else None, found.record))
        chain.steps.append(found)
    return chain


def _ordered(records: list[Found]) -> Iterator[tuple[Found, str | None]]:
    """Every record once, in the order of the links, and what is wrong with its own link.

    Records from before the chain are put before it by their times. Where such ones are, the chain may begin anew: while
    versions change, a case can pass from a worker that links to one that does not, and back.
    """
    in_time = sorted(records, key=_times)
    of = {digest: found for found in in_time for digest in found.digests}
    followers: dict[str, list[Found]] = {}
    first, loose = [], []
    for found in in_time:
        previous = found.record.previous_sha256
        if previous is None:
            first.append(found)
        elif previous in of:
            followers.setdefault(of[previous].digest, []).append(found)
        else:
            loose.append(found)
    allowed = 1 + sum(not found.linked for found in first)
    begun: list[Found] = []
    last: Found | None = None
    for found in first:
        fault = None
        if found.linked:
            begun.append(found)
            if len(begun) > allowed:
                fault = f"it says that it is the first of its case, and so does {begun[0].name} ({begun[0].place})"
        for last, link_fault in _followed(found, followers):
            yield last, link_fault or (fault if last is found else None)
    for found in loose:
        changed = f", or {last.name} ({last.place}) was changed" if last else ""
        fault = f"the record before it ({word(str(found.record.previous_sha256)[:_SHOWN])}…) is missing{changed}"
        for last, link_fault in _followed(found, followers):
            yield last, link_fault or (fault if last is found else None)


def _followed(start: Found, followers: dict[str, list[Found]]) -> Iterator[tuple[Found, str | None]]:
    waiting: list[tuple[Found, str | None]] = [(start, None)]
    while waiting:
        found, fault = waiting.pop()
        yield found, fault
        follow = followers.get(found.digest, [])
        fault = f"it follows {found.name}, and so does {follow[0].name} ({follow[0].place})" if follow else ""
        waiting += [(other, fault) for other in reversed(follow[1:])]
        waiting += [(other, None) for other in follow[:1]]


def _times(found: Found) -> tuple[bool, float, int, str]:
    dossier = found.record.dossier
    collected = dossier.collected_at.timestamp() if dossier else 0.0
    return found.record.status != "open", collected, dossier.post.revision if dossier else 0, found.record.escalation_id


def _misplaced(chain: Chain, found: Found, latest: dict[str, Found]) -> str | None:
    """What `found` says against the records before it; notes it as its post's latest."""
    record = found.record
    if chain.steps and record.status == "open":
        return f"it opens the case, but {chain.steps[0].name} ({chain.steps[0].place}) comes before it"
    if chain.steps and record.author_id != chain.steps[0].record.author_id:
        return f"it names another author than {chain.steps[0].name} ({chain.steps[0].place})"
    if record.dossier is None:
        return None
    if record.dossier.post.post_id != record.post_id:
        return "its dossier is of another post"
    before = latest.get(record.post_id)
    latest[record.post_id] = found
    if before is None or before.record.dossier is None:
        return None
    old, new = before.record.dossier, record.dossier
    if new.post.revision < old.post.revision:
        return f"it has revision {new.post.revision}, and {before.name} ({before.place}) has {old.post.revision}"
    if new.post.revision > old.post.revision:
        if new.collected_at < old.collected_at:  # Kafka's timestamps are those of the producers' clocks
            chain.notes.append(f"{found.place}: collected earlier than the older revision in {before.place}")
        return None
    if new.sha256 != old.sha256:
        return f"the evidence of revision {new.post.revision} is not that of {before.name} ({before.place})"
    if new.collected_at != old.collected_at:
        return None  # nothing was kept of a post without a case: each review says anew what is known
    other = [name for name in _ONE_REVISION if getattr(new, name) != getattr(old, name)]
    if other:
        return f"dossier.{', dossier.'.join(other)} changed since {before.name} ({before.place}), the revision did not"
    return None


def _change(before: Escalation | None, after: Escalation) -> str:
    """What changed where, for people; never a text."""
    dossier = after.dossier
    post = f"{word(after.post_id)} revision {dossier.post.revision}" if dossier else word(after.post_id)
    if before is None:
        return f"{post}, {after.priority}, {', '.join(map(word, after.categories))}"
    changed = [name for name in _COMPARED if getattr(before, name) != getattr(after, name)]
    if [route.body for route in before.routes] != [route.body for route in after.routes]:
        changed.append("routes")
    if (before.dossier and before.dossier.sha256) != (dossier and dossier.sha256):
        changed.append("evidence")
    return f"{post}; changed: {', '.join(changed) or 'nothing'}"


# -- the command -------------------------------------------------------------------------------------------------------


def run(sources: Iterable[tuple[str, Iterable[bytes]]], out: TextIO, err: TextIO) -> int:
    """0: every case holds. 1: a line is no record, or a case does not hold; each is named on `err`."""
    records: list[Found] = []
    bad = False
    for name, lines in sources:
        for found in read(name, lines):
            if isinstance(found, str):
                bad = True
                print(found, file=err)
            else:
                records.append(found)
    if not records:
        print("nothing to verify: no record of escalation/1", file=err)
        return 1
    for chain in verify(records):
        bad = bad or chain.fault is not None
        for line in _told(chain):
            print(line, file=out)
        if chain.fault is not None:
            print(chain.fault, file=err)
    return int(bad)


def _told(chain: Chain) -> Iterator[str]:
    count = f"{len(chain.steps)} records" if len(chain.steps) != 1 else "1 record"
    repeated = f", {chain.repeats} repeated" if chain.repeats else ""
    if chain.fault:
        yield f"case {word(chain.case_id)}: does not hold after {count}"
    else:
        yield f"case {word(chain.case_id)}: {count}{repeated}, holds"
    for number, (found, change) in enumerate(zip(chain.steps, chain.changes, strict=True), 1):
        link = "" if found.linked else ", from before the chain"
        yield f"  {number} {found.record.status:<10} {found.digest[:_SHOWN]} {found.place}  {change}{link}"
    for note in chain.notes:
        yield f"  note: {note}"
    if chain.steps and not chain.fault:
        yield f"  ends in {chain.steps[-1].digest}"
