"""`mimamori handoff` and `mimamori evidence`, as a person uses them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import clean_environment, mimamori
from tests.unit.stories import WORDS, one, raw, told


def one_line(done: "subprocess.CompletedProcess[str]", *said: str, code: int) -> None:
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("mimamori: ")
    for part in said:
        assert part in line
    assert WORDS not in line


@pytest.fixture
def slander(tmp_path: Path) -> Path:
    file = tmp_path / "case.json"
    file.write_bytes(raw(one("defamation")) + b"\n")
    return file


def piped(value: bytes, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    """With the record on stdin, in a locale that has no Japanese."""
    return subprocess.run(
        [sys.executable, "-m", "workers.cli", *arguments],
        env={**clean_environment(), "LC_ALL": "en_US.ISO-8859-1", "PYTHONUTF8": "0", "PYTHONIOENCODING": "latin-1"},
        input=value,
        capture_output=True,
        timeout=60,
        check=False,
    )


# -- handoff -----------------------------------------------------------------------------------------------------------


def test_three_forms_of_one_sheet(slander: Path) -> None:
    text, page, plain = (mimamori("handoff", str(slander), form) for form in ("--text", "--html", "--json"))
    assert [done.returncode for done in (text, page, plain)] == [0, 0, 0]
    assert [done.stderr for done in (text, page, plain)] == ["", "", ""]
    assert text.stdout == mimamori("handoff", str(slander), "--to", "ihaho").stdout
    assert text.stdout.startswith("違法・有害情報相談センター")
    assert WORDS not in text.stdout
    assert WORDS in mimamori("handoff", str(slander), "--reveal").stdout
    assert page.stdout.startswith("<!doctype html>")
    assert page.stdout.endswith("</html>\n")
    assert "<details class=" in page.stdout
    assert json.loads(plain.stdout)["body"] == "ihaho"


def test_from_stdin_as_utf_8_whatever_the_locale() -> None:
    done = piped(raw(one("suicide_inducement")), "handoff")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().startswith("インターネット・ホットラインセンター")


def test_with_actions_an_address_and_ones_own_forms(slander: Path, tmp_path: Path) -> None:
    from tests.unit.test_handoff import action

    actions, forms = tmp_path / "actions.jsonl", tmp_path / "forms.yml"
    actions.write_bytes(action("request_removal", due_at="2026-11-02T00:00:00Z") + b"\n")
    shipped = Path(__file__).parents[2] / "workers/policies/forms.yml"
    forms.write_text(shipped.read_text("utf-8").replace("    form_seen: false", "    form_seen: true", 1), "utf-8")
    options = ["--actions", str(actions), "--url", "https://b.example/9", "--forms", str(forms)]
    done = mimamori("handoff", str(slander), *options)
    assert done.returncode == 0
    assert "削除要請（自動、期限 2026年11月2日 9時00分（日本時間））" in done.stdout
    assert "https://b.example/9" in done.stdout
    assert "実際の入力欄と照合した日: 2026-11-24" in done.stdout


def test_refusals_are_one_line_and_exit_1(slander: Path, tmp_path: Path) -> None:
    one_line(mimamori("handoff", str(slander), "--to", "ihc"), "not for ihc: it does not take defamation", code=1)
    story = tmp_path / "story.jsonl"
    story.write_bytes(b"\n".join(told()))
    one_line(mimamori("handoff", str(story)), f"{story}: more than one record", code=1)
    distress = tmp_path / "distress.json"
    distress.write_bytes(raw(one("distress", imminent=True)))
    one_line(mimamori("handoff", str(distress), "--to", "ihaho"), "never sent to an outside body", code=1)
    bad = tmp_path / "bad.jsonl"
    bad.write_text(f'{{"text": "{WORDS}"}}', "utf-8")
    one_line(mimamori("handoff", str(bad)), f"{bad}: no record of escalation/1", code=1)
    one_line(mimamori("handoff", str(slander), "--actions", str(bad)), f"{bad}:1: no record of action/1", code=1)


def test_wrong_use(slander: Path, tmp_path: Path) -> None:
    none = str(tmp_path / "none")
    one_line(mimamori("handoff", none), none, "No such file or directory", code=2)
    one_line(mimamori("handoff", str(tmp_path)), str(tmp_path), "Is a directory", code=2)
    one_line(mimamori("handoff", str(slander), "--to", "police"), "--to police: no such form", code=2)
    one_line(mimamori("handoff", str(slander), "--url", "p1"), "--url: must be a web address", code=2)
    one_line(mimamori("handoff", str(slander), "--actions", none), none, "No such file", code=2)
    one_line(mimamori("handoff", str(slander), "--forms", none), none, "cannot be read", code=2)
    bad = tmp_path / "forms.yml"
    bad.write_text("schema: forms/1\n", "utf-8")
    one_line(mimamori("handoff", str(slander), "--forms", str(bad)), f"{bad}:1: ", "`sources` is missing", code=2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("handoff", "--html", "--json"), "not allowed with argument"),
        (("handoff", "a", "b"), "b"),
        (("evidence",), "verb"),
        (("evidence", "prove"), "prove"),
    ],
)
def test_arguments(arguments: tuple[str, ...], said: str) -> None:
    done = mimamori(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    assert said in done.stderr.splitlines()[-1]


# -- evidence ----------------------------------------------------------------------------------------------------------


def test_a_case_is_verified_from_files_and_from_stdin(tmp_path: Path) -> None:
    story = told()
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    first.write_bytes(b"\n".join(story[4:]))
    second.write_bytes(b"\n".join(story[:5]) + b"\n\n")
    done = mimamori("evidence", "verify", str(first), str(second))
    assert (done.returncode, done.stderr) == (0, "")
    assert "7 records, 1 repeated, holds" in done.stdout
    assert WORDS not in done.stdout
    read = piped(b"\n".join([*story, raw(one("defamation", post_id="投稿"))]), "evidence", "verify")
    assert read.returncode == 0, read.stderr
    assert "stdin:8  投稿 revision 1" in read.stdout.decode()


def test_the_record_that_fails_is_named_and_exit_1(tmp_path: Path) -> None:
    file = tmp_path / "story.jsonl"
    story = told()
    story[3] = story[3].replace(f"{WORDS}2".encode(), f"{WORDS}9".encode())
    file.write_bytes(b"\n".join([*story, b"{}"]))
    done = mimamori("evidence", "verify", str(file))
    assert done.returncode == 1
    bad, failed = done.stderr.splitlines()
    assert bad.startswith(f"{file}:8: no record of escalation/1")
    assert failed.startswith(f"{file}:4: case ")
    assert "its evidence is not what its hash says" in failed
    assert WORDS not in done.stdout + done.stderr


def test_files_that_are_not_there(tmp_path: Path) -> None:
    none = str(tmp_path / "none")
    one_line(mimamori("evidence", "verify", none), none, "No such file or directory", code=2)
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    done = mimamori("evidence", "verify", str(empty))
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "nothing to verify: no record of escalation/1\n")


# -- both --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["handoff"], ["evidence", "verify"]])
def test_neither_needs_the_worker_s_parts(command: list[str]) -> None:
    code = (
        "import sys\nfrom workers import cli\n"
        f"cli.main({command!r})\n"
        "print([n for n in ('torch', 'faust', 'aiokafka', 'confluent_kafka') if n in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=clean_environment(MIMAMORI_POLICY_FILE="/nowhere"),
        input=raw(one("defamation")),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.stderr.decode().splitlines() == ["[]"]
