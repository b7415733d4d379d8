"""Parts that know torch run in a process of their own, with its threads fixed before torch is imported.

Such a module takes its arguments on the command line and prints one JSON object as the last line of its output.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.harness import clean_environment

PART_SECONDS = 900.0


def run(module: str, threads: int, **arguments: object) -> dict[str, Any]:
    """`python -m benchmarks.MODULE --threads N --name value ...`; its JSON. RuntimeError shows what it wrote."""
    command = [sys.executable, "-m", f"benchmarks.{module}", "--threads", str(threads)]
    for name, value in arguments.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    done = subprocess.run(  # noqa: S603 # this repository's own modules
        command,
        env=clean_environment(OMP_NUM_THREADS=str(threads)),
        capture_output=True,
        text=True,
        timeout=PART_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"benchmarks.{module} ended with {done.returncode}:\n{done.stderr[-3_000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def read_texts(file: Path, count: int) -> list[str]:
    """The first posts of a file of benchmarks.settled."""
    texts: list[str] = json.loads(file.read_text("utf-8"))["texts"][:count]
    return texts
