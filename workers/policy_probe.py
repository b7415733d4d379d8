"""Regular expressions that would hold up a worker: each is tried on hostile texts, in another process, within bounds.

Python's engine keeps the interpreter's lock while it searches, so an expression that backtracks for minutes stops the
loop, the probes and the watchdog with it. The child measures its own processor time, so a busy machine changes nothing.
Not a proof: texts are made from the expression's own letters, and another text may still be slow.
"""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from itertools import product
from typing import Any, Final, Literal

Finding = Literal["slow", "everything"]
TEXT_CHARACTERS: Final = 1_000
LIMIT_SECONDS: Final = 0.1  # of processor time for one text; a harmless expression takes less than a millisecond
ANSWER_SECONDS: Final = 120.0  # of the clock, for all of them
_UNITS: Final = ("a", "0", "あ", " ", "\n", "-")
_MOST_UNITS: Final = 60
_MOST_PREFIXES: Final = 20
_END: Final = "\n!"  # what nothing but `\s` and a class of its own goes over
ORDINARY: Final = ("今日はいい天気ですね。", "カレー食べたい", "hello world", "2,480円でした")


class _TooSlow(Exception):
    pass


def probe(expressions: Sequence[str]) -> dict[int, Finding]:
    """What is wrong with which expression, by index; they have to compile. Raises Unavailable without an answer."""
    from workers.errors import Unavailable  # the child runs this file by its path and knows nothing of ours

    if not expressions:
        return {}
    command = [sys.executable, "-I", __file__]
    try:
        done = subprocess.run(  # noqa: S603 # our own interpreter and file; expressions go by stdin
            command, input=json.dumps(expressions).encode(), capture_output=True, timeout=ANSWER_SECONDS, check=True
        )
        return {int(index): finding for index, finding in json.loads(done.stdout).items()}
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise Unavailable(f"imminent_signs could not be tried on hostile texts: {type(error).__name__}") from None


def find(expression: str) -> Finding | None:
    """What is wrong with one expression. Uses the process's virtual timer: for the child's main thread only."""
    compiled = re.compile(expression)
    if all(_within(compiled, text) for text in ORDINARY):
        return "everything"
    slow = any(_within(compiled, text) is None for text in hostile(expression))
    return "slow" if slow else None


def hostile(expression: str) -> list[str]:
    """Long texts that the expression almost matches, again and again."""
    runs = re.findall(r"[^\W_]+", expression)
    letters = [letter for run in runs for letter in run]
    units = list(dict.fromkeys([*_UNITS, *runs, *letters]))[:_MOST_UNITS]
    prefixes = list(dict.fromkeys(["", *runs]))[: _MOST_PREFIXES + 1]
    return [prefix + unit * (TEXT_CHARACTERS // len(unit)) + _END for prefix, unit in product(prefixes, units)]


def _within(compiled: re.Pattern[str], text: str) -> bool | None:
    """Whether it matches; None where time ran out."""
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT_SECONDS)
        found = compiled.search(text) is not None
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    except _TooSlow:
        return None
    return found


def _stop(*_: Any) -> None:
    raise _TooSlow


def main() -> None:
    """The child: expressions as JSON in, findings as JSON out."""
    signal.signal(signal.SIGVTALRM, _stop)
    findings = {index: find(one) for index, one in enumerate(json.load(sys.stdin))}
    json.dump({index: finding for index, finding in findings.items() if finding}, sys.stdout)


if __name__ == "__main__":
    main()
