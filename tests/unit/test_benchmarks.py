"""The pure parts of the benchmark: its posts, its ratios, its tables. What it measures is not tested here."""

import json
import os
import statistics
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest

from benchmarks import plot, report
from benchmarks.__main__ import LEFT_OUT, PARTS, chosen
from benchmarks.machine import cores, cpu_seconds, main_thread_seconds, peak_mib, seconds_in
from benchmarks.posts import ONE_HARSH_IN, Slot, draw, slots
from benchmarks.ratios import Ratio, ceiling, percentile, ratios, recovered
from benchmarks.records import authors, post_record
from benchmarks.settled import settle
from benchmarks.tables import cpu_rows, tables, throughput_rows
from workers.codec import DECODE_OF
from workers.events import Post, Topic

COUNT = 6_000


@pytest.fixture(scope="module")
def stream() -> list[tuple[Slot, str]]:
    return [(slot, draw(slot)) for slot in slots(COUNT)]


# --- the posts


def test_lengths_are_those_of_a_board(stream: list[tuple[Slot, str]]) -> None:
    lengths = [len(text) for _, text in stream]
    assert statistics.median(lengths) == pytest.approx(20, abs=1)
    assert percentile(lengths, 95) == pytest.approx(80, rel=0.1)
    assert min(lengths) >= 2
    assert max(lengths) <= 400 + 200  # a harsh post is not cut


def test_a_benign_post_has_its_slots_length(stream: list[tuple[Slot, str]]) -> None:
    assert all(len(text) == slot.length for slot, text in stream if not slot.harsh)


