"""`mimamori backtest` as a command: a file in, a table and JSON out; wrong use in one line."""

import json
from pathlib import Path

import pytest

from tests.cli.test_wrong_use import closed, one_line  # noqa: F401 # `closed` is a fixture
from tests.harness import mimamori
from tests.unit.past import World, context, insults_from, policy_file


@pytest.fixture
def decisions(tmp_path: Path) -> Path:
    """Two warnings, recorded under the default policy with 0.5 for every threshold."""
    world = World(context(policy_file(tmp_path)))
    world.write("p1", scores={"insult": 0.6})
    world.write("p2", scores={"insult": 0.8}, author_id="bea")
    return world.save(tmp_path)[0]


def test_table_and_json(tiny: Path, tmp_path: Path, decisions: Path) -> None:
    policy, out = policy_file(tmp_path, insults_from(0.7), "new.yml"), tmp_path / "changes.json"
    arguments = ("backtest", "--policy", str(policy), "--decisions", str(decisions), "--from", "2026-11-01")
    done = mimamori(*arguments, "--json", str(out), settings={"MIMAMORI_MODEL": str(tiny)})
    assert (done.returncode, done.stderr) == (0, "")
    assert "changed: 1 of 2 decisions" in done.stdout
    assert json.loads(out.read_text("utf-8"))["actions"] == {"warn": {"none": 1, "warn": 1}}


def test_a_bad_line_makes_the_exit_code_1(tiny: Path, tmp_path: Path, decisions: Path) -> None:
    decisions.write_text("内緒の文章\n" + decisions.read_text("utf-8"), "utf-8")
    arguments = ("backtest", "--policy", str(policy_file(tmp_path)), "--decisions", str(decisions))
    done = mimamori(*arguments, settings={"MIMAMORI_MODEL": str(tiny)})
    assert done.returncode == 1
    assert done.stderr.splitlines() == [f"{decisions}:1: not valid UTF-8 JSON at byte 0"]
    assert "changed: 0 of 2 decisions" in done.stdout


def test_wrong_use(tiny: Path, tmp_path: Path, decisions: Path) -> None:
    settings = {"MIMAMORI_MODEL": str(tiny)}
    none, good, bad = str(tmp_path / "none"), str(policy_file(tmp_path)), tmp_path / "bad.yml"
    bad.write_text("schema: policy/1\n", "utf-8")
    log = ("--decisions", str(decisions))
    for arguments, said in (
        ((), "--policy FILE or --model DIR"),
        (("--policy", none, *log), none),
        (("--policy", str(bad), *log), str(bad)),
        (("--policy", good, "--decisions", none), f"{none}: no such file"),
        (("--policy", good, *log, "--reviews", none), f"{none}: no such file"),
        (("--policy", good, *log, "--from", "2026-02-30"), "--from: must be a day"),
        (("--policy", good, *log, "--to", "tomorrow"), "--to: must be a day"),
        (("--policy", good, *log, "--from", "2026-11-02", "--to", "2026-11-01"), "is after --to"),
        (("--policy", good, *log, "--from", "2030-01-01"), "no decision in"),
        (("--policy", good, *log, "--shadow", "abc"), "no shadow decision of policy version abc"),
        (("--policy", good, *log, "--json", str(tmp_path)), "--json: "),
        (("--model", none), f"{none}: no such checkpoint directory"),
        (("--model", str(tiny), *log), "--model: reads posts back"),
    ):
        one_line(mimamori("backtest", *arguments, settings=settings), said)


def test_no_broker(tiny: Path, tmp_path: Path, closed: str) -> None:  # noqa: F811
    settings = {"MIMAMORI_BOOTSTRAP_SERVERS": closed, "MIMAMORI_MODEL": str(tiny)}
    one_line(mimamori("backtest", "--policy", str(policy_file(tmp_path)), settings=settings), closed, code=3)
