"""One SVG of a run: posts a second of every variant, CPU a post by who spent it, and latency under load.

Needs matplotlib. No date and no random id goes into the file: the same figures give the same bytes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.tables import cpu_rows, throughput_rows

_HEIGHT_OF_A_ROW: Final = 0.32
_LEAST_HEIGHT: Final = 3.0


def write(path: Path, result: Mapping[str, Any]) -> None:
    """Draw what the result holds; what was not measured stays empty."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "mimamori"
    from matplotlib.figure import Figure

    rows = throughput_rows(result["parts"])
    figure: Any = Figure(figsize=(10, 2 * _LEAST_HEIGHT + _HEIGHT_OF_A_ROW * len(rows)), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1 + _HEIGHT_OF_A_ROW * len(rows), _LEAST_HEIGHT))
    _throughput(above.subplots(), rows)
    left, right = below.subplots(1, 2, width_ratios=(3, 2))
    _cpu(left, result)
    _latency(right, result)
    figure.savefig(path, metadata={"Date": None})


def _throughput(axes: Any, rows: list[tuple[str, float]]) -> None:
    names, values = [name for name, _ in rows], [value for _, value in rows]
    drawn = axes.barh(names, values, color="#1f4e79")
    axes.bar_label(drawn, fmt="%.0f", padding=3)
    axes.invert_yaxis()
    if values:
        axes.set_xscale("log")
        axes.set_xlim(min(values) / 2, max(values) * 3)
    axes.set(title="posts a second (log)")


def _cpu(axes: Any, result: Mapping[str, Any]) -> None:
    rows = cpu_rows(result["parts"])
    names = [row.name for row in rows]
    start = [0.0] * len(rows)
    for field, colour in (("classifying", "#1f4e79"), ("loop", "#c05a00"), ("broker", "#4d7c0f")):
        values = [getattr(row, field) for row in rows]
        axes.barh(names, values, left=start, color=colour, label=field)
        start = [a + b for a, b in zip(start, values, strict=True)]
    axes.invert_yaxis()
    axes.set(title="CPU a post, ms")
    if rows:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=3, frameon=False)


def _latency(axes: Any, result: Mapping[str, Any]) -> None:
    loads = result["parts"].get("latency", {}).get("loads", ())
    names = [f"{round(100 * load['load'])} %" for load in loads]
    for offset, field, colour in ((-0.2, "p50_ms", "#1f4e79"), (0.2, "p99_ms", "#c05a00")):
        places = [place + offset for place in range(len(loads))]
        drawn = axes.bar(places, [load[field] for load in loads], 0.4, color=colour, label=field.removesuffix("_ms"))
        axes.bar_label(drawn, fmt="%.0f", padding=2)
    axes.set_xticks(range(len(loads)), names)
    axes.set(title="latency by load, ms")
    if loads:
        axes.margins(y=0.15)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2, frameon=False)
