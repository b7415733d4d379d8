"""YAML taken apart: lines of every place, doubled keys, and what YAML reads otherwise than one means it."""

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.policies import POINTS, TEXT
from workers import policy, policy_source
from workers.policy_problem import Lines, Problem, choice, dotted, word

NO_POLICY: list[tuple[str, str]] = [
    ("title: [", "mine.yml:1: not valid YAML: expected the node content"),
    ("a: 1\nb: 2\n c: 3\n", "mine.yml:3: not valid YAML: "),
    ("a: 1\n\0", "mine.yml:2: not valid YAML: special characters are not allowed"),
    ("a: 1\n---\nb: 1\n", "mine.yml:2: not valid YAML: but found another document"),
    ("", "mine.yml:1: Expected `object`, got `null`. Start from a copy of workers/policies/default.yml."),
    ("[]", "mine.yml:1: Expected `object`, got `array`."),
    ("policy", "mine.yml:1: Expected `object`, got `str`, not policy."),
    ("!!python/object:os.system {}", "mine.yml:1: no place for python/object:os.system. Leave out the tag."),
    ("&a [*a]", "mine.yml:1: [0]: holds itself."),
    ("[" * 20_000, "mine.yml:1: not valid YAML: nested too deeply."),
    ("a: 1\nlabels: {insult: {}, x: {},\n  insult: {}}", "mine.yml:3: labels.insult: stands twice, first in line 2"),
    ("title: a\n\ntitle: b\n", "mine.yml:3: title: stands twice, first in line 1. Keep one of the two."),
    ("title: a\n? [b]\n: c\n", "mine.yml:2: ?: no key."),
    ("title: a\n~: c\n", "mine.yml:2: ?: no key."),
    ("title: a\n1: c\n", "mine.yml:2: [1]: unknown key. Known are "),
    ("title: !mine a\n", "mine.yml:1: title: unknown tag !mine. Leave out the tag."),
    ("title: !!bool a\n", "mine.yml:1: title: `a` is no bool. Correct it"),
    ("title: !!timestamp a\n", "mine.yml:1: title: `a` is no timestamp. Correct it"),
    ("title: x\neffective: 2025-02-30\n", "mine.yml:2: effective: `2025-02-30` is no timestamp: day is out of range"),
    ("title: x\n<<: 1\n", "mine.yml:1: cannot be merged: "),
    ("title: no\n", "mine.yml:1: title: Expected `str`, got `bool`. YAML reads it otherwise: put it in quotes."),
]  # fmt: skip


def told(text: str) -> list[str]:
    found = policy.examine(text, "mine.yml", POINTS)
    assert found.policy is None
    return found.told(found.problems)


@pytest.mark.parametrize(("text", "begins"), NO_POLICY)
def test_what_yaml_makes_of_a_mistake_is_told_once_with_its_line(text: str, begins: str) -> None:
    assert len([line for line in told(text) if line.startswith(begins)]) == 1, told(text)


def test_an_alias_is_read_where_its_anchor_stands_and_a_merge_may_be_overridden() -> None:
    source = policy_source.read("a: &x\n  b: 1\n  c: 2\nd:\n  <<: *x\n  b: 3\ne: *x\n")
    assert source.problems == []
    assert source.raw == {"a": {"b": 1, "c": 2}, "d": {"b": 3, "c": 2}, "e": {"b": 1, "c": 2}}
    assert source.lines.of["d", "b"] == 6
    assert source.lines.of["d", "c"] == 3
    assert source.lines.line(Problem(("e", "b"), "", "")) == 7, "an alias: the line that names it"


def test_many_aliases_of_aliases_are_read_once_each() -> None:
    """A file of a few lines that would be millions of places."""
    text = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
    assert len(policy_source.read(text).lines.of) < 200


@settings(deadline=None)
@given(st.text(max_size=60), st.integers(0, len(TEXT)))
def test_whatever_stands_in_the_file_is_told_and_never_raised(more: str, at: int) -> None:
    text = TEXT[:at] + more + TEXT[at:]
    found = policy.examine(text, "mine.yml", POINTS)
    for line in found.told(found.problems):
        number = int(line.removeprefix("mine.yml:").split(":")[0])
        assert 1 <= number <= text.count("\n") + 2
        assert "\n" not in line


def test_the_default_reads_as_safe_load_reads_it() -> None:
    assert policy_source.read(TEXT).raw == yaml.safe_load(TEXT)


def test_places_and_words_as_people_read_them() -> None:
    assert dotted(("ladders", "ask", "rungs", 2, "action")) == "ladders.ask.rungs[2].action"
    assert dotted((0, "a", None)) == "[0].a.?"
    assert word("a\nb") == "'a\\nb'"
    assert len(word("x" * 1_000)) < 70
    assert choice("wran", ["warn", "remove"]) == "Did you mean `warn`?"
    assert choice("x", ["warn", "remove"]) == "Known are remove, warn."


def test_a_place_that_is_not_there_is_looked_for_in_what_should_hold_it() -> None:
    lines = Lines({("a",): 3})
    assert lines.line(Problem(("a", "b", 0), "", "")) == 3
    assert lines.line(Problem(("c",), "", "")) == 1
