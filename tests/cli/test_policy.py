"""`mimamori policy check` as a person runs it: exit codes, what goes where, and which file it takes."""

import json
from importlib import resources
from pathlib import Path

import pytest

from models.labels import LABEL_IDS
from tests.harness import mimamori
from tests.unit import checkpoints

TEXT = resources.files("workers").joinpath("policies/default.yml").read_text("utf-8")


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """The default with nothing in it to warn of for some decades."""
    path = tmp_path / "mine.yml"
    path.write_text(TEXT.replace("contact_max_age_days: 545", "contact_max_age_days: 3650"), "utf-8")
    return path


def test_the_packaged_policy_is_sound() -> None:
    done = mimamori("policy", "check")
    assert done.returncode == 0, done.stderr
    assert "mimamori 標準ポリシー (2025-04-25), version " in done.stdout.splitlines()[0]
    for line in done.stderr.splitlines():
        assert "default.yml:" in line
        assert ": warning: bodies." in line, "only contacts grow stale by themselves"


def test_a_file_that_is_sound_and_the_version_of_its_checkpoint(mine: Path, tiny: Path, tmp_path: Path) -> None:
    done = mimamori("policy", "check", str(mine), "--strict")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{mine}: ")
    from_environment = mimamori("policy", "check", settings={"MIMAMORI_POLICY_FILE": str(mine)})
    assert from_environment.stdout == done.stdout
    other = mimamori("policy", "check", str(mine), "--model", str(tiny))
    assert other.stdout != done.stdout, "thresholds `model` are part of the version"
    assert mimamori("policy", "check", str(mine), settings={"MIMAMORI_MODEL": str(tiny)}).stdout == other.stdout
    low = checkpoints.copy(tiny, tmp_path / "low", thresholds=dict.fromkeys(LABEL_IDS, 0.2))
    assert f"from {0.2:.3f}" in mimamori("policy", "check", str(mine), "--model", str(low)).stdout


def test_operating_points_that_contradict_the_file_warn(mine: Path, tiny: Path) -> None:
    """The tiny checkpoint's are 0.999, above every `borderline_below` and `urgent_above`."""
    done = mimamori("policy", "check", str(mine), "--model", str(tiny))
    assert done.returncode == 0
    assert len(done.stderr.splitlines()) == 4
    assert all("operating point 0.999" in line for line in done.stderr.splitlines())
    assert mimamori("policy", "check", str(mine), "--model", str(tiny), "--strict").returncode == 1


def test_every_problem_is_told_with_its_line(mine: Path) -> None:
    text = mine.read_text("utf-8").replace("ladder: caution, group", "ladder: cautoin, group")
    text = (
        text.replace("strike_days: 90", "strike_dayz: 90")
        .replace("心配です", "残念です")
        .replace("気がかりです", "お知らせ")
    )
    text = text.replace("imminent_signs:\n", "imminent_signs:\n  - (夜+)+$\n")
    mine.write_text(text, "utf-8")
    done = mimamori("policy", "check", str(mine))
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    *told, last = done.stderr.splitlines()
    lines = text.splitlines()
    for line, (place, stands) in zip(
        told,
        [
            ("labels.insult.ladder", "cautoin"),
            ("windows.strike_dayz", "strike_dayz"),
            ("imminent_signs[0]", "夜+"),
            ("care.body", "つらい気持ちを書いて"),
        ],
        strict=True,
    ):
        file, number, found, _ = line.split(":", 3)
        assert (file, found.strip()) == (str(mine), place)
        assert stands in lines[int(number) - 1]
    assert last == f"{mine}: 4 problems"


def test_wrong_use_is_told_in_one_line(mine: Path, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "sjis.yml").write_bytes("題".encode("cp932"))
    broken = checkpoints.copy(tiny, tmp_path / "broken")
    (broken / "config.json").write_text(json.dumps([]), "utf-8")
    for arguments, said in (
        ((str(tmp_path / "none.yml"),), "none.yml: cannot be read: FileNotFoundError"),
        ((str(tmp_path),), "cannot be read: IsADirectoryError"),
        ((str(tmp_path / "sjis.yml"),), "sjis.yml: cannot be read: UnicodeDecodeError"),
        ((str(mine), "--model", str(tmp_path / "none")), "no such checkpoint directory"),
        ((str(mine), "--model", str(broken)), "config.json"),
    ):
        done = mimamori("policy", "check", *arguments)
        assert done.returncode == 2, arguments
        assert done.stdout == ""
        (line,) = done.stderr.splitlines()
        assert line.startswith("mimamori: ")
        assert said in line
    for wrong in ((), ("chekc",), ("check", str(mine), "more"), ("check", "--stritc")):
        assert mimamori("policy", *wrong).returncode == 2
