"""`mimamori policy check`: everything that is wrong with a policy file, each with its line and what to do about it.

What is an error here stops a worker's start and a reload; `--strict` takes warnings for errors. Beside the rules of
workers.policy it tries the regular expressions in another process, and looks at the calendar.
"""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TextIO

from models.labels import LABEL_IDS
from workers import policy as policies
from workers import policy_probe, policy_rules
from workers.policy import Examined, Policy
from workers.policy_data import Ladder
from workers.policy_problem import Problem


def examine(path: Path | None, operating_points: dict[str, float], today: date) -> Examined:
    """All there is to say of a file (None: the packaged default).

    Raises PolicyError where the file cannot be read, Unavailable where its expressions could not be tried.
    """
    found = policies.examine(*policies.read(path), operating_points)
    return found.and_([*_signs(found), *_days(found, today)])


def _signs(found: Examined) -> Iterator[Problem]:
    """Signs that match ordinary texts, or that would hold up the worker."""
    if found.data is None or "imminent_signs" in found.unreadable:
        return
    signs, bad = found.data.imminent_signs, {one.place for one in found.problems}
    tried = [number for number in range(len(signs)) if ("imminent_signs", number) not in bad]
    for index, finding in policy_probe.probe([signs[number] for number in tried]).items():
        what = f"`{signs[tried[index]]}` matches ordinary texts"
        remedy = "Name what makes it imminent."
        if finding == "slow":
            what = f"`{signs[tried[index]]}` takes far too long on some texts, and the worker would hang"
            remedy = "Let no two repetitions compete for the same letters: (a+)+ is a+, .*.* is .*"
        yield Problem(("imminent_signs", tried[index]), what, remedy)


def _days(found: Examined, today: date) -> Iterator[Problem]:
    if found.data is None:
        return
    for problem in policy_rules.dated(found.data, today):
        if not {problem.place[0], "contact_max_age_days"} & found.unreadable:
            yield problem


def run(
    path: Path | None, operating_points: dict[str, float], today: date, *, strict: bool, out: TextIO, err: TextIO
) -> int:
    """The command. 0: a worker would take it, and a summary says what it is; 1: problems, one a line on `err`."""
    found = examine(path, operating_points, today)
    warnings = [one for one in found.problems if one.warning]
    for line in found.told(found.problems):
        print(line, file=err)
    wrong = len(found.problems) if strict else len(found.problems) - len(warnings)
    if found.policy is None or wrong:
        print(f"{found.name}: {_count(wrong, 'problem')}", file=err)
        return 1
    print("\n".join(_summary(found.name, found.policy, len(warnings))), file=out)
    return 0


def _summary(name: str, policy: Policy, warnings: int) -> Iterator[str]:
    data = policy.data
    off = sum(not clause.enabled for clause in data.clauses.values())
    rungs = sum(len(ladder.rungs) for ladder in data.ladders.values())
    yield f"{name}: {data.title} ({data.effective}), version {policy.version}"
    yield (
        f"{_count(len(data.clauses), 'clause')} ({off} off), {_count(len(LABEL_IDS), 'label')}, "
        f"{_count(len(data.ladders), 'ladder')} with {_count(rungs, 'rung')}, "
        f"{_count(len(data.bodies), 'body', 'bodies')}, {_count(warnings, 'warning')}"
    )
    for label in LABEL_IDS:
        rule = data.labels.get(label)
        threshold = policy.thresholds[label]
        ladder = "care" if rule is None else _rungs(data.ladders[rule.ladder])
        clause = "never a violation" if rule is None else rule.clause
        if rule is not None and not data.clauses[rule.clause].enabled:
            clause += " (off)"
        yield f"  {label:<19} from {threshold:.3f}  {clause:<18}  {ladder}"
    yield "* a person looks"


def _rungs(ladder: Ladder) -> str:
    return " → ".join(f"{rung.action}{'*' if rung.human else ''}" for rung in ladder.rungs)


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