def test_one_in_33_is_harsh_and_they_are_spread(stream: list[tuple[Slot, str]]) -> None:
    harsh = [slot.number // ONE_HARSH_IN for slot, _ in stream if slot.harsh]
    assert len(harsh) == len(set(harsh))
    assert len(harsh) == pytest.approx(COUNT / ONE_HARSH_IN, abs=1)


def test_repeated_texts_are_rare(stream: list[tuple[Slot, str]]) -> None:
    assert len({text for _, text in stream}) > 0.98 * COUNT


def test_the_same_posts_every_time_and_more_begin_with_fewer(stream: list[tuple[Slot, str]]) -> None:
    few = slots(100)
    assert few == [slot for slot, _ in stream[:100]]
    assert [draw(slot) for slot in few] == [text for _, text in stream[:100]]
    assert [draw(slot, 1) for slot in few] != [text for _, text in stream[:100]]
    assert slots(100, seed=8) != few


def test_settled_posts_are_flagged_where_they_should_be() -> None:
    wanted = slots(200)
    asked: list[int] = []

    def flagged(texts: list[str]) -> list[bool]:
        asked.append(len(texts))
        return [zlib.crc32(text.encode()) % 3 == 0 for text in texts]

    texts, found = settle(wanted, flagged)
    assert found == [slot.harsh for slot in wanted]
    assert found == flagged(texts)
    assert asked[0] == 200
    assert asked[1] < 100, "only the wrong ones are asked for again"


def test_a_classifier_that_flags_nothing_ends_the_search() -> None:
    wanted = slots(66)
    texts, found = settle(wanted, lambda texts: [False] * len(texts))
    assert len(texts) == 66
    assert not any(found)


def test_records_are_posts_of_the_contract() -> None:
    key, value = post_record("ann", "p1", "本文", 1_793_491_200.5)
    decoded = DECODE_OF[Topic.POSTS](key, value)
    assert isinstance(decoded, Post)
    assert (decoded.author_id, decoded.post_id, decoded.text) == ("ann", "p1", "本文")


def test_each_partition_has_as_many_authors() -> None:
    from aiokafka.partitioner import DefaultPartitioner

    names = authors(12, each=5)
    assert len(set(names)) == 60
    places = [DefaultPartitioner()(name.encode(), list(range(12)), list(range(12))) for name in names]
    assert places[:12] == list(range(12)), "the partitions in turn"
    assert all(places.count(partition) == 5 for partition in range(12))


# --- figures


def test_percentiles() -> None:
    assert percentile([3, 1, 2], 50) == 2
    assert percentile([0, 10], 75) == 7.5
    assert percentile([5], 99) == 5
    assert percentile(list(range(101)), 99) == 99


def test_the_ceiling_is_all_cores_over_the_cpu_of_a_post() -> None:
    assert ceiling(2, 4.0, 0.5, 0.5) == 400


def test_recovery_takes_the_partitions_that_fell_silent() -> None:
    answers = [
        (0, 99.0, 99.5),  # before the kill
        (0, 101.0, 101.2),  # the survivor's
        (1, 99.9, 112.0),  # waited, but was posted before
        (1, 103.0, 111.5),
        (2, 102.0, 112.5),
        (2, 105.0, 112.6),
    ]
    found = recovered(answers, killed=100.0, session_seconds=10.0)
    assert (found.first, found.last) == (11.5, 12.5)
    with pytest.raises(ValueError, match="nothing was posted"):
        recovered(answers[:1], 100.0, 10.0)


def test_cpu_time_of_a_process_whose_name_holds_brackets() -> None:

    ticks = os.sysconf("SC_CLK_TCK")
    fields = ["S", *map(str, range(1, 11)), str(3 * ticks), str(ticks), "0"]
    assert seconds_in(f"17 (a) b (c) {' '.join(fields)}") == 4.0


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_proc_knows_this_process() -> None:

    me = os.getpid()
    assert 0 < main_thread_seconds(me) <= cpu_seconds(me)
    assert peak_mib(me) > 1
    assert cores() >= 1


def bare(rate: float, cpu: float) -> dict[str, Any]:
    return {
        "at_once": {"posts_per_second": rate, "cpu_ms_per_post": cpu},
        "as_taken": {"posts_per_second": rate * 0.9, "cpu_ms_per_post": cpu},
        "sub_batch_seconds": 0.2,
        "peak_rss_mib": 700.0,
    }


def worker(rate: float, replicas: int = 1) -> dict[str, Any]:
    return {
        "replicas": replicas,
        "posts_per_second": rate,
        "cpu_ms_per_post": {"worker": 4.0, "loop": 0.5, "broker": 0.25, "client": 0.1},
        "peak_rss_mib": {"worker": 900.0, "broker": 400.0},
        "start_to_ready_seconds": 6.0,
        "mean_batch_seconds": 0.8,
    }


def loop(rate: float) -> dict[str, float]:
    return {"posts_per_second": rate, "cpu_ms_per_post": 1000 / rate}


@pytest.fixture
def result() -> dict[str, Any]:
    hand = {"same_batch": loop(40), "same_one": loop(20), "base_batch": loop(10), "base_one": loop(4)}
    load = {"posts": 2_000, "sent_per_second": 140.0, "p50_ms": 150.0, "max_ms": 2_000.0, "mean_batch_records": 7.0}
    parts = {
        "classifier": {
            "one_thread": bare(310, 3.25),
            "all_cores": bare(500, 4.0),
            "one_thread_after": bare(290, 3.3),
        },
        "policy": {"ms_per_post": {"classifier": 3.0, "judging": 0.06, "decoding": 0.01, "decide": 0.09, "rows": 0.05}},
        "one": worker(285),
        "latency": {"loads": [{**load, "load": 0.5, "p99_ms": 800.0}, {**load, "load": 0.8, "p99_ms": 1_600.0}]},
        "two": worker(450, 2),
        "recovery": {"session_seconds": 10.0, "heir_first_decision_seconds": 11.2, "every_partition_seconds": 12.9},
        "all": worker(400),
        "hand": {"one_thread": hand, "all_cores": hand},
    }
    return {
        "schema": report.SCHEMA,
        "command": "make bench",
        "quick": False,
        "machine": {"cores": 2},
        "left_out": list(LEFT_OUT),
        "posts": {"count": 3_000, "median": 20.0, "percentile_95": 80.0, "flagged": 0.03, "repeated": 0.006},
        "model": {"version": "default-abc", "dtype": "torch.bfloat16"},
        "seconds": 560.0,
        "parts": parts,
        "ratios": [ratio.as_json() for ratio in ratios(parts, 2)],
    }


def named(found: list[Ratio], *words: str) -> Ratio:
    (only,) = [ratio for ratio in found if all(word in ratio.name for word in words)]
    return only


def judged(found: list[Ratio], *words: str) -> tuple[float, float | None, bool | None]:
    ratio = named(found, *words)
    return round(ratio.value, 3), ratio.goal, ratio.met


def test_ratios_and_their_goals(result: dict[str, Any]) -> None:
    found = ratios(result["parts"], 2)
    assert judged(found, "one worker, 1 thread", "one call") == (0.95, 0.9, True)  # to the mean of before and after
    assert judged(found, "one worker, 1 thread", "256") == (1.056, None, None)
    assert judged(found, "two workers, 1 thread each") == (round(450 * (3.25 + 0.5 + 0.25) / 2_000, 3), 0.9, True)
    assert judged(found, "all cores, of the ceiling") == (round(400 * (4.0 + 0.5 + 0.25) / 2_000, 3), None, None)
    assert judged(found, "batches of 32, same model", "1 thread") == (7.125, 6, True)
    assert judged(found, "batches of 32, 12 × 768", "1 thread") == (28.5, 40, False)
    assert judged(found, "policy (decide)") == (0.03, 0.05, True)
    assert judged(found, "50 %", "batch of 64") == (4.0, 5, True)
    assert judged(found, "80 %", "batch of 64") == (8.0, None, None)
    assert judged(found, "50 %", "full load") == (1.0, None, None)


@pytest.mark.parametrize("missing", ["classifier", "policy", "one", "latency", "two", "recovery", "all", "hand"])
def test_what_was_not_measured_is_left_out(result: dict[str, Any], missing: str) -> None:
    whole = ratios(result["parts"], 2)
    parts = {name: part for name, part in result["parts"].items() if name != missing}
    fewer = ratios(parts, 2)
    assert {ratio.name for ratio in fewer} <= {ratio.name for ratio in whole}
    assert len(fewer) < len(whole) or missing == "recovery"
    assert tables({**result, "parts": parts}).count("\n") < tables(result).count("\n")


def test_nothing_measured_is_nothing_to_say() -> None:
    assert ratios({}, 2) == []
    assert tables({"parts": {}, "ratios": [], "machine": {"cores": 2}}) == ""


# --- tables and the page


def test_rows_of_the_plot(result: dict[str, Any]) -> None:
    rates = dict(throughput_rows(result["parts"]))
    assert rates["worker, 1 thread"] == 285
    assert rates["by hand, one by one, 12 × 768, all cores"] == 4
    assert len(rates) == 6 + 3 + 8
    spent = {row.name: row for row in cpu_rows(result["parts"])}
    assert spent["two workers, 1 thread each"].classifying == 3.5
    assert spent["classifier alone, all cores"].classifying == 4.0


def test_tables_begin_with_the_ratios(result: dict[str, Any]) -> None:
    text = tables(result)
    assert text.startswith("## Ratios\n\n|  | measured | goal |  |\n| --- | ---: | ---: | ---: |\n")
    assert "| policy (decide) to classifier, time a post | 0.030 | ≤ 0.05 | met |\n" in text
    assert "| 28.5 | ≥ 40 | **missed** |\n" in text
    assert "| two workers, 1 thread each | 3.50 | 0.500 | 0.250 | 0.100 | 500 |\n" in text
    assert "| 50 % | 140 | 2,000 | 150 | 800 | 2,000 | 7.00 |\n" in text
    assert "| the heir's first decision after kill -9, with a session of 10 s | 11.2 s |\n" in text
    for line in text.splitlines():
        assert line.startswith(("|", "## ")) or not line


def test_every_table_is_well_formed(result: dict[str, Any]) -> None:
    for section in tables(result).split("## ")[1:]:
        rows = [line for line in section.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in rows}) == 1, section


