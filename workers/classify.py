"""`mimamori classify`: JSON lines in, JSON lines out, same order, no Kafka.

A bad line gets an error in its place, and on stderr its number; the rest go on.
"""

import json
import math
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final, TextIO

from models.checkpoint import SHIPPED
from workers.events import MAX_TEXT_CHARACTERS

_LINES_AT_ONCE: Final = 256


def run(source: BinaryIO, out: TextIO, model: Path | None, threads: int) -> int:
    """Exit code 0, or 1 where a line was bad."""
    import torch

    from models.classifier import Classifier

    torch.set_num_threads(threads)
    classifier = Classifier.load(model or SHIPPED)
    lines = enumerate(source, 1)
    bad = 0
    while chunk := list(islice(lines, _LINES_AT_ONCE)):
        parsed = [(number, _parse(raw)) for number, raw in chunk]
        good = [found for _, found in parsed if isinstance(found, dict)]
        predictions: Iterator[Any] = iter(classifier.classify([found["text"] for found in good]))
        for number, found in parsed:
            if isinstance(found, str):
                bad += 1
                print(f"line {number}: {found}", file=sys.stderr)
                answer = {"line": number, "error": found}
            else:
                prediction = next(predictions)
                scores, spans = prediction.scores, prediction.spans
                limits = classifier.checkpoint.thresholds
                answer = {"id": found["id"]} if "id" in found else {}
                answer |= {
                    "scores": scores,
                    "flagged": [label for label, score in scores.items() if score >= limits[label]],
                    "spans": spans,
                    "model_version": classifier.version,
                }
            out.write(json.dumps(answer) + "\n")
        out.flush()
    return 1 if bad else 0


def _parse(raw: bytes) -> dict[str, Any] | str:
    """The line's object, or what is wrong with it; never its text."""
    try:
        found = json.loads(raw, parse_constant=_no_number, parse_float=_finite)
    except (ValueError, RecursionError):
        return "not a JSON object in UTF-8"
    if not isinstance(found, dict):
        return "not a JSON object"
    text = found.get("text")
    if not isinstance(text, str):
        return "`text` must be a string" if "text" in found else "`text` is missing"
    if len(text) > MAX_TEXT_CHARACTERS:
        return f"`text` is longer than {MAX_TEXT_CHARACTERS} characters"
    return found


def _no_number(name: str) -> float:
    """NaN and Infinity, which Python reads and writes, are no JSON: an `id` must not carry them into the output."""
    raise ValueError(f"{name} is no JSON")


def _finite(raw: str) -> float:
    """1e999 would be echoed as Infinity."""
    number = float(raw)
    return number if math.isfinite(number) else _no_number(raw)
