"""docs/reliability.md names a test for each remedy: each must be there, under that name."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/reliability.md").read_text("utf-8")
ROWS = [line for line in TEXT.partition("## Every trap has a test")[2].splitlines() if line.startswith("| ")]


def named(row: str) -> list[tuple[str, str]]:
    """(file, test) of one row; `::test_x` alone is of the file before it."""
    found: list[tuple[str, str]] = []
    for file, test in re.findall(r"((?:[\w/]+/)?test_\w+\.py)?(?:::(test_\w+))?", row):
        if file or test:
            found.append((file or found[-1][0], test))
    return [(file if "/" in file else f"tests/unit/{file}", test) for file, test in found]


NAMED = sorted({one for row in ROWS for one in named(row)})


def test_each_row_of_a_trap_names_a_test() -> None:
    rows = [row for row in ROWS if not re.match(r"\| (-|trap|of the loop)", row)]
    assert len(rows) > 35
    nameless = [row for row in rows if not named(row) and "the same two" not in row]
    assert nameless == []


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_it_is_there(file: str, test: str) -> None:
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert not test or test in names
