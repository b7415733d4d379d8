"""Reports of models.evaluate as Markdown, and a directory of them with plots."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models.evaluate import Scored


def table(found: Mapping[str, Any]) -> str:
    """One report."""
    lines = [
        f"model {found['model']}, {found['posts']} posts, {found['posts_per_second']} posts/s; "
        "in brackets: 95 % by bootstrap over posts",
        "",
        "| label | posts | threshold | precision | recall | F1 | AP | ECE |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for label, row in found["labels"].items():
        lines.append(
            f"| {label} | {row['support']} | {row['threshold']:.2f} | {row['precision']:.3f} | {row['recall']:.3f} "
            f"| {row['f1']:.3f} {_between(row['f1_bounds'])} | {row['average_precision']:.3f} "
            f"| {row['calibration_error']:.3f} |"
        )
    micro, alarms = found["micro"], found["false_alarms_by_kind"]
    lines += [
        f"| micro | | | {micro['precision']:.3f} | {micro['recall']:.3f} "
        f"| {micro['f1']:.3f} {_between(found['micro_f1_bounds'])} | | |",
        f"| macro | | | | | {found['macro_f1']:.3f} {_between(found['macro_f1_bounds'])} | | |",
        "",
        "| benign kind | posts | false alarms |",
        "| --- | --- | --- |",
    ]
    lines += [
        f"| {k} | {v['posts']} | {v['rate']:.3f}{' ' + _between(found['false_alarm_bounds']) if k == 'all' else ''} |"
        for k, v in alarms.items()
    ]
    lines += ["", "| kind of violation or distress | posts | found |", "| --- | --- | --- |"]
    lines += [f"| {k} | {v['posts']} | {v['rate']:.3f} |" for k, v in found["recall_by_kind"].items()]
    for title, key in (("register", "by_register"), ("characters", "by_length")):
        lines += ["", f"| {title} | posts | precision | recall | F1 | false alarms |", "| --- " * 6 + "|"]
        lines += [
            f"| {k} | {v['posts']} | {v['precision']:.3f} | {v['recall']:.3f} | {v['f1']:.3f} "
            f"| {v['false_alarms']:.3f} |"
            for k, v in found[key].items()
        ]
    leak, pairs = found["distress_as_violation"], found["minimal_pairs"]
    lines += [
        "",
        f"distress flagged as a violation: {leak['rate']:.3f} of {leak['posts']}; "
        f"minimal pairs both right: {pairs['both_right']:.3f} of {pairs['pairs']}",
    ]
    if "deletion_test" in found:
        test = found["deletion_test"]
        lines.append(
            f"without its spans a score falls by {test['drop']:.3f}, without as much elsewhere by "
            f"{test['random_drop']:.3f}; more in {test['more_than_random']:.3f} of {test['cases']}"
        )
    return "\n".join(lines)


def side_by_side(reports: Sequence[Mapping[str, Any]]) -> str:
    """Several readers on the same posts, the main figures of each."""
    lines = [
        "| reader | micro F1 | macro F1 | inducement recall | distress as violation | false alarms | posts/s |",
        "| --- " * 7 + "|",
    ]
    for found in reports:
        alarms = found["false_alarms_by_kind"].get("all", {"rate": 0.0})["rate"]
        lines.append(
            f"| {found['model']} | {found['micro']['f1']:.3f} {_between(found['micro_f1_bounds'])} "
            f"| {found['macro_f1']:.3f} {_between(found['macro_f1_bounds'])} "
            f"| {found['labels']['suicide_inducement']['recall']:.3f} "
            f"| {found['distress_as_violation']['rate']:.3f} "
            f"| {alarms:.3f} {_between(found['false_alarm_bounds'])} | {found['posts_per_second']:.0f} |"
        )
    return "\n".join(lines)


def differences(found: Mapping[str, Any]) -> str:
    """A comparison (models.evaluate.comparison)."""
    lines = [
        f"A {found['a']}, B {found['b']}, {found['posts']} posts: {found['verdict']}",
        "",
        "| figure | A | B | B − A, 95 % | more than noise |",
        "| --- " * 5 + "|",
    ]
    lines += [
        f"| {row['figure']} | {row['a']:.3f} | {row['b']:.3f} | {row['low']:+.3f} to {row['high']:+.3f} "
        f"| {'yes' if row['real'] else 'no'} |"
        for row in found["figures"]
    ]
    return "\n".join(lines)


def write(directory: Path, reports: Sequence[Mapping[str, Any]], first: Scored) -> None:
    """report.json, report.md and plots as SVG; the first report is of the reading `first`, others stand beside it."""
    from models import plots

    directory.mkdir(parents=True, exist_ok=True)
    raw = json.dumps(reports, ensure_ascii=False, indent=1)
    (directory / "report.json").write_text(raw + "\n", encoding="utf-8")
    names = plots.write(directory, first)
    parts = ["# Evaluation", table(reports[0])]
    if len(reports) > 1:
        parts += ["## Beside it, on the same posts in the same run", side_by_side(reports)]
    parts += ["## Plots", *[f"![{name}]({name})" for name in names]]
    (directory / "report.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _between(low_high: Sequence[float]) -> str:
    return f"[{low_high[0]:.3f}–{low_high[1]:.3f}]"
