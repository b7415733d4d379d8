"""What a policy says of staff: who is legal, what a restore tells, what is cited where nobody names a clause."""

from datetime import date
from pathlib import Path

import pytest

from tests.unit.policies import POINTS, TEXT, edited
from workers import policy, policy_check

LEGAL = "legal_reviewers: null           #"


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ('"^legal-("', "is no regular expression"),
        ('"x*"', "matches every text"),
        ("3", "Expected"),
    ],
)
def test_an_expression_for_legal_staff_that_cannot_be_used_is_told_with_its_line(expression: str, told: str) -> None:
    file = edited(LEGAL, f"§legal_reviewers: {expression} #")
    (problem,) = file.told()
    assert problem.startswith(f"mine.yml:{file.line}: legal_reviewers: ")
    assert told in problem


@pytest.mark.parametrize(
    ("expression", "told"), [('"(a+)+$"', "takes far too long"), ('"^"', "matches every text"), ('"^legal-"', None)]
)
def test_one_that_would_hold_up_the_worker_is_refused(tmp_path: Path, expression: str, told: str | None) -> None:
    path = tmp_path / "mine.yml"
    path.write_text(TEXT.replace(LEGAL, f"legal_reviewers: {expression} #"), "utf-8")
    found = policy_check.examine(path, POINTS, date(2026, 11, 24))
    mine = [one for one in found.problems if one.place == ("legal_reviewers",)]
    assert (told is None) == (mine == [])
    assert told is None or told in mine[0].what


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (
            "\n  suspend:\n    title: アカウントの利用停止を解除",
            "\n  §restore:\n    title: アカウントの利用停止を解除",
            "nothing that could",
        ),
        ("title: お願いを取り消しました", '§title: " "', "is empty"),
        (
            "ふたたびご利用いただけるようになりました。ご不便を",
            "ふたたび{clause}ご利用いただける。ご不便を",
            "would be empty",
        ),
        ("    title: お願いを取り消しました", "§    title: お願いを{label}取り消しました", "unknown placeholder"),
    ],
)
def test_what_a_restore_says_is_checked(before: str, after: str, told: str) -> None:
    text = TEXT.replace(before, after.replace("§", ""), 1)
    assert text != TEXT
    found = policy.examine(text, "mine.yml", POINTS)
    assert any(told in problem and "restored." in problem for problem in found.told(found.problems))


def test_a_policy_from_before_these_were_there_is_taken() -> None:
    kept = [part for part in TEXT.split("\n") if not part.startswith(("unnamed_clause:", "legal_reviewers:"))]
    text = "\n".join(kept)
    start = text.index("restored:")
    end = start + text[start:].index("\n#")
    found = policy.examine(text[:start] + text[end + 1 :], "mine.yml", POINTS).checked()
    assert (found.data.restored, found.data.unnamed_clause, found.data.legal_reviewers) == ({}, "禁止事項", None)
