"""From what was measured to what it means: percentiles, the ceiling, ratios and their goals. Pure.

A ratio is left out where a part of it was not measured.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Json = Mapping[str, Any]
_MS_PER_SECOND: Final = 1000.0


@dataclass(frozen=True, slots=True)
class Ratio:
    """One line of the first table. `goal` is None where there is none; else `least` or `most` says which way."""

    name: str
    value: float
    goal: float | None = None
    at_most: bool = False

    @property
    def met(self) -> bool | None:
        """None without a goal."""
        if self.goal is None:
            return None
        return self.value <= self.goal if self.at_most else self.value >= self.goal

    def as_json(self) -> dict[str, Any]:
        """Fields of the JSON."""
        return {
            "name": self.name,
            "value": round(self.value, 4),
            "goal": self.goal,
            "at_most": self.at_most,
            "met": self.met,
        }


@dataclass(frozen=True, slots=True)
class Recovery:
    """Seconds from the kill to the first decision in a dead replica's partition, and until every partition had one."""

    first: float
    last: float


def percentile(values: Sequence[float], percent: float) -> float:
    """By linear interpolation between the nearest ranks."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def recovered(answers: Iterable[tuple[int, float, float]], killed: float, session_seconds: float) -> Recovery:
    """From (partition, posted, decided) of all posts; only those posted after the kill count.

    Which replica had a partition no decision tells. But the dead one's fall silent until its session has run out, and
    the survivor's do not, so a partition that waited for half a session was the dead one's.
    """
    waited: dict[int, float] = {}
    for partition, posted, decided in answers:
        if posted > killed:
            waited[partition] = min(waited.get(partition, float("inf")), decided - killed)
    if not waited:
        raise ValueError("nothing was posted after the kill")
    inherited = [seconds for seconds in waited.values() if seconds >= session_seconds / 2]
    return Recovery(min(inherited or waited.values()), max(waited.values()))


def ceiling(cores: int, *cpu_ms_per_post: float) -> float:
    """Posts a second if every core worked all the time on nothing else."""
    return cores * _MS_PER_SECOND / sum(cpu_ms_per_post)


def ceiling_of(parts: Json, cores: int, variant: str, classifier: str) -> float | None:
    """What the bare classifier's CPU, the event loops' and the broker's allow a variant; None if not measured."""
    if variant not in parts or classifier not in parts.get("classifier", {}):
        return None
    spent = parts[variant]["cpu_ms_per_post"]
    bare = parts["classifier"][classifier]["as_taken"]["cpu_ms_per_post"]
    return ceiling(cores, bare, spent["loop"], spent["broker"])


def ratios(parts: Json, cores: int) -> list[Ratio]:
    """All that the measured parts allow, in the order of the report."""
    return [
        *_to_classifier(parts),
        *_to_ceiling(parts, cores),
        *_to_hand(parts, "one", "one_thread", "1 thread each"),
        *(_to_hand(parts, "all", "all_cores", "all cores each") if cores > 1 else []),
        *_of_policy(parts),
        *_of_latency(parts),
    ]


def rates(parts: Json, which: str, how: str) -> list[float]:
    """The bare classifier's rates of a run: before the other parts and, with one thread, after them as well."""
    measured = parts.get("classifier", {})
    names = [which, f"{which}_after"]
    return [measured[name][how]["posts_per_second"] for name in names if name in measured]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _rate(parts: Json, variant: str) -> float | None:
    return parts[variant]["posts_per_second"] if variant in parts else None


def _to_classifier(parts: Json) -> list[Ratio]:
    found = []
    for variant, which, words, goal in (
        ("one", "one_thread", "one worker, 1 thread, of the bare classifier, 1 thread", 0.9),
        ("all", "all_cores", "one worker, all cores, of the bare classifier, all cores", None),
    ):
        worker = _rate(parts, variant)
        for how, more, its_goal in (("at_once", "all posts in one call", goal), ("as_taken", "256 posts a call", None)):
            classifier = _mean(rates(parts, which, how))
            if worker is not None and classifier is not None:
                found.append(Ratio(f"{words} ({more})", worker / classifier, its_goal))
    return found


def _to_ceiling(parts: Json, cores: int) -> list[Ratio]:
    found = []
    for variant, which, words, goal in (
        ("two", "one_thread", "two workers, 1 thread each, of the ceiling that CPU per post gives", 0.9),
        ("all", "all_cores", "one worker, all cores, of the ceiling that CPU per post gives", None),
    ):
        limit = ceiling_of(parts, cores, variant, which)
        if limit is not None:
            found.append(Ratio(words, parts[variant]["posts_per_second"] / limit, goal))
    worker, pair = _rate(parts, "one"), _rate(parts, "two")
    if worker is not None and pair is not None:
        found.append(Ratio("two workers to one worker", pair / worker))
    return found


def _to_hand(parts: Json, variant: str, which: str, words: str) -> list[Ratio]:
    worker, hand = _rate(parts, variant), parts.get("hand", {}).get(which)
    if worker is None or hand is None:
        return []
    return [
        Ratio(f"worker to {name}, {words}", worker / hand[key]["posts_per_second"], goal)
        for key, name, goal in (
            ("same_batch", "the hand-written loop in batches of 32, same model", 6.0),
            ("same_one", "the hand-written loop one by one, same model", None),
            ("base_batch", "the hand-written loop in batches of 32, 12 × 768 BERT", 40.0),
            ("base_one", "the hand-written loop one by one, 12 × 768 BERT", None),
        )
    ]


def _of_policy(parts: Json) -> list[Ratio]:
    if "policy" not in parts:
        return []
    spent = parts["policy"]["ms_per_post"]
    return [
        Ratio("policy (decide) to classifier, time a post", spent["decide"] / spent["classifier"], 0.05, at_most=True),
        Ratio(
            "policy with judging of scores to classifier, time a post",
            (spent["decide"] + spent["judging"]) / spent["classifier"],
        ),
    ]


def _of_latency(parts: Json) -> list[Ratio]:
    found = []
    sub_batch = parts.get("classifier", {}).get("one_thread", {}).get("sub_batch_seconds")
    for load in parts.get("latency", {}).get("loads", ()):
        words = f"p99 at {round(100 * load['load'])} % load"
        goal = 5.0 if load["load"] == 0.5 else None
        seconds = load["p99_ms"] / _MS_PER_SECOND
        if sub_batch:
            found.append(Ratio(f"{words} to one batch of 64 in the bare classifier", seconds / sub_batch, goal, True))
        if "one" in parts:
            batch = parts["one"]["mean_batch_seconds"]
            found.append(Ratio(f"{words} to one batch of the worker at full load", seconds / batch))
    return found
