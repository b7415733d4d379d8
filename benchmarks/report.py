"""The published page of a run: docs/benchmarks.md and its plot, from the JSON alone.

    python -m benchmarks.report FILE [--directory docs]

Nothing is measured here. Of the machine the page says how many cores it has and no more.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.tables import tables

SCHEMA: Final = "bench/1"
_DOCS: Final = Path(__file__).parents[1] / "docs"
_QUICK: Final = "**A quick run with few posts. It shows that the benchmark works; its figures mean nothing.**\n"
_COMMAND: Final = ".venv/bin/python -m benchmarks.report runs/bench/bench.json"
_HOW: Final = """\
## How it was measured

- **One run, the same posts.** {count:,} posts of `benchmarks/posts.py`: median {median:g} characters, 95th percentile
  {percentile_95:.0f}; {flagged:.1%} of them flagged by the shipped checkpoint and policy, {repeated:.1%} repeated. A
  flagged post costs some twenty further readings for its spans, so no figure here holds for another share. The policy's
  part and the loops by hand take the first of these posts only.
- **The classifier alone** is given all posts in one call, so that it can sort them all by length, and again 256 at a
  time in order of arrival, as a worker takes them. With one thread it is measured before all else and again at the end:
  how far the two lie apart is how far the machine can be trusted. Ratios are to their mean.
- **Workers** are `mimamori worker` processes with the shipped policy, on one Apache Kafka broker (the JVM settings of
  the tests, one copy of each record) on the same machine, which also runs the client that sends. Posts are keyed by
  author, and each partition has as many authors as any other. Throughput counts from the first post in the log to the
  last decision.
- **CPU per post** is the processes' own time by /proc. Classifying is a worker's time less its event loop's. The
  ceiling is all cores, divided by what the classifier alone (256 at a time), the event loop and the broker need for a
  post; the client is not in it.
- **Latency** is the decision's Kafka timestamp less the post's, both given by the broker. Posts arrive independently of
  each other (Poisson) at a share of the throughput that the same worker had just reached, and with other texts.
- **Recovery** counts from kill -9 of one of two workers. Nearly all of it is the session that has to run out.
- **By hand** is aiokafka around `transformers.pipeline` in fp32, without history, policy, spans, or anything that a
  crash would need. The 12 × 768 BERT has random weights: speed does not depend on them.

## Not measured

{left_out}
"""


def page(result: Mapping[str, Any], plot: str) -> str:
    """The whole of docs/benchmarks.md; `plot` is the plot's place from there."""
    model = result["model"]
    dtype = f", {model['dtype'].removeprefix('torch.')}" if "dtype" in model else ""
    minutes, cores = result["seconds"] / 60, result["machine"]["cores"]
    written = (
        f"Written from the JSON of one run ({minutes:.0f} minutes) on {cores} core{'s' if cores > 1 else ''}; "
        f"checkpoint `{model['version']}`{dtype}. Ratios are what counts: figures move with the machine."
    )
    return "\n".join(
        [
            f"# Benchmarks\n\n```sh\n{result['command']}\n{_COMMAND}\n```\n",
            *([_QUICK] if result["quick"] else []),
            f"{written}\n",
            tables(result),
            f"![Throughput, CPU per post and latency]({plot})\n",
            _HOW.format(**result["posts"], left_out="\n".join(f"- {line}" for line in result["left_out"])),
        ]
    )


def read(file: Path) -> dict[str, Any]:
    """A result; ValueError names the file and what is wrong with it."""
    try:
        found = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{file}: cannot be read: {type(error).__name__}") from None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise ValueError(f"{file}: no result of this benchmark (schema is not {SCHEMA!r})")
    return found


def main() -> int:
    """Entry of the command; exit code 2 for a file that cannot be used."""
    from benchmarks import plot

    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description="write docs/benchmarks.md")
    parser.add_argument("file", type=Path, help="bench.json of `make bench`")
    parser.add_argument("--directory", type=Path, default=_DOCS, help="where the page and its plot go (default docs)")
    arguments = parser.parse_args()
    try:
        result = read(arguments.file)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    plot.write(arguments.directory / "benchmarks.svg", result)
    (arguments.directory / "benchmarks.md").write_text(page(result, "benchmarks.svg"), "utf-8")
    print(arguments.directory / "benchmarks.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
