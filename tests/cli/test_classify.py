"""`mimamori classify` from outside: one line out for each line in, in order, and no text anywhere else."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from models.labels import LABEL_IDS
from tests.harness import clean_environment, mimamori
from tests.unit import checkpoints
from workers.events import MAX_TEXT_CHARACTERS

HIDDEN = "naisho内緒の文章"  # the Latin part shows where the rest is escaped
IDS: list[Any] = [0, -5, 1.5, 10**30, "あ", "", True, False, None, [1, [2]], {"a": {"b": None}}, "\u2028\ud83d", 1e-300]

BAD = {
    "no JSON": "{" + HIDDEN,
    "empty line": "",
    "blank line": "   ",
    "text alone": f'"{HIDDEN}"',
    "list": f'["{HIDDEN}"]',
    "null": "null",
    "no text": '{"id": 1}',
    "text is null": '{"text": null}',
    "text is a number": '{"text": 5}',
    "text is a list": f'{{"text": ["{HIDDEN}"]}}',
    "too long": json.dumps({"text": HIDDEN * MAX_TEXT_CHARACTERS}, ensure_ascii=False),
    "NaN": f'{{"text": "{HIDDEN}", "id": NaN}}',
    "Infinity": f'{{"text": "{HIDDEN}", "id": [-Infinity]}}',
    "1e999": f'{{"text": "{HIDDEN}", "id": 1e999}}',
    "deep": "[" * 100_000,
    "two objects": f'{{"text": "{HIDDEN}"}} {{"text": "{HIDDEN}"}}',
    "control character": '{"text": "' + HIDDEN + '\x01"}',
    "huge number": '{"text": "' + HIDDEN + '", "id": ' + "1" * 10_000 + "}",
}


def environment(model: Path) -> dict[str, str]:
    """A user's, who has no PYTHONUNBUFFERED: that would hide an answer that is not flushed."""
    found = clean_environment(MIMAMORI_MODEL=str(model))
    found.pop("PYTHONUNBUFFERED", None)
    return found


