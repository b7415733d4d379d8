"""Whose store a directory holds, and what becomes of a damaged one."""

import json
from pathlib import Path

import pytest

from workers import datadir, topics
from workers.app import build
from workers.errors import SettingsError
from workers.ledger import Ledger
from workers.settings import Settings

MINE = {"changelog": "mimamori-authors-changelog", "cluster": "c1"}


def store(directory: Path) -> Path:
    """A store as RocksDB leaves it."""
    file = directory / datadir.STORE / "tables" / "authors-0.db" / "CURRENT"
    file.parent.mkdir(parents=True)
    file.write_text("MANIFEST-000005\n")
    return file


def test_a_new_directory_is_made_and_stays_mine(tmp_path: Path) -> None:
    directory = tmp_path / "a" / "b"
    datadir.claim(directory, MINE)
    file = store(directory)
    datadir.claim(directory, MINE)
    assert file.exists()


@pytest.mark.parametrize("what", MINE)
def test_one_of_another_changelog_or_cluster_is_refused_and_left_as_it_is(tmp_path: Path, what: str) -> None:
    datadir.claim(tmp_path, {**MINE, what: "other"})
    file = store(tmp_path)
    with pytest.raises(SettingsError, match=f"MIMAMORI_DATADIR: {tmp_path} holds the store of .*{what} other"):
        datadir.claim(tmp_path, MINE)
    assert file.exists()
    assert json.loads((tmp_path / datadir.OWNER_FILE).read_text())[what] == "other"


def test_one_from_before_directories_said_whose_they_are_is_taken(tmp_path: Path) -> None:
    file = store(tmp_path)
    datadir.claim(tmp_path, MINE)
    assert file.exists()
    with pytest.raises(SettingsError):
        datadir.claim(tmp_path, {**MINE, "cluster": "c2"})


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"changelog": "x"}', b"\xff"])
def test_where_it_cannot_be_read_whose_it_is_the_store_is_not_trusted_either(tmp_path: Path, content: bytes) -> None:
    file = store(tmp_path)
    (tmp_path / datadir.OWNER_FILE).write_bytes(content)
    datadir.claim(tmp_path, MINE)
    assert not file.exists()
    file = store(tmp_path)
    datadir.claim(tmp_path, MINE)
    assert file.exists(), "said anew"


DAMAGE = [
    "Corruption: block checksum mismatch: stored(context removed) = 1, computed = 2, type = 4 in /d/9.sst offset 0",
    "Corruption: checksum mismatch The file /d/MANIFEST-000005 may be corrupted.",
    "IO error: No such file or directory: While opening a file: /d/MANIFEST-000005: No such file or directory",
]
NO_DAMAGE = [
    "IO error: No space left on device: While appending to file: /d/000004.log: No space left on device",
    "IO error: While appending to file: /d/000004.log: File too large",
    "IO error: lock hold by current process: /d/LOCK: No locks available",
    "offset 5 was skipped before 7",
]


@pytest.mark.parametrize("told", DAMAGE)
def test_a_damaged_store_is_deleted_at_the_next_start_and_no_later(tmp_path: Path, told: str) -> None:
    datadir.claim(tmp_path, MINE)
    file = store(tmp_path)
    assert datadir.condemn(tmp_path, Exception(told))
    assert file.exists(), "the worker still has it open"
    datadir.claim(tmp_path, MINE)
    assert not file.exists()
    file = store(tmp_path)
    datadir.claim(tmp_path, MINE)
    assert file.exists()


@pytest.mark.parametrize("error", [*map(Exception, NO_DAMAGE), ValueError(DAMAGE[0]), KeyError("x"), None])
def test_nothing_else_costs_a_store(tmp_path: Path, error: BaseException | None) -> None:
    datadir.claim(tmp_path, MINE)
    file = store(tmp_path)
    assert not datadir.condemn(tmp_path, error)
    datadir.claim(tmp_path, MINE)
    assert file.exists()


def test_damage_shows_through_what_was_made_of_it_and_contexts_in_a_circle_end(tmp_path: Path) -> None:
    damage, outer = Exception(DAMAGE[0]), SystemExit(1)
    outer.__context__, damage.__context__ = damage, outer
    assert datadir.condemn(tmp_path, outer)
    first, second = KeyError(), SystemExit(1)
    first.__context__, second.__context__ = second, first
    assert not datadir.condemn(tmp_path, first)


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        (DAMAGE[0], "Corruption: block checksum mismatch"),
        (NO_DAMAGE[0], "IO error: No space left on device"),
        (NO_DAMAGE[1], "IO error: File too large"),
        ("Invalid argument: 秘密", None),
        ("IO error", None),
        ("", None),
    ],
)
def test_of_what_rocksdb_says_kind_and_reason_are_shown(told: str, shown: str | None) -> None:
    """What stands between may quote a key."""
    assert datadir.fault_of(Exception(told)) == shown


def test_the_store_is_where_faust_keeps_it(tmp_path: Path) -> None:
    app, _ = build(Settings(group="unit", datadir=tmp_path), topics.load(), Ledger())
    assert app.conf.tabledir == tmp_path / datadir.STORE / "tables"
