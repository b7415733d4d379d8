"""What is wrong with a policy file: the place, what stands there, and what to do. Where a place lies in the file."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

Place = tuple[Any, ...]  # keys and list indexes from the root down; a file may hold keys of any kind
_LONGEST_KEY: Final = 60


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault. `row` counts lines inside a text of several lines; a warning stops nothing but `--strict`."""

    place: Place
    what: str
    remedy: str
    warning: bool = False
    row: int = 0


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of one file, from 1: of each place, and of the first line of each literal block (`|`)."""

    of: Mapping[Place, int] = field(default_factory=dict)
    blocks: Mapping[Place, int] = field(default_factory=dict)

    def line(self, problem: Problem) -> int:
        """Where to look; a place that the file lacks is looked for in what should hold it."""
        if problem.place in self.blocks:
            return self.blocks[problem.place] + problem.row
        place = problem.place
        while place and place not in self.of:
            place = place[:-1]
        return self.of.get(place, 1)

    def told(self, name: str, problem: Problem) -> str:
        """One line for people: file:line: place: what. Remedy."""
        kind = "warning: " if problem.warning else ""
        place = f"{dotted(problem.place)}: " if problem.place else ""
        return f"{name}:{self.line(problem)}: {kind}{place}{problem.what}. {problem.remedy}"


def dotted(place: Place) -> str:
    """ladders.ask.rungs[2].action"""
    steps = [f"[{step}]" if isinstance(step, int) else f".{'?' if step is None else word(step)}" for step in place]
    return "".join(steps).removeprefix(".")


def word(value: object) -> str:
    """A key or value as an error may quote it: on one line, and not longer than one reads."""
    shown = value if isinstance(value, str) and value.isprintable() else repr(value)
    return shown if len(shown) <= _LONGEST_KEY else f"{shown[:_LONGEST_KEY]}…"


def choice(wrong: object, known: Iterable[object]) -> str:
    """The remedy for a name that is none of `known`."""
    names = [str(name) for name in known]
    near = difflib.get_close_matches(str(wrong), names, n=1)
    if near:
        return f"Did you mean `{near[0]}`?"
    return f"Known are {', '.join(sorted(names))}." if names else "There is none: leave it out."
