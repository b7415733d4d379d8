"""The command that makes figures of the topics: `report`."""

import argparse
from collections.abc import Callable
from pathlib import Path

from workers.cli_cases import write

Run = Callable[[argparse.Namespace], int]
Add = Callable[[str, Run, str, str], argparse.ArgumentParser]


def add_to(add: Add) -> None:
    """Its arguments."""
    report = add(
        "report",
        _report,
        "transparency figures of a period from the topics alone; with --trend monthly counts that may leave the house",
        "mimamori report --from 2026-04-01 --to 2027-03-31 --format html --out report.html",
    )
    report.add_argument("--from", metavar="D", required=True, help="first day (2026-04-01, Japan's)")
    report.add_argument("--to", metavar="D", required=True, help="last day, included")
    report.add_argument("--format", choices=["json", "csv", "html"], default="json", help="json without it")
    report.add_argument("--out", type=Path, metavar="FILE", help="else stdout")
    report.add_argument(
        "--regime", choices=["designated", "voluntary"], help="under the platform law; else as the policy file says"
    )
    report.add_argument("--trend", action="store_true", help="posts by month, label and action, k-anonymous")
    report.add_argument("--k", type=_k, metavar="N", help="with --trend: fewest people behind a figure; 10 without it")


def _k(raw: str) -> int:
    from workers.suppression import LEAST_K

    if not raw.isascii() or not raw.isdigit() or len(raw) > 6 or int(raw) < LEAST_K:
        raise argparse.ArgumentTypeError(f"must be {LEAST_K} or more: below that a hidden figure is known")
    return int(raw)


def _report(arguments: argparse.Namespace) -> int:
    from workers import settings, transparency
    from workers.days import day

    first, last = (day(f"--{name}", getattr(arguments, name)) for name in ("from", "to"))
    assert first is not None  # argparse requires both
    assert last is not None
    order = transparency.Order(
        first,
        last,
        trend=arguments.trend,
        k=arguments.k,
        regime=arguments.regime,
        form=arguments.format,
        out=arguments.out,
    )
    return transparency.run(settings.load(), order, write)
