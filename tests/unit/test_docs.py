"""The documents and the lock files against the code: what they name exists, and what exists is named.

Not here: docs/schemas and docs/asyncapi.yml, which are generated (test_schemas.py), and whether a sentence is true.
"""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from models.labels import LABELS
from workers import errors
from workers.events import Action, Priority

ROOT: Final = Path(__file__).parents[2]
PYPROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
MAKEFILE: Final = (ROOT / "Makefile").read_text("utf-8")
DOCUMENTS: Final = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LOCKS: Final = sorted(ROOT.glob("requirements*.lock"))
_PINNED: Final = re.compile(r"^([a-z0-9][a-z0-9.-]*)==(\S+)", re.MULTILINE)


def _read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def _section(text: str, title: str) -> str:
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"no section {title!r}"
    return found[1]


def _names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower() for requirement in requirements}


def _groups() -> dict[str, set[str]]:
    project = PYPROJECT["project"]
    extras = {name: _names(requirements) for name, requirements in project["optional-dependencies"].items()}
    return {
        "Runtime": _names(project["dependencies"]),
        "Training": extras.pop("train"),
        "Development": extras.pop("dev"),
        "Build": _names(PYPROJECT["build-system"]["requires"]),
        **extras,
    }


# --- dependencies and locks


@pytest.mark.parametrize("group", _groups())
def test_each_dependency_has_its_line(group: str) -> None:
    section = _section(_read("docs/dependencies.md"), group)
    lines = re.findall(r"^- `([^`]+)` — \S", section, re.MULTILINE)
    assert len(lines) == len(set(lines)) == section.count("\n- ") + section.startswith("- ")
    assert set(lines) == _groups()[group]


def test_dependencies_document_has_no_other_group() -> None:
    assert set(re.findall(r"^## (.+)$", _read("docs/dependencies.md"), re.MULTILINE)) == set(_groups())


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_lock_is_hashed_and_names_no_host(lock: Path) -> None:
    text = lock.read_text("utf-8")
    assert "://" not in text
    blocks = re.split(r"^(?=[^\s#])", text, flags=re.MULTILINE)[1:]
    assert len(blocks) > len(_groups()["Runtime"])
    for block in blocks:
        first, *rest = block.replace("\\\n", "\n").strip().splitlines()
        assert _PINNED.match(first), first
        assert rest, f"{first}: no hash"
        assert all(re.fullmatch(r"\s+--hash=sha256:[0-9a-f]{64}\s*", line) for line in rest), first


def test_locks_are_those_that_make_writes() -> None:
    assert {lock.name for lock in LOCKS} == set(re.findall(r"-o (requirements\S*\.lock)", MAKEFILE))


def test_locks_agree_and_hold_their_groups() -> None:
    full, train, run = (set(_PINNED.findall(_read(f"requirements{kind}.lock"))) for kind in ("", "-train", "-run"))
    assert run < full < train
    names = {name for name, _ in run}
    groups = _groups()
    assert groups["Runtime"] <= names
    assert not names & (groups["Development"] | groups["Training"]), "the image holds no tools"


# --- links and commands


