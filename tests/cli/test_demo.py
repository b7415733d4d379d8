"""`mimamori demo` from outside: its last line, its exit code, and that no text is printed for other people's posts."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.harness import mimamori, post

pytestmark = pytest.mark.timeout(300)


def last_line(done: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def test_samples_are_all_accounted_for_and_show_the_whole_ladder() -> None:
    done = mimamori("demo", timeout=240)
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-3_000:]
    summary = last_line(done)
    assert list(summary) == [
        "posts",
        "decisions",
        "actions",
        "escalations",
        "care",
        "dead_letters",
        "by_action",
        "accounted",
    ]
    assert summary["accounted"] is True
    assert summary["posts"] == summary["decisions"] + summary["dead_letters"]
    assert summary["dead_letters"] == 2
    assert summary["care"] >= 1
    assert summary["escalations"] >= 1
    for action in ("warn", "request_removal", "limit_visibility", "remove", "restore"):
        assert summary["by_action"].get(action, 0) >= 1, summary
    assert sum(summary["by_action"].values()) == summary["actions"]


def test_other_posts_are_fed_as_their_bytes_are(tmp_path: Path) -> None:
    lines = [json.dumps(post(f"d{i % 3}", i, f"内緒の文章{i}"), ensure_ascii=False).encode() for i in range(60)]
    file = tmp_path / "posts.jsonl"
    file.write_bytes(b"\n".join([*lines[:30], b"{nope", b'{"author_id": 5}', *lines[30:]]) + b"\n")
    done = mimamori("demo", "--posts", str(file), timeout=240)
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-3_000:]
    summary = last_line(done)
    assert (summary["posts"], summary["decisions"], summary["dead_letters"]) == (62, 60, 2)
    assert summary["accounted"] is True
    assert "内緒の文章" not in done.stdout + done.stderr


def test_a_file_that_is_not_there_is_wrong_use(tmp_path: Path) -> None:
    done = mimamori("demo", "--posts", str(tmp_path / "none.jsonl"))
    assert done.returncode == 2
    assert "none.jsonl" in done.stderr
    assert "Traceback" not in done.stderr