def classify(
    tiny: Path, raw: bytes, *arguments: str, code: int = 0
) -> tuple[list[dict[str, Any]], "subprocess.CompletedProcess[bytes]"]:
    """Feed stdin; the answers, each checked to be JSON as everyone reads it."""
    done = subprocess.run(
        [sys.executable, "-m", "workers.cli", "classify", *arguments],
        input=raw,
        env=environment(tiny),
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stderr.decode()[-2_000:]
    assert HIDDEN.encode() not in done.stderr
    assert b"naisho" not in done.stderr
    assert b"Traceback" not in done.stderr
    return [json.loads(line, parse_constant=pytest.fail) for line in done.stdout.splitlines()], done


def encode(*rows: object) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n" for row in rows)


def test_a_thousand_lines_in_order_with_the_bad_ones_in_place(tiny: Path) -> None:
    lines = [json.dumps({"id": i, "text": f"{HIDDEN}{i % 50}" + "あ" * (i % 90)}) for i in range(1_000)]
    bad = {7: BAD["no JSON"], 255: BAD["no text"], 256: BAD["list"], 511: "", 999: BAD["too long"]}
    for at, broken in bad.items():
        lines[at] = broken
    answers, done = classify(tiny, "\n".join(lines).encode(), code=1)
    assert len(answers) == 1_000
    for i, answer in enumerate(answers):
        if i in bad:
            assert set(answer) == {"line", "error"}
            assert answer["line"] == i + 1
            assert answer["error"]
        else:
            assert answer["id"] == i
    told = done.stderr.decode().splitlines()
    assert [line.split(":")[0] for line in told] == [f"line {at + 1}" for at in sorted(bad)]


def test_what_an_answer_holds(tiny: Path, tmp_path: Path) -> None:
    thresholds = {label: 0.001 if label in ("insult", "obscene") else 0.999 for label in LABEL_IDS}
    copy = checkpoints.copy(tiny, tmp_path / "c", thresholds=thresholds)
    text = "ﾊﾞｶは\u200b死ね。" + HIDDEN
    answers, done = classify(copy, encode({"text": text, "id": "a", "more": 1}, {"text": text}))
    first, second = answers
    assert list(first) == ["id", "scores", "flagged", "spans", "model_version"]
    assert second == {name: value for name, value in first.items() if name != "id"}
    assert list(first["scores"]) == list(LABEL_IDS)
    assert all(0 <= score <= 1 for score in first["scores"].values())
    assert first["flagged"] == ["insult", "obscene"]
    assert {label for _, _, label in first["spans"]} == {"insult", "obscene"}
    assert all(0 <= start < end <= len(text) for start, end, _ in first["spans"])
    assert first["model_version"].startswith("c-")
    assert done.stderr == b""


def test_ids_come_back_as_they_came(tiny: Path) -> None:
    answers, _ = classify(tiny, b"".join(json.dumps({"text": "あ", "id": one}).encode() + b"\n" for one in IDS))
    assert [answer["id"] for answer in answers] == IDS
    assert [type(answer["id"]) for answer in answers] == [type(one) for one in IDS]


@pytest.mark.parametrize("where", ["first", "alone"])
def test_every_kind_of_bad_line_is_answered_in_its_place(tiny: Path, where: str) -> None:
    good = json.dumps({"text": "あ", "id": "good"})
    lines = [line for broken in BAD.values() for line in ([broken] if where == "alone" else [broken, good])]
    answers, done = classify(tiny, ("\n".join(lines) + "\n").encode(), code=1)
    assert len(answers) == len(lines)
    for number, (line, answer) in enumerate(zip(lines, answers, strict=True), 1):
        if line is good:
            assert answer["id"] == "good"
        else:
            assert set(answer) == {"line", "error"}
            assert answer["line"] == number
            assert "naisho" not in answer["error"]
    assert len(done.stderr.splitlines()) == len(BAD)


def test_bytes_that_are_no_utf8_are_a_bad_line(tiny: Path) -> None:
    raw = b'{"text": "\xff\xfe"}\n{"text": "\xe3\x81"}\n' + encode({"text": "あ"})
    answers, _ = classify(tiny, raw, code=1)
    assert [set(answer) == {"line", "error"} for answer in answers] == [True, True, False]


def test_odd_texts_and_line_ends(tiny: Path) -> None:
    texts = ["", "\0", "\ud83d", "😂", "\u2028\u2029\x85", "x" * MAX_TEXT_CHARACTERS]
    raw = b"\r\n".join(json.dumps({"text": text, "id": i}).encode() for i, text in enumerate(texts))
    raw += (
        b"\r\n" + encode({"text": "一\u2028二\u2029三\x85", "id": 6}).rstrip()
    )  # unescaped, and no line end at the end
    answers, _ = classify(tiny, raw)
    assert [answer["id"] for answer in answers] == list(range(7))


def test_nothing_in_nothing_out(tiny: Path) -> None:
    answers, done = classify(tiny, b"")
    assert answers == []
    assert done.stderr == b""


def test_a_file_instead_of_stdin_and_a_model_instead_of_the_settings(tiny: Path, tmp_path: Path) -> None:
    other = checkpoints.copy(tiny, tmp_path / "other")
    file = tmp_path / "in.jsonl"
    file.write_bytes(encode({"text": "あ", "id": 1}))
    answers, _ = classify(tiny, b"not read", str(file), "--model", str(other))
    assert [answer["id"] for answer in answers] == [1]
    assert answers[0]["model_version"].startswith("other-")


def test_answers_come_while_input_is_open(tiny: Path) -> None:
    """A reader of a long stream is not kept waiting for its end."""
    with subprocess.Popen(
        [sys.executable, "-m", "workers.cli", "classify"],
        env=environment(tiny),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            ids = [f"{i:02900}" for i in range(256)]  # so long that a buffer holds two answers, and the last is in it
            process.stdin.write(encode(*({"text": "あ", "id": one} for one in ids)))
            process.stdin.flush()
            assert [json.loads(process.stdout.readline())["id"] for _ in ids] == ids
            process.stdin.close()
            assert process.wait(60) == 0
        finally:
            process.kill()


@pytest.mark.parametrize("count", [1, 600])  # more and less than a buffer
def test_a_reader_that_goes_away_is_no_traceback(tiny: Path, count: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "workers.cli", "classify"],
        env=environment(tiny),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    _, stderr = process.communicate(encode(*({"text": "あ"} for _ in range(count))), timeout=120)
    assert stderr == b""
    assert process.returncode == 1


def test_the_shipped_model_answers() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "workers.cli", "classify"],
        input=encode({"text": "今日はいい天気", "id": 1}),
        env=clean_environment(),
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)["flagged"] == []
    assert mimamori("classify", "--model", "/nowhere").returncode == 2
