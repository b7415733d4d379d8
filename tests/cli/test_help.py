"""--help of every command: exit 0, an example, and quick, since nothing heavy is imported for it."""

import subprocess
import sys

import pytest

from tests.harness import clean_environment, mimamori

COMMANDS = (
    *("demo", "worker", "topics", "policy", "classify", "train", "evaluate", "redrive", "backtest"),
    *("handoff", "evidence", "report"),
)
HEAVY = ("torch", "transformers", "faust", "aiokafka", "confluent_kafka")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(command: str) -> None:
    done = mimamori(command, "--help")
    assert done.returncode == 0
    assert f"mimamori {command}" in done.stdout.split("example:")[1]
    assert done.stderr == ""


def test_help_of_all_names_every_command() -> None:
    done = mimamori("--help")
    assert done.returncode == 0
    for command in COMMANDS:
        assert f"\n    {command} " in done.stdout
    assert "MIMAMORI_" in done.stdout


def test_help_needs_no_valid_settings() -> None:
    """It is what one reads to put them right."""
    assert mimamori("worker", "--help", settings={"MIMAMORI_GRUP": "x", "MIMAMORI_SHADOW": "maybe"}).returncode == 0


def test_version() -> None:
    done = mimamori("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("mimamori ")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom workers import cli\n"
        "try:\n    cli.main(['classify', '--help'])\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr.strip() == "[]"
