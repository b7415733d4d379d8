"""What a run needs beside Kafka: a tiny checkpoint, made once and kept, and a policy under which it flags a mixture."""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any, Final

import yaml

from tests.harness import clean_environment
from tests.unit import checkpoints

KEPT: Final = Path(__file__).parents[2] / ".cache" / "chaos"
MAKE_SECONDS: Final = 300.0
# Of the tiny checkpoint's scores on the feed's texts: about 20 % insult, 15 % defamation, 4 % distress, few others.
# They rise slowly around these points, so that a post near one is flagged or not by the company it has in its batch:
# what is computed again is seen to be.
THRESHOLDS: Final = {
    "insult": 0.42,
    "defamation": 0.955,
    "threat": 0.4,
    "privacy": 0.99,
    "suicide_inducement": 0.72,
    "crime_aid": 0.93,
    "obscene": 0.91,
    "distress": 0.925,
}
URGENT_ABOVE: Final = 0.95


def checkpoint() -> Path:
    """The tiny checkpoint; made by a process of its own, since torch would stay in this one."""
    source = Path(checkpoints.__file__).read_bytes()
    directory = KEPT / f"tiny-{hashlib.sha256(source).hexdigest()[:12]}"
    if not directory.exists():
        KEPT.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=KEPT)) / "tiny"
        code = "import pathlib, sys; from tests.unit import checkpoints; checkpoints.make(pathlib.Path(sys.argv[1]))"
        subprocess.run(
            [sys.executable, "-c", code, str(made)],
            check=True,
            cwd=Path(__file__).parents[2],
            env=clean_environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=MAKE_SECONDS,
        )
        if not directory.exists():  # another run may have been faster
            made.rename(directory)
        shutil.rmtree(made.parent, ignore_errors=True)
    return directory


def policy(directory: Path) -> Path:
    """The shipped policy with THRESHOLDS."""
    raw: dict[str, Any] = yaml.safe_load(resources.files("workers").joinpath("policies/default.yml").read_text("utf-8"))
    for label, threshold in THRESHOLDS.items():
        rule = raw["distress"] if label == "distress" else raw["labels"][label]
        rule["threshold"] = threshold
        rule.pop("borderline_below", None)
    raw["distress"]["urgent_above"] = URGENT_ABOVE
    path = directory / "policy.yml"
    path.write_text(yaml.safe_dump(raw, allow_unicode=True, sort_keys=False), "utf-8")
    return path
