"""`mimamori policy check` without the process around it: what it says, and that a worker would say the same."""

import io
from datetime import date
from pathlib import Path

import pytest

from tests.unit.policies import POINTS, TEXT, edited
from workers import policy_check
from workers.errors import PolicyError

TODAY = date(2025, 8, 1)
FRESH = TEXT.replace("verified_at: 2022-08-26", "verified_at: 2025-07-30").replace(
    "verified_at: 2023-03-24", "verified_at: 2025-07-30"
)


def check(tmp_path: Path, text: str, *, strict: bool = False, today: date = TODAY) -> tuple[int, str, list[str]]:
    """Exit code, what goes to stdout, and the lines that go to stderr without the file's name."""
    path, out, err = tmp_path / "mine.yml", io.StringIO(), io.StringIO()
    path.write_text(text, "utf-8")
    code = policy_check.run(path, POINTS, today, strict=strict, out=out, err=err)
    lines = err.getvalue().splitlines()
    assert all(line.startswith(str(path)) for line in lines)
    return code, out.getvalue(), [line.removeprefix(str(path)) for line in lines]


def test_a_sound_policy_is_summed_up(tmp_path: Path) -> None:
    code, out, err = check(tmp_path, FRESH, strict=True)
    version = policy_check.examine(tmp_path / "mine.yml", POINTS, TODAY).checked().version
    assert (code, err) == (0, [])
    first, second, *labels, last = out.splitlines()
    assert first == f"{tmp_path / 'mine.yml'}: mimamori 標準ポリシー (2025-04-25), version {version}"
    assert second == "5 clauses (0 off), 8 labels, 4 ladders with 9 rungs, 14 bodies, 0 warnings"
    assert len(labels) == 8
    assert "  insult              from 0.500  model-rights        warn → request_removal → limit_visibility*" in labels
    assert "  distress            from 0.500  never a violation   care" in labels
    assert last == "* a person looks"


def test_a_clause_that_is_off_is_said_to_be(tmp_path: Path) -> None:
    off = FRESH.replace("  model-obscene:\n", "  model-obscene:\n    enabled: false\n")
    code, out, _ = check(tmp_path, off)
    assert code == 0
    assert "5 clauses (1 off)" in out
    assert "model-obscene (off)" in out


def test_a_stale_contact_warns_and_fails_only_where_told_to_be_strict(tmp_path: Path) -> None:
    line = next(n for n, text in enumerate(TEXT.splitlines(), 1) if "inochi_sos: {" in text)
    told = f":{line}: warning: bodies.inochi_sos.verified_at: the contact was verified 1071 days ago"
    code, out, err = check(tmp_path, TEXT)
    assert code == 0
    assert err[0].startswith(told)
    assert f"{len(err)} warnings" in out
    code, out, err = check(tmp_path, TEXT, strict=True)
    assert (code, out) == (1, "")
    assert err[0].startswith(told)
    assert err[-1] == f": {len(err) - 1} problems"


def test_problems_come_in_the_order_of_the_lines_and_are_counted(tmp_path: Path) -> None:
    text = FRESH.replace("borderline_ladder: caution", "borderline_ladder: stairs")
    text = text.replace("title: mimamori", "titel: mimamori")
    code, out, err = check(tmp_path, text)
    assert (code, out) == (1, "")
    numbers = [int(line.split(":")[1]) for line in err[:-1]]
    assert numbers == sorted(numbers)
    assert err[-1] == ": 2 problems"


@pytest.mark.parametrize(
    ("sign", "what"),
    [
        ("今(夜+)+$", "takes far too long on some texts"),
        ("今日|.", "matches ordinary texts. Name what makes it imminent."),
    ],
)
def test_a_sign_that_holds_up_or_means_nothing_is_told_with_its_line(tmp_path: Path, sign: str, what: str) -> None:
    found = edited("imminent_signs:\n", f"imminent_signs:\n  - '遺書('\n  - '終活'\n  - §'{sign}'\n")
    code, _, err = check(tmp_path, found.text)
    assert code == 1
    (told,) = [line for line in err if "imminent_signs[2]" in line]
    assert told.startswith(f":{found.line}: imminent_signs[2]: `{sign}` {what}")
    with pytest.raises(PolicyError, match="imminent_signs"):
        policy_check.examine(tmp_path / "mine.yml", POINTS, TODAY).checked()


def test_expressions_of_the_packaged_file_are_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite tried them; a worker would try them at each start."""
    tried: list[list[str]] = []

    def probe(expressions: list[str]) -> dict[int, str]:
        tried.append(expressions)
        return {}

    monkeypatch.setattr("workers.policy_probe.probe", probe)
    assert policy_check.examine(None, POINTS, TODAY).policy is not None
    code, _, _ = check(tmp_path, TEXT.replace("imminent_signs:\n", "imminent_signs:\n  - '{now}.{0,3}終活'\n"))
    assert code == 0
    (new,) = tried[1]
    assert (tried[0], new.startswith("(?:今"), new.endswith(").{0,3}終活")) == ([], True, True)


def test_what_cannot_be_read_is_not_looked_at_by_the_calendar(tmp_path: Path) -> None:
    broken = TEXT.replace("verified_at: 2022-08-26", "verified_at: soon")
    _, _, err = check(tmp_path, broken)
    assert len(err) == 2, "the default's bodies, which stand in, have stale contacts too"
    assert "bodies.inochi_sos.verified_at: Invalid" in err[0]


def test_no_yaml_at_all_is_one_problem(tmp_path: Path) -> None:
    code, _, err = check(tmp_path, "labels: [")
    assert code == 1
    assert [line.split(". ")[0] for line in err] == [
        ":1: not valid YAML: expected the node content, but found '<stream end>'",
        ": 1 problem",
    ]


def test_the_packaged_default_is_what_is_checked_without_a_file() -> None:
    assert policy_check.examine(None, POINTS, TODAY).checked().data.title == "mimamori 標準ポリシー"
