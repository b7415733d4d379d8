"""Regular expressions that would stop a worker are found, and the ones that people write are left alone.

Nothing here asks the clock: the probe counts processor time in a process of its own.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from workers import policy, policy_probe
from workers.errors import Unavailable
from workers.events import MAX_TEXT_CHARACTERS

SLOW = [
    "(a+)+$",
    "(ね+)+死",
    "死(ね+)+$",
    ".*.*.*x",
    "a*a*a*b",
    "(?:あ|あ)+い",
    "([あ-ん]+)*。$",
    "(ab|ba|abab)+c",
    "^(([a-z])+.)+[A-Z]([a-z])+$",
    "(今夜|今.)*(死|逝)?$x",
]
EVERYTHING = [".", ".+", r"\S", "[^x]", r"(\w+\s?)*$"]
HARMLESS = [
    "今日",
    "死.*方法",
    "a+b",
    "(日時|場所)(は|を)?.{0,6}(決|DM)",
    r"(ね)\1",
    "(?i)tonight",
    "[0-9]{1,2}時(に|で)",
]


def test_what_backtracks_for_ever_and_what_matches_everything_is_found() -> None:
    tried = [*HARMLESS, *SLOW, *EVERYTHING]
    found = policy_probe.probe(tried)
    assert [one for index, one in enumerate(tried) if found.get(index) == "slow"] == SLOW
    assert [one for index, one in enumerate(tried) if found.get(index) == "everything"] == EVERYTHING


def test_the_default_passes() -> None:
    """So a worker does not try them again at each start."""
    assert policy_probe.probe(sorted(policy.packaged_signs())) == {}
    assert policy_probe.probe([]) == {}


def test_hostile_texts_are_no_longer_than_a_post_and_not_without_number() -> None:
    signs = ["".join(map(chr, range(0x4E00, 0x4F00))), "|".join(map(chr, range(0x3041, 0x3091)))]
    for sign in signs:
        texts = policy_probe.hostile(sign)
        assert len(texts) <= 21 * 60
        assert max(map(len, texts)) <= MAX_TEXT_CHARACTERS


def test_a_child_that_does_not_answer_is_worth_another_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(Unavailable, match="imminent_signs could not be tried on hostile texts: FileNotFoundError"):
        policy_probe.probe(["x"])


def test_the_child_imports_nothing_of_ours() -> None:
    """It would take seconds, and memory that a worker's container may not have."""
    code = "import runpy, sys; runpy.run_path(sys.argv[1]); print(*sys.modules)"
    path = str(Path(policy_probe.__file__))
    done = subprocess.run([sys.executable, "-I", "-c", code, path], capture_output=True, text=True, check=True)
    assert not {"workers", "models", "torch", "msgspec"} & set(done.stdout.split())
