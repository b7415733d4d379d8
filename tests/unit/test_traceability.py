"""docs/traceability.md against the code: what its tables name exists, and what must be traced is there.

Not here: whether a named test shows what the row says, and whether the paper is quoted in full.
"""

import ast
import importlib
import importlib.util
import re
from importlib import resources
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from workers import cli, policy_words
from workers.policy import MILD_TO_HARSH

ROOT: Final = Path(__file__).parents[2]
TEXT: Final = (ROOT / "docs/traceability.md").read_text("utf-8")
POLICY: Final[dict[str, Any]] = yaml.safe_load(
    resources.files("workers").joinpath("policies/default.yml").read_text("utf-8")
)
STATES: Final = ("done", "partly", "planned", "open", "outside")


def _rows() -> list[tuple[str, str, str, str]]:
    """(what is asked for, carried by, shown by, state) of every table but the legend."""
    found = []
    for line in re.findall(r"^\|(.*)\|$", TEXT, re.MULTILINE):
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == 2:  # the legend
            continue
        asked, carried, shown, state = cells
        if carried not in ("carried by", "---"):
            found.append((asked, carried, shown, state))
    return found


ROWS: Final = _rows()


def _named(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def _exists(name: str) -> bool:
    """A module (with a name in it), a command, or a key of the default policy."""
    if name.startswith("mimamori "):
        with pytest.raises(SystemExit) as ended:
            cli.main([*name.split()[1:], "--help"])
        return ended.value.code == 0
    parts = name.split(".")
    if parts[0] in ("workers", "models"):
        if importlib.util.find_spec(".".join(parts[:2])) is None:
            return False
        found: Any = importlib.import_module(".".join(parts[:2])) if parts[2:] else None
        for part in parts[2:]:
            found = getattr(found, part, None)
        return not parts[2:] or found is not None
    at: Any = POLICY
    for part in parts:
        if not isinstance(at, dict) or part not in at:
            return False
        at = at[part]
    return True


def _has_test(name: str) -> bool:
    path, _, function = name.partition("::")
    file = ROOT / path
    if not file.is_file() or not path.startswith("tests/"):
        return False
    return any(isinstance(node, ast.FunctionDef) and node.name == function for node in ast.parse(file.read_text()).body)


def test_each_section_has_its_table() -> None:
    sections = re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]
    assert len(sections) == 8
    assert all(re.search(r"^\|.*\| carried by \| shown by \| state \|$", one, re.MULTILINE) for one in sections)
    assert len(ROWS) > 70


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_what_a_row_names_exists(row: tuple[str, str, str, str]) -> None:
    _, carried, shown, state = row
    assert [name for name in _named(carried) if not _exists(name)] == []
    assert [name for name in _named(shown) if not _has_test(name)] == []
    kind = re.split(r"[:\s]", state)[0]
    assert kind in STATES
    if kind in ("done", "partly"):
        assert _named(carried)
        assert _named(shown)
    else:
        assert not carried
        assert not shown, "a test of what is not built"
    if kind == "planned":
        assert re.search(r"issue \d", state), "which issue has it?"
    if kind != "done":
        assert ":" in state or kind == "open", "what is missing, or why?"


def test_a_name_that_does_not_exist_is_seen() -> None:
    assert not _exists("workers.nowhere")
    assert not _exists("workers.events.Verdict.SHRUG")
    assert not _exists("clauses.nowhere")
    assert not _exists("labels.insult.nowhere")
    assert not _has_test("tests/unit/test_policy.py::test_nowhere")
    assert not _has_test("tests/unit/test_nowhere.py::test_a")


def _carried(prefix: str) -> set[str]:
    return {
        name.removeprefix(prefix).split(".")[0]
        for _, carried, _, _ in ROWS
        for name in _named(carried)
        if name.startswith(prefix)
    }


@pytest.mark.parametrize("section", ["clauses", "bodies", "routes", "labels"])
def test_the_policy_is_traced_whole(section: str) -> None:
    """A clause or body that somebody adds has to be said here, with what it follows from."""
    assert POLICY[section].keys() - _carried(f"{section}.") == set()


def test_every_action_is_traced() -> None:
    asked = " ".join(row[0] for row in ROWS)
    assert [action for action in (*MILD_TO_HARSH[1:], "restore") if f"`{action}`" not in asked] == []


def test_every_rule_of_the_message_to_a_person_in_distress_is_traced() -> None:
    asked = " ".join(row[0] for row in ROWS)
    rules = (
        *policy_words.MUST,
        *policy_words.MUST_OFFER_A_PERSON,
        *policy_words.MUST_NOT,
        *policy_words.MUST_NOT_IN_CARE,
    )
    assert [rule[0] for rule in rules if rule[0] not in asked] == []