def test_the_page_has_the_command_on_top_and_names_no_machine(result: dict[str, Any]) -> None:
    page = report.page(result, "benchmarks.svg")
    assert page.startswith("# Benchmarks\n\n```sh\nmake bench\n")
    assert "on 2 cores; checkpoint `default-abc`, bfloat16" in page
    assert page.index("## Ratios") < page.index("## Throughput") < page.index("## How it was measured")
    assert "3,000 posts of `benchmarks/posts.py`: median 20 characters" in page
    assert "3.0% of them flagged" in page
    assert "Quix Streams" in page
    assert "quick run" not in page
    assert "quick run" in report.page({**result, "quick": True}, "benchmarks.svg")


def test_the_report_is_written_from_the_file_alone(
    result: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bench.json"
    monkeypatch.setattr(sys, "argv", ["report", str(file), "--directory", str(tmp_path)])
    file.write_text(json.dumps({**result, "schema": "other/1"}), "utf-8")
    assert report.main() == 2
    assert "bench.json: no result of this benchmark" in capsys.readouterr().err
    file.write_text("{", "utf-8")
    assert report.main() == 2
    file.write_text(json.dumps(result), "utf-8")
    assert report.main() == 0
    assert (tmp_path / "benchmarks.md").read_text("utf-8") == report.page(result, "benchmarks.svg")
    assert (tmp_path / "benchmarks.svg").read_text("utf-8").startswith("<?xml")


def test_the_same_result_gives_the_same_plot(result: dict[str, Any], tmp_path: Path) -> None:
    for name, parts in (("whole.svg", result["parts"]), ("again.svg", result["parts"]), ("empty.svg", {})):
        plot.write(tmp_path / name, {**result, "parts": parts})
    assert (tmp_path / "whole.svg").read_bytes() == (tmp_path / "again.svg").read_bytes()
    assert (tmp_path / "empty.svg").stat().st_size > 0


# --- wrong use


def test_parts_by_name() -> None:
    assert chosen(None) == list(PARTS)
    assert chosen("hand, latency") == ["one", "latency", "hand"]
    assert chosen("recovery") == ["two", "recovery"]
    with pytest.raises(ValueError, match="no such part: 'hands' "):
        chosen("hands")
