"""What any classifier may do wrong, whatever it raises or leaves out; tests/unit/test_pipeline.py has the rest."""

import asyncio
import json
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from typing import Any

import pytest

from models.labels import LABEL_IDS
from tests.unit.memory import MemoryRows, Said, ScriptedClassifier, only, pipeline, post, scores
from workers.errors import BadRecord, GuaranteeAtRisk
from workers.events import Topic
from workers.pipeline import CONTROL_TEXT, Decoded, Pipeline

pytestmark = pytest.mark.timeout(30)  # below the deadline of a sub-batch: an exception must not be taken for a hang

POISON = "これだけは読めない"
RAISED: list[Exception] = [
    RuntimeError(POISON),
    TimeoutError(POISON),  # not the deadline
    StopIteration(POISON),  # no future takes one
    CancelledError(POISON),  # not the loop's own end
    asyncio.QueueFull(POISON),
    MemoryError(),
    RecursionError(),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, POISON),
    GuaranteeAtRisk(POISON),
]


def three(line: Pipeline) -> list[Decoded]:
    return [line.decode(post(f"p{n}", text=text, offset=n)) for n, text in enumerate(["a", POISON, "c"])]


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_whatever_is_raised_for_one_text_makes_that_record_dead_and_no_other(error: Exception) -> None:
    def script(text: str) -> Sequence[str]:
        if text == POISON:
            raise error
        return ()

    line = pipeline(MemoryRows(), ScriptedClassifier(script))
    batch = three(line)
    results = asyncio.run(line.classify(batch))
    outputs = [line.apply(one, result) for one, result in zip(batch, results, strict=True)]
    assert [found[0].topic for found in outputs] == [Topic.DECISIONS, Topic.DEAD_LETTERS, Topic.DECISIONS]
    told = only(outputs[1], Topic.DEAD_LETTERS)["error"]
    assert told == {
        "type": "processing_failed",
        "message": f"the classifier failed with {type(error).__name__}",
    }


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_whatever_is_raised_for_every_text_ends_the_worker(error: Exception) -> None:
    def script(text: str) -> Sequence[str]:
        raise error

    line = pipeline(MemoryRows(), ScriptedClassifier(script))
    with pytest.raises(GuaranteeAtRisk, match="fails on every text") as caught:
        asyncio.run(line.classify(three(line)))
    assert POISON not in str(caught.value)


Change = Callable[[list[Said]], Any]
ANSWERS: dict[str, Change] = {
    "too few": lambda said: said[1:],
    "none": lambda said: [],
    "too many": lambda said: [*said, said[0]],
    "nothing at all": lambda said: None,
    "no scores": lambda said: [Said({}) for _ in said],
    "a label less": lambda said: [Said({k: v for k, v in one.scores.items() if k != "threat"}) for one in said],
    "nan": lambda said: [Said(dict.fromkeys(LABEL_IDS, float("nan"))) for _ in said],
    "logits": lambda said: [Said(dict.fromkeys(LABEL_IDS, 3.7)) for _ in said],
    "text": lambda said: [Said(dict.fromkeys(LABEL_IDS, "0.5")) for _ in said],  # type: ignore[arg-type] # that is it
    "null": lambda said: [Said(dict.fromkeys(LABEL_IDS)) for _ in said],  # type: ignore[arg-type] # that is it
    "a span without an end": lambda said: [Said(one.scores, [(0, None, "threat")]) for one in said],  # type: ignore[list-item] # likewise
}


@pytest.mark.parametrize("how", ANSWERS)
def test_an_answer_that_is_none_for_every_text_ends_the_worker(how: str) -> None:
    """A model that leaves a label out, say, would otherwise turn every post into a dead letter."""

    class Wrong(ScriptedClassifier):
        def classify(self, texts: Sequence[str], thresholds: Any = None) -> Any:
            return ANSWERS[how](list(super().classify(texts, thresholds)))

    line = pipeline(MemoryRows(), Wrong())
    with pytest.raises(GuaranteeAtRisk, match="fails on every text"):
        asyncio.run(line.classify(three(line)))


@pytest.mark.parametrize("how", [name for name in ANSWERS if name not in ("too few", "none", "too many")])
def test_an_answer_that_is_none_for_one_text_makes_its_record_dead(how: str) -> None:
    class Wrong(ScriptedClassifier):
        def classify(self, texts: Sequence[str], thresholds: Any = None) -> Any:
            said = list(super().classify(texts, thresholds))
            wrong = ANSWERS[how](said)
            if wrong is None:
                return None if POISON in texts else said
            return [bad if text == POISON else good for text, good, bad in zip(texts, said, wrong, strict=True)]

    line = pipeline(MemoryRows(), Wrong())
    results = asyncio.run(line.classify(three(line)))
    assert [isinstance(result, BadRecord) for result in results] == [False, True, False]


def test_labels_beyond_the_policys_are_no_fault() -> None:
    line = pipeline(MemoryRows(), ScriptedClassifier(lambda _: scores(spam=0.9)))
    batch = three(line)
    for one, result in zip(batch, asyncio.run(line.classify(batch)), strict=True):
        assert line.apply(one, result)[0].topic is Topic.DECISIONS


def test_the_control_text_is_asked_once_for_each_text_that_fails() -> None:
    classifier = ScriptedClassifier(lambda text: 1 / 0 if text == POISON else ())  # type: ignore[arg-type, return-value] # raises
    line = pipeline(MemoryRows(), classifier)
    asyncio.run(line.classify(three(line)))
    assert classifier.calls.count([CONTROL_TEXT]) == 1
    assert json.dumps(classifier.calls, ensure_ascii=False).count(POISON) == 3, "found by halving"
