"""What another policy would change: recorded decisions beside replayed ones, counted. Pure.

Counts, ids of posts and pseudonymous ids of authors, never text. Where `distress` alone appears or goes, posts are
counted and not named, and authors are ranked by actions only: a list of changes is no list of people in distress.
"""

from bisect import insort
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from models.labels import DISTRESS, LABEL_IDS
from workers.codec import make_id
from workers.events import Action, Decision
from workers.policy import MILD_TO_HARSH
from workers.replay import Replayed

AUTHORS: Final = 20  # named
_ORDER: Final = (*MILD_TO_HARSH, Action.RESTORE)


@dataclass(slots=True)
class _Labels:
    """Of one label: flagged before, flagged now, newly, and no longer."""

    before: int = 0
    now: int = 0
    added: int = 0
    dropped: int = 0


@dataclass(slots=True)
class _Author:
    """Actions of one author that differ."""

    changed: int = 0
    harsher: int = 0
    milder: int = 0


@dataclass
class _Sample:
    """A few posts of many, spread evenly and the same every time: those whose hashes are smallest."""

    size: int
    found: list[tuple[str, str, int]] = field(default_factory=list)

    def add(self, post_id: str, revision: int) -> None:
        insort(self.found, (make_id(post_id, revision), post_id, revision))
        del self.found[self.size :]


