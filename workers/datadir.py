"""The process's directory: whose store lies in it, and what becomes of one that is damaged.

The store is a copy of the changelog up to an offset that is kept within it. Beside another changelog (another group,
prefix or cluster) that offset means nothing, and the rows are other authors' histories: RocksDB and Faust would take
them without a word. So the directory says whose it is, and a worker of somebody else does not start.

A damaged store is no loss: whatever was sent stands in the changelog. It is marked, and the next start deletes it.
"""

import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from workers.errors import SettingsError, usable

log = logging.getLogger(__name__)

OWNER_FILE: Final = "mimamori-owner.json"
DAMAGED_FILE: Final = "damaged"
STORE: Final = "v1"  # Faust's, within its datadir; tests/unit/test_datadir.py holds it
_GONE: Final = "No such file or directory"


def claim(directory: Path, owner: Mapping[str, str]) -> None:
    """Before the store is opened: make it this worker's, or refuse (SettingsError). A damaged one is deleted."""
    file, damaged = directory / OWNER_FILE, directory / DAMAGED_FILE
    with usable(directory):
        directory.mkdir(parents=True, exist_ok=True)
        found = _read(file, owner) if file.exists() else dict(owner)  # none: new, or from before there were owners
        if found is not None and found != owner:
            raise SettingsError(
                f"MIMAMORI_DATADIR: {directory} holds the store of {_told(found)}; this worker's is {_told(owner)}."
                " Give it a directory of its own, or delete this one if nobody else uses it"
            )
        if found is None or damaged.exists():
            log.warning("the store was damaged: it is read again from the changelog")
            shutil.rmtree(directory / STORE, ignore_errors=True)
            damaged.unlink(missing_ok=True)
        if found is None or not file.exists():
            file.write_text(json.dumps(dict(owner)), "utf-8")


def _read(file: Path, owner: Mapping[str, str]) -> dict[str, str] | None:
    """Whose it is; None where that cannot be read, and then neither can the store be trusted."""
    try:
        found = json.loads(file.read_bytes())
        return {what: str(found[what]) for what in owner}
    except (ValueError, LookupError, TypeError):
        return None


def _told(owner: Mapping[str, str]) -> str:
    return ", ".join(f"{what} {name}" for what, name in owner.items())


def fault_of(error: BaseException | None) -> str | None:
    """What RocksDB says of its files, as kind and reason; None for an error of anything else.

    rocksdict raises bare exceptions. The middle of their texts may quote what is stored, so it is left out.
    """
    if type(error) is not Exception:
        return None
    kind, *parts = (part.strip() for part in str(error).split(":"))
    if kind not in ("Corruption", "IO error") or not parts:
        return None
    return f"{kind}: {parts[-1] if kind == 'IO error' else parts[0]}"


def condemn(directory: Path, error: BaseException | None) -> bool:
    """Mark the store for the next start if `error`, or what led to it, shows it damaged; a full disk does not."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:  # contexts can run in a circle
        seen.append(error)
        error = error.__cause__ or error.__context__
    faults = [fault_of(one) or "" for one in seen]
    damaged = any(fault.startswith("Corruption") or fault.endswith(_GONE) for fault in faults)
    if damaged:
        (directory / DAMAGED_FILE).touch()
    return damaged