def _prose(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def _anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#{1,6} +(.+?) *$", _prose(document.read_text("utf-8")), re.MULTILINE)
    plain = [re.sub(r"[`*]|\[([^]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}


def _broken(document: Path) -> Iterator[str]:
    text = re.sub(r"`[^`\n]*`", "", _prose(document.read_text("utf-8")))
    inline = re.findall(r"\]\(<?([^)\s>]+)>?(?: \"[^\"]*\")?\)", text)
    for target in inline + re.findall(r"^\[[^]]+\]: (\S+)", text, re.MULTILINE):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        if not file.is_relative_to(ROOT) or not file.exists():
            yield f"{target}: no such file"
        elif anchor and file.suffix == ".md" and anchor.lower() not in _anchors(file):
            yield f"{target}: no such heading"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_relative_links_resolve(document: Path) -> None:
    assert not list(_broken(document))


def test_a_broken_link_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    document = tmp_path / "a.md"
    document.write_text(
        "# One two\n[x](b.md) [x](#one-two) [x](#two)\n[x](../out.md) [x](https://h/)\n```\n[x](c.md)\n```\n"
    )
    assert list(_broken(document)) == [
        "b.md: no such file",
        "#two: no such heading",
        "../out.md: no such file",
    ]


def _make_targets(text: str) -> set[str]:
    """Targets in code: spans, fenced blocks and indented blocks. Prose ("make sure") is left alone."""
    code = re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL) + re.findall(r"^ {4}.*$", text, re.MULTILINE)
    return {target for part in code for target in re.findall(r"\bmake ([a-z][a-z-]*)", part)}


def test_make_targets_are_found_in_code_only() -> None:
    text = "make sure `make one`\n\n    make two\n\n```\n$ make three X=1\n```\n"
    assert _make_targets(text) == {"one", "two", "three"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_named_make_targets_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))
    named = _make_targets(document.read_text("utf-8"))
    assert named <= targets
    if document.name == "README.md":
        assert {"demo", "test"} <= named, "the two commands of a fresh machine"


# --- operations.md


def _table(document: str, title: str) -> list[list[str]]:
    rows = re.findall(r"^\| (.+) \|$", _section(_read(document), title), re.MULTILINE)
    return [[cell.strip() for cell in row.split("|")] for row in rows[2:]]


def test_operations_names_every_setting() -> None:
    from workers.settings import NAMES

    assert {row[0].strip("`") for row in _table("docs/operations.md", "Environment")} == NAMES
    assert set(re.findall(r"MIMAMORI_\w+", _read("docs/operations.md"))) == NAMES


def test_operations_has_the_defaults() -> None:
    from workers.settings import TABLE, Settings

    documented = {row[0].strip("`"): row[1].strip("`") for row in _table("docs/operations.md", "Environment")}

    def shown(value: Any) -> str:
        if value is None or value == "":
            return "—"
        return f"{value:g}" if isinstance(value, bool | int | float) else str(value)

    assert documented == {setting.name: shown(getattr(Settings(), setting.field)) for setting in TABLE}


def _exit_codes(error: type[errors.MimamoriError]) -> set[int]:
    return {error.exit_code}.union(*map(_exit_codes, error.__subclasses__()))


def test_operations_has_the_exit_codes() -> None:
    documented = [int(row[0]) for row in _table("docs/operations.md", "Exit codes")]
    assert documented == sorted({0} | _exit_codes(errors.MimamoriError))


def test_operations_names_every_metric() -> None:
    from workers.telemetry import Metrics

    families = Metrics().registry.collect()
    exposed = {family.name + ("_total" if family.type == "counter" else "") for family in families}
    assert {row[0].strip("`") for row in _table("docs/operations.md", "Metrics and alarms")} == exposed
    assert set(re.findall(r"\bmimamori_[a-z_]+", _read("docs/operations.md"))) == exposed


def test_operations_names_the_health_endpoints() -> None:
    from workers import admin

    served = set(re.findall(r"^(/\S+)  ", admin.__doc__ or "", re.MULTILINE))
    assert served
    assert {row[0].strip("`") for row in _table("docs/operations.md", "Health")} == served


# --- glossary.md

_WORDS: Final = (
    "post author subject label score threshold policy clause decision action escalation case route dossier review "
    "appeal topic partition offset key lag ack commit rebalance redrive shadow"
).split()


@pytest.mark.parametrize("word", [*_WORDS, "dead letter"])
def test_glossary_defines(word: str) -> None:
    assert re.search(rf"\*\*{word}\*\*", _read("docs/glossary.md"), re.IGNORECASE)


def test_glossary_has_the_labels_and_actions() -> None:
    said = _table("docs/glossary.md", "What the model says")
    assert said == [[f"`{label.id}`", label.japanese] for label in LABELS]
    told = {row[0].strip("`") for row in _table("docs/glossary.md", "What is decided")}
    assert told == set(Action) - {Action.NONE}


def test_glossary_has_the_priorities() -> None:
    assert set(re.findall(r"\bP\d\b", _section(_read("docs/glossary.md"), "What people do"))) == set(Priority)