class Comparison:
    """Takes replayed decisions one by one; `samples` posts are named for each kind of change."""

    def __init__(self, samples: int, policy_version: str) -> None:
        self._samples, self._version = samples, policy_version
        self.compared = self.changed = self.harsher = self.milder = self.actions_changed = 0
        self.severity_changed = self.same_version = self.same_version_changed = 0
        self.actions: Counter[tuple[Action, Action]] = Counter()
        self.labels = {label: _Labels() for label in LABEL_IDS}
        self.policies: Counter[str] = Counter()
        self.models: Counter[str] = Counter()
        self.authors: dict[str, _Author] = {}
        self.authors_compared = 0
        self._by_action: dict[tuple[Action, Action], _Sample] = {}
        self._by_label: dict[tuple[str, str], _Sample] = {}

    def author(self, author_id: str, replayed: Iterable[Replayed]) -> None:
        """One author's decisions of the period, those that can be compared."""
        before = self.compared
        for one in replayed:
            if one.new is not None:
                self._add(author_id, one.recorded.decision, one.new)
        self.authors_compared += self.compared > before

    def _add(self, author_id: str, old: Decision, new: Decision) -> None:
        self.compared += 1
        self.policies[old.policy_version] += 1
        self.models[old.model_version] += 1
        self.actions[old.action, new.action] += 1
        self._flags(old, new)
        acts, flags = old.action is not new.action, set(old.flagged) != set(new.flagged)
        grades = old.severity != new.severity or set(old.clauses) != set(new.clauses)
        differs = acts or flags or grades
        self.changed += differs
        self.actions_changed += acts
        self.severity_changed += grades
        if old.policy_version == self._version:
            self.same_version += 1
            self.same_version_changed += differs
        if acts:
            self._act(author_id, old, new)

    def _act(self, author_id: str, old: Decision, new: Decision) -> None:
        rise = _harshness(new.action) - _harshness(old.action)
        tally = self.authors.setdefault(author_id, _Author())
        tally.changed += 1
        tally.harsher += rise > 0
        tally.milder += rise < 0
        self.harsher += rise > 0
        self.milder += rise < 0
        sample = self._by_action.setdefault((old.action, new.action), _Sample(self._samples))
        sample.add(new.post_id, new.revision)

    def _flags(self, old: Decision, new: Decision) -> None:
        for label in {*old.flagged, *new.flagged}:
            counts = self.labels.setdefault(label, _Labels())
            was, is_now = label in old.flagged, label in new.flagged
            counts.before += was
            counts.now += is_now
            counts.added += is_now and not was
            counts.dropped += was and not is_now
            if was != is_now and label != DISTRESS:
                sample = self._by_label.setdefault((label, "added" if is_now else "dropped"), _Sample(self._samples))
                sample.add(new.post_id, new.revision)

    # -- what is told ------------------------------------------------------------------------------------------------

    def as_json(self) -> dict[str, Any]:
        """All figures; the table shows the same."""
        matrix: dict[str, dict[str, int]] = {}
        for (old, new), count in sorted(self.actions.items(), key=_by_harshness):
            matrix.setdefault(old.value, {})[new.value] = count
        return {
            "compared": self.compared,
            "changed": self.changed,
            "actions_changed": self.actions_changed,
            "harsher": self.harsher,
            "milder": self.milder,
            "severity_or_clauses_changed": self.severity_changed,
            "actions": matrix,
            "labels": {
                label: {"recorded": one.before, "new": one.now, "added": one.added, "dropped": one.dropped}
                for label, one in self.labels.items()
            },
            "authors": {
                "compared": self.authors_compared,
                "affected": len(self.authors),
                "most_affected": [
                    {"author_id": id, "changed": one.changed, "harsher": one.harsher, "milder": one.milder}
                    for id, one in self._most_affected()
                ],
            },
            "samples": {
                "actions": [
                    {"recorded": old.value, "new": new.value, "posts": _posts(sample)}
                    for (old, new), sample in sorted(self._by_action.items(), key=_by_harshness)
                ],
                "labels": [
                    {"label": label, "change": change, "posts": _posts(sample)}
                    for (label, change), sample in sorted(self._by_label.items())
                ],
            },
            "recorded_policies": dict(self.policies.most_common()),
            "recorded_models": dict(self.models.most_common()),
            "same_version": {"compared": self.same_version, "changed": self.same_version_changed},
        }

    def _most_affected(self) -> list[tuple[str, _Author]]:
        return sorted(self.authors.items(), key=lambda item: (-item[1].changed, item[0]))[:AUTHORS]

    def lines(self) -> Iterator[str]:
        """For people, on a terminal or in a file."""
        share = 100 * self.changed / self.compared if self.compared else 0.0
        yield (
            f"changed: {self.changed:,} of {self.compared:,} decisions ({share:.1f} %); the action of "
            f"{self.actions_changed:,} ({self.harsher:,} harsher, {self.milder:,} milder), by "
            f"{len(self.authors):,} of {self.authors_compared:,} authors"
        )
        if self.same_version:
            yield (
                f"recorded under this very version: {self.same_version:,}, of which {self.same_version_changed:,} "
                "come out otherwise"
            )
        yield from ("", "by action: recorded (rows), new (columns)")
        yield from _aligned(self._matrix())
        yield from ("", "by label flagged")
        yield from _aligned(
            [["", "recorded", "new", "added", "dropped"]]
            + [
                [shown(label), *(f"{n:,}" for n in (one.before, one.now, one.added, one.dropped))]
                for label, one in self.labels.items()
            ]
        )
        if self.authors:
            yield from ("", "by author: most affected")
            rows = [[shown(id), f"{a.changed:,}", f"{a.harsher:,}", f"{a.milder:,}"] for id, a in self._most_affected()]
            yield from _aligned([["", "changed", "harsher", "milder"], *rows])
        if self._by_action or self._by_label:
            yield from ("", "posts, a sample (post_id/revision)")
        for (old, new), sample in sorted(self._by_action.items(), key=_by_harshness):
            yield f"  {old} → {new}: {_named(sample)}"
        for (label, change), sample in sorted(self._by_label.items()):
            yield f"  {shown(label)} {change}: {_named(sample)}"

    def _matrix(self) -> list[list[str]]:
        olds, news = ({pair[side] for pair in self.actions} for side in (0, 1))
        columns = [action for action in _ORDER if action in news]
        rows = [[old, *(self._cell(old, new) for new in columns)] for old in _ORDER if old in olds]
        return [["", *columns], *rows]

    def _cell(self, old: Action, new: Action) -> str:
        count = self.actions[old, new]
        return f"{count:,}" if count else "·"


def _harshness(action: Action) -> int:
    """A restore is the end of a hold: as mild as nothing."""
    return 0 if action is Action.RESTORE else MILD_TO_HARSH.index(action)


def _by_harshness(item: tuple[tuple[Action, Action], Any]) -> tuple[int, int]:
    old, new = item[0]
    return _ORDER.index(old), _ORDER.index(new)


def _posts(sample: _Sample) -> list[Mapping[str, Any]]:
    return [{"post_id": post_id, "revision": revision} for _, post_id, revision in sample.found]


def _named(sample: _Sample) -> str:
    return "  ".join(f"{shown(post_id)}/{revision}" for _, post_id, revision in sample.found)


def shown(id: str) -> str:
    """A platform chooses its ids: nothing in them may steer a terminal or look like another line."""
    return "".join(c if c.isprintable() and not c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in id)


def _aligned(rows: list[list[str]]) -> Iterator[str]:
    """The first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        first, *others = row
        cells = [first.ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(others, widths[1:], strict=True))]
        yield ("  " + "  ".join(cells)).rstrip()
