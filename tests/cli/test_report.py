"""`mimamori report` as a command: wrong use in one line, before anything is read. What it reads: tests/broker."""

from pathlib import Path

import pytest

from tests.cli.test_wrong_use import closed, one_line  # noqa: F401 # `closed` is a fixture
from tests.harness import mimamori

PERIOD = ("--from", "2026-11-01", "--to", "2026-11-30")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--from, --to"),
        (("--from", "2026-11-01"), "--to"),
        ((*PERIOD, "--format", "pdf"), "pdf"),
        ((*PERIOD, "--regime", "imposed"), "imposed"),
        ((*PERIOD, "--trend", "--k", "2"), "must be 3 or more"),
        ((*PERIOD, "--trend", "--k", "ten"), "must be 3 or more"),
        ((*PERIOD, "--trend", "--k", "²"), "must be 3 or more"),
    ],
)
def test_arguments(arguments: tuple[str, ...], said: str) -> None:
    done = mimamori("report", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    assert said in done.stderr.splitlines()[-1]


def test_what_fits_the_arguments_and_not_each_other(tmp_path: Path, closed: str) -> None:  # noqa: F811
    """No broker is asked for it: none listens."""
    settings = {"MIMAMORI_BOOTSTRAP_SERVERS": closed}
    bad = tmp_path / "bad.yml"
    bad.write_text("schema: policy/1\n", "utf-8")
    for arguments, said in (
        (("--from", "2026-02-30", "--to", "2026-11-30"), "--from: must be a day"),
        (("--from", "2026-12-01", "--to", "2026-11-30"), "is after --to"),
        (("--from", "2026-11-02", "--to", "2026-11-30", "--trend"), "--trend: whole months only"),
        ((*PERIOD, "--k", "10"), "--k: only with --trend"),
        ((*PERIOD, "--trend", "--regime", "voluntary"), "--regime: a trend has none"),
        ((*PERIOD, "--out", str(tmp_path)), "--out: "),
        ((*PERIOD, "--out", str(tmp_path / "none" / "report.json")), "--out: "),
    ):
        one_line(mimamori("report", *arguments, settings=settings), said)
    one_line(mimamori("report", *PERIOD, settings={**settings, "MIMAMORI_POLICY_FILE": str(bad)}), str(bad))
    one_line(mimamori("report", *PERIOD, settings={"MIMAMORI_GRUP": "x"}), "MIMAMORI_GRUP")


def test_no_broker(closed: str) -> None:  # noqa: F811
    one_line(mimamori("report", *PERIOD, settings={"MIMAMORI_BOOTSTRAP_SERVERS": closed}), closed, code=3)
