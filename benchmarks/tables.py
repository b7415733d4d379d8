"""A run's JSON as rows and as Markdown tables, ratios first. Pure: the same result gives the same text."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.ratios import ceiling_of

Json = Mapping[str, Any]
_BARE: Final = (
    ("one_thread", "classifier alone, 1 thread"),
    ("one_thread_after", "classifier alone, 1 thread, after all else"),
    ("all_cores", "classifier alone, all cores"),
)
_WORKERS: Final = (
    ("one", "worker, 1 thread", "one_thread"),
    ("two", "two workers, 1 thread each", "one_thread"),
    ("all", "worker, all cores", "all_cores"),
)
_THREADS: Final = (("one_thread", "1 thread"), ("all_cores", "all cores"))
_HAND: Final = (
    ("same_batch", "by hand, batches of 32, same model"),
    ("same_one", "by hand, one by one, same model"),
    ("base_batch", "by hand, batches of 32, 12 × 768"),
    ("base_one", "by hand, one by one, 12 × 768"),
)


@dataclass(frozen=True, slots=True)
class CpuRow:
    """CPU a post of one variant, milliseconds. `classifying`: all threads of the workers but their event loops."""

    name: str
    classifying: float
    loop: float
    broker: float
    client: float


def throughput_rows(parts: Json) -> list[tuple[str, float]]:
    """Every variant and its posts a second."""
    found = []
    classifier = parts.get("classifier", {})
    for key, name in _BARE:
        for how, more in (("at_once", "all in one call"), ("as_taken", "256 a call")):
            if key in classifier:
                found.append((f"{name}, {more}", float(classifier[key][how]["posts_per_second"])))
    found += [(name, float(parts[key]["posts_per_second"])) for key, name, _ in _WORKERS if key in parts]
    for key, threads in _THREADS:
        for loop, name in _HAND:
            if key in parts.get("hand", {}):
                found.append((f"{name}, {threads}", float(parts["hand"][key][loop]["posts_per_second"])))
    return found


def cpu_rows(parts: Json) -> list[CpuRow]:
    """Who spent how much: the bare classifier, then each worker variant."""
    found = []
    for key, name in _BARE:
        if key in parts.get("classifier", {}):
            bare = parts["classifier"][key]["as_taken"]["cpu_ms_per_post"]
            found.append(CpuRow(name, bare, 0.0, 0.0, 0.0))
    for key, name, _ in _WORKERS:
        if key in parts:
            spent = parts[key]["cpu_ms_per_post"]
            row = CpuRow(name, spent["worker"] - spent["loop"], spent["loop"], spent["broker"], spent["client"])
            found.append(row)
    return found


def tables(result: Json) -> str:
    """All tables of a result that have rows, each under its heading."""
    parts = result["parts"]
    sections: list[tuple[str, Sequence[str], Sequence[Sequence[str]]]] = [
        ("Ratios", ("", "measured", "goal", ""), _ratios(result["ratios"])),
        ("Throughput", ("", "posts/s"), [(name, _number(value)) for name, value in throughput_rows(parts)]),
        (
            "CPU per post, milliseconds",
            ("", "classifying", "event loop", "broker", "client", "ceiling, posts/s"),
            _cpu(parts, result["machine"]["cores"]),
        ),
        ("Latency", ("load", "posts/s", "posts", "p50 ms", "p99 ms", "longest ms", "posts a batch"), _latency(parts)),
        ("The policy's part, milliseconds a post", ("", "ms"), _policy(parts)),
        ("Start, recovery, memory", ("", ""), _rest(parts)),
    ]
    return "\n".join(f"## {title}\n\n{_table(head, rows)}" for title, head, rows in sections if rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _number(value: float) -> str:
    """Three significant digits, and no exponent."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def _ratios(ratios: Iterable[Json]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for ratio in ratios:
        goal = "" if ratio["goal"] is None else f"{'≤' if ratio['at_most'] else '≥'} {ratio['goal']:g}"
        met = {None: "", True: "met", False: "**missed**"}[ratio["met"]]
        rows.append((ratio["name"], _number(ratio["value"]), goal, met))
    return rows


def _cpu(parts: Json, cores: int) -> list[tuple[str, ...]]:
    limits = {name: ceiling_of(parts, cores, key, which) for key, name, which in _WORKERS}
    rows: list[tuple[str, ...]] = []
    for row in cpu_rows(parts):
        limit = limits.get(row.name)
        spent = (row.classifying, row.loop, row.broker, row.client)
        shown = [_number(value) if value else "" for value in spent]
        rows.append((row.name, *shown, "" if limit is None else _number(limit)))
    return rows


def _latency(parts: Json) -> list[tuple[str, ...]]:
    return [
        (
            f"{round(100 * load['load'])} %",
            _number(load["sent_per_second"]),
            f"{load['posts']:,}",
            *(_number(load[field]) for field in ("p50_ms", "p99_ms", "max_ms", "mean_batch_records")),
        )
        for load in parts.get("latency", {}).get("loads", ())
    ]


def _policy(parts: Json) -> list[tuple[str, ...]]:
    words = {
        "classifier": "the classifier",
        "judging": "checking scores, signs that it may be now",
        "decoding": "decoding",
        "decide": "deciding (the policy)",
        "rows": "reading, applying and encoding rows",
    }
    spent = parts.get("policy", {}).get("ms_per_post", {})
    return [(words[name], f"{spent[name]:.3f}") for name in words if name in spent]


def _rest(parts: Json) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for key, name, _ in _WORKERS:
        if key in parts:
            rows.append((f"{name}: process start to ready", f"{parts[key]['start_to_ready_seconds']:.1f} s"))
    if "recovery" in parts:
        found = parts["recovery"]
        after = f"after kill -9, with a session of {found['session_seconds']:g} s"
        rows.append((f"the heir's first decision {after}", f"{found['heir_first_decision_seconds']:.1f} s"))
        rows.append((f"every partition is decided again {after}", f"{found['every_partition_seconds']:.1f} s"))
    for key, name, _ in _WORKERS:
        if key in parts:
            rows.append((f"{name}: peak memory", f"{parts[key]['peak_rss_mib']['worker']:,.0f} MiB"))
            rows.append((f"{name}: peak memory of the broker", f"{parts[key]['peak_rss_mib']['broker']:,.0f} MiB"))
    classifier = parts.get("classifier", {}).get("one_thread")
    if classifier:
        rows.append(("classifier alone: peak memory", f"{classifier['peak_rss_mib']:,.0f} MiB"))
    return rows
