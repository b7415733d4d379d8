"""The commands that work on records of the consultation queue: `handoff` and `evidence`. No Kafka, no settings."""

import argparse
import io
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from workers.errors import usable

Run = Callable[[argparse.Namespace], int]
Add = Callable[[str, Run, str, str], argparse.ArgumentParser]


def add_to(add: Add) -> None:
    """Their arguments."""
    handoff = add(
        "handoff",
        _handoff,
        "what a person needs to fill in the form of an outside body, from one escalation record; sends nothing",
        "mimamori handoff case.json --to ihaho --html > case.html",
    )
    handoff.add_argument("file", nargs="?", type=Path, help="one record of escalation/1 as on the topic; else stdin")
    handoff.add_argument("--to", metavar="BODY", help="ihaho, ihc; without it the first routed body that has a form")
    form = handoff.add_mutually_exclusive_group()
    form.add_argument("--text", action="store_const", dest="form", const="text", help="for a terminal; the default")
    form.add_argument("--html", action="store_const", dest="form", const="html", help="one page to print on A4")
    form.add_argument("--json", action="store_const", dest="form", const="json", help="for another program")
    handoff.add_argument("--reveal", action="store_true", help="show the post's words, masked on screens otherwise")
    handoff.add_argument("--url", metavar="URL", help="address of the post, where the record has none or a stale one")
    handoff.add_argument("--actions", type=Path, metavar="FILE", help="JSON lines of action/1: what was done about it")
    handoff.add_argument("--forms", type=Path, metavar="FILE", help="your copy of the forms file")
    evidence = add(
        "evidence",
        _evidence,
        "recompute the hashes of escalation records offline, and check that those of a case form one chain",
        "mimamori evidence verify escalations.jsonl",
    )
    evidence.add_argument("verb", choices=["verify"], help="names the first record of a case that fails")
    evidence.add_argument("files", nargs="*", type=Path, metavar="FILE", help="JSON lines in any order; else stdin")


def _handoff(arguments: argparse.Namespace) -> int:
    from workers import forms, handoff, handoff_view

    known = forms.load(arguments.forms)
    with _opened(arguments.file) as source:
        record = handoff.read_record(_name(arguments.file), source.read())
    actions = []
    if arguments.actions is not None:
        with _opened(arguments.actions) as source:
            actions = handoff.read_actions(str(arguments.actions), source)
    made = handoff.sheet(known, record, handoff.Supplied(arguments.url, actions), arguments.to)
    if arguments.form == "json":
        answer = handoff_view.as_json(made)
    elif arguments.form == "html":
        answer = handoff_view.as_html(made, reveal=arguments.reveal)
    else:
        answer = handoff_view.as_text(made, reveal=arguments.reveal)
    write(answer)
    return 0


def _evidence(arguments: argparse.Namespace) -> int:
    from workers import evidence

    files = arguments.files or [None]
    with ExitStack() as stack:
        sources = [(_name(file), stack.enter_context(_opened(file))) for file in files]
        out = io.StringIO()
        code = evidence.run(sources, out, sys.stderr)
    write(out.getvalue().encode())
    return code


def write(answer: bytes) -> None:
    """UTF-8 to stdout whatever the locale: a sheet is Japanese, and ids may be."""
    sys.stdout.buffer.write(answer)
    sys.stdout.buffer.flush()


def _name(file: Path | None) -> str:
    return "stdin" if file is None else str(file)


@contextmanager
def _opened(file: Path | None) -> Iterator[BinaryIO]:
    """A file, or stdin."""
    if file is None:
        yield sys.stdin.buffer
        return
    with usable(file):
        source = file.open("rb")
    with source:
        yield source
