"""A worker with one thing wrong in it or around it; all else is the product's own process, commands and exit codes.

FAULTS='{"classifier": "nan"}' python -m tests.broker.faulty worker

classifier        raises | nan | short | hangs, on every text; raises-on TEXT, on that one alone
classify_seconds  the deadline of a sub-batch, shorter than a test's patience
produce_seconds   the producer's own timeout, likewise
clock_seconds     how far the host's wall clock is off (monotonic time goes on as it does on a real host)
file_bytes        no file may grow beyond this many bytes: the operating system refuses the write, as on a full disk
"""

import json
import os
import resource
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tests.harness import WorkerProcess

VARIABLE: Final = "FAULTS"
_RAISES_ON: Final = "raises-on "


class FaultyWorker(WorkerProcess):
    """A replica with `faults`; otherwise as any other."""

    module = "tests.broker.faulty"

    def __init__(self, faults: Mapping[str, Any], bootstrap: str, **settings: str) -> None:
        super().__init__(bootstrap, **settings)
        self._environment[VARIABLE] = json.dumps(faults)


class FaultyClassifier:
    """Stands before the real one."""

    def __init__(self, real: Any, how: str) -> None:
        self._real, self._how = real, how
        self.version, self.checkpoint = real.version, real.checkpoint
        self._warmed_up = False

    def classify(self, texts: Sequence[str], thresholds: Mapping[str, float] | None = None) -> Sequence[Any]:
        """As models.classifier.Classifier; sound at the start, where a worker tries it once."""
        if not self._warmed_up:
            self._warmed_up = True
            return list(self._real.classify(texts, thresholds))
        if self._how == "raises" or self._how.removeprefix(_RAISES_ON) in texts:
            raise RuntimeError(" ".join(texts))
        if self._how == "hangs":
            threading.Event().wait()
        predictions = list(self._real.classify(texts, thresholds))
        if self._how == "short":
            return predictions[1:]
        if self._how == "nan":
            for prediction in predictions:
                prediction.scores.update(dict.fromkeys(prediction.scores, float("nan")))
        return predictions


def put_in(faults: Mapping[str, Any]) -> None:
    """Before the worker begins."""
    if "clock_seconds" in faults:  # before the product is imported, which may keep the function
        right = time.time
        _set(time, "time", lambda: right() + faults["clock_seconds"])
    from models.classifier import Classifier
    from workers import agents, pipeline

    if "classifier" in faults:
        load = Classifier.load
        _set(Classifier, "load", lambda path: FaultyClassifier(load(path), faults["classifier"]))
    if "classify_seconds" in faults:
        _set(pipeline, "CLASSIFY_DEADLINE_SECONDS", faults["classify_seconds"])
    if "batch_seconds" in faults:
        _set(agents, "BATCH_DEADLINE_SECONDS", faults["batch_seconds"])
    if "file_bytes" in faults:
        resource.setrlimit(resource.RLIMIT_FSIZE, (faults["file_bytes"], faults["file_bytes"]))


def _set(where: object, name: str, what: object) -> None:
    assert hasattr(where, name), f"the product has no {name} any more"
    setattr(where, name, what)


if __name__ == "__main__":
    put_in(json.loads(os.environ[VARIABLE]))
    from workers.cli import main

    sys.exit(main())
