"""`mimamori policy check`: everything that is wrong with a policy file, each with its line and what to do about it.

What is an error here stops a worker's start and a reload; `--strict` takes warnings for errors. Beside the rules of
workers.policy it tries the regular expressions in another process, and looks at the calendar.
"""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Final, TextIO

from models.labels import LABEL_IDS
from workers import policy as policies
from workers import policy_probe, policy_rules, signs
from workers.policy import Examined, Policy
from workers.policy_data import Ladder, PolicyFile
from workers.policy_problem import Place, Problem

_SIGNS: Final = {"imminent_words", "imminent_signs", "imminent_except"}
_NARROWER: Final = {
    "imminent_signs": "Name what makes it imminent.",
    "legal_reviewers": "Name what only the ids of legal staff have.",
}


def examine(path: Path | None, operating_points: dict[str, float], today: date) -> Examined:
    """All there is to say of a file (None: the packaged default).

    Raises PolicyError where the file cannot be read, Unavailable where its expressions could not be tried.
    """
    found = policies.examine(*policies.read(path), operating_points)
    return found.and_([*_signs(found), *_days(found, today)])


def _signs(found: Examined) -> Iterator[Problem]:
    """Signs that match ordinary texts, or that would hold up the worker. Those of the packaged file are tested."""
    if found.data is None or _SIGNS & found.unreadable:
        return
    tried = [one for one in _expressions(found.data, found.problems) if one[2] not in policies.packaged_signs()]
    for index, finding in policy_probe.probe([whole for _, _, whole in tried]).items():
        place, written, _ = tried[index]
        what = f"`{written}` matches ordinary texts"
        remedy = _NARROWER.get(str(place[0]), "Name what makes it no sign.")
        if finding == "slow":
            what = f"`{written}` takes far too long on some texts, and the worker would hang"
            remedy = "Let no two repetitions compete for the same letters: (a+)+ is a+, .*.* is .*"
        yield Problem(place, what, remedy)


def _expressions(data: PolicyFile, problems: list[Problem]) -> Iterator[tuple[Place, str, str]]:
    """Place, as written, and put together: of all expressions with nothing wrong in them or in their words."""
    bad = {one.place for one in problems}
    pieces: dict[str, str] = {}
    for name, piece in data.imminent_words.items():
        if ("imminent_words", name) not in bad and set(signs.names(piece)) <= pieces.keys():
            pieces[name] = signs.expand(piece, pieces)
    for section, written in (("imminent_signs", data.imminent_signs), ("imminent_except", data.imminent_except)):
        for number, one in enumerate(written):
            if (section, number) not in bad and set(signs.names(one)) <= pieces.keys():
                yield (section, number), one, signs.expand(one, pieces)
    if data.legal_reviewers is not None and ("legal_reviewers",) not in bad:
        yield ("legal_reviewers",), data.legal_reviewers, data.legal_reviewers


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
