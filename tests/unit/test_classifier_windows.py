"""What a score may not depend on: the rest of the batch, and where in a long text a sentence stands."""

import json
import logging
import math
import random
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from models import classifier as classifier_module
from models.classifier import Classifier, Prediction
from models.labels import LABEL_IDS
from models.normalize import canonical, plain
from models.tokenizer import Tokens
from tests.unit import checkpoints
from workers.events import MAX_TEXT_CHARACTERS

POSTS = Path(__file__).parents[2] / "models" / "data" / "posts"
ROOM = checkpoints.POSITIONS - 2  # tokens of a window, beside [CLS] and [SEP]
EVERYTHING = dict.fromkeys(LABEL_IDS, 1e-9)
NOTHING = dict.fromkeys(LABEL_IDS, 1.1)


@pytest.fixture(scope="module")
def classifier(checkpoint: Path) -> Classifier:
    return Classifier.load(checkpoint, torch.float32)


@pytest.fixture(autouse=True)
def fine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores of eight decimals: of four, the last may fall the other way by rounding alone."""
    monkeypatch.setattr(classifier_module, "_DECIMALS", 8)


def texts(count: int, seed: int = 3) -> list[str]:
    """Written posts of all lengths, some joined to be longer than a window."""
    lines = [line for path in sorted(POSTS.glob("*.jsonl")) for line in path.read_text("utf-8").split("\n") if line]
    picked = [str(json.loads(line)["text"]) for line in random.Random(seed).sample(lines, count)]
    return ["".join(picked[i : i + 9]) if i % 10 == 0 else text for i, text in enumerate(picked)]


def furthest(found: Sequence[Prediction], expected: Sequence[Prediction]) -> float:
    pairs = zip(found, expected, strict=True)
    return max(abs(a.scores[label] - b.scores[label]) for a, b in pairs for label in LABEL_IDS)


def probabilities(classifier: Classifier, ids: Sequence[int]) -> torch.Tensor:
    """Of one window, alone."""
    t = classifier.tokenizer
    row = torch.tensor([[t.cls, *ids, t.sep]])
    with torch.inference_mode():
        return torch.sigmoid(classifier.encoder.logits(classifier.encoder.embed(row), torch.ones_like(row).bool()))[0]


def test_no_score_depends_on_the_rest_of_the_batch(classifier: Classifier) -> None:
    read = texts(60)
    alone = [classifier.classify([text], NOTHING)[0] for text in read]
    assert len({tuple(one.scores.values()) for one in alone}) > 50, "texts that score alike would hide a mix-up"
    for seed in range(4):
        generator = random.Random(seed)
        order = generator.sample(range(len(read)), len(read) - 20 * (seed % 2))
        others = ["今日はいい天気です。" * 300, "", *texts(seed * 30 + 1, seed)]
        found = classifier.classify([read[i] for i in order] + others, NOTHING)
        assert furthest(found[: len(order)], [alone[i] for i in order]) <= 1e-5


def test_batches_hold_every_sequence_once_and_not_too_many() -> None:
    generator = random.Random(1)
    sequences: list[Any] = [
        classifier_module._Sequence(i, [7] * generator.choice([0, 1, 9, 30, 126, 510]), [], plain(""))
        for i in range(500)
    ]
    order = sorted(range(500), key=lambda i: len(sequences[i].ids))
    batches = classifier_module._batches(order, sequences)
    assert [i for batch in batches for i in batch] == order
    for batch in batches:
        width = max(len(sequences[i].ids) for i in batch) + 2
        assert len(batch) <= 64
        assert len(batch) * width <= 2_048
    assert len(batches) < 100, "or each would run alone"


@pytest.mark.parametrize("count", [0, 1, 125, 126, 127, 188, 189, 190, 252, 253, 1_000])
def test_windows_overlap_and_lose_no_token(classifier: Classifier, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    class Letters:
        """A token a letter; its id is its place."""

        def tokenize(self, text: str) -> Tokens:
            return Tokens(list(range(len(text))), [(i, i + 1) for i in range(len(text))])

    monkeypatch.setattr(classifier, "tokenizer", Letters())
    windows = classifier._sequences(0, "あ" * count)
    assert all(len(window.ids) <= ROOM and len(window.ids) == len(window.offsets) for window in windows)
    assert sorted({i for window in windows for i in window.ids}) == list(range(count))
    assert all(before.ids[-1] - after.ids[0] + 1 >= ROOM // 2 for before, after in pairwise(windows))
    assert len(windows) == max(1, math.ceil((count - ROOM // 2) / (ROOM - ROOM // 2))), "none is read for nothing"


@pytest.mark.parametrize("positions", [3, 4, 5, 8])
def test_few_positions_are_enough(tmp_path: Path, positions: int) -> None:
    few = Classifier.load(checkpoints.make(tmp_path / "c", max_position_embeddings=positions), torch.float32)
    text = "今日はいい天気ですね"
    windows = few._sequences(0, text)
    assert {at for window in windows for at in window.offsets} == set(few.tokenizer.tokenize(text).offsets)
    (found,) = few.classify([text], EVERYTHING)
    assert {span.label for span in found.spans} == set(LABEL_IDS)


def test_a_long_text_scores_as_its_highest_window(classifier: Classifier) -> None:
    text = "".join(texts(900, 11))[:MAX_TEXT_CHARACTERS]
    assert len(text) == MAX_TEXT_CHARACTERS
    windows = classifier._sequences(0, text)
    assert len(windows) > 100
    each = torch.stack([probabilities(classifier, window.ids) for window in windows])
    (found,) = classifier.classify([text], EVERYTHING)
    assert list(found.scores.values()) == pytest.approx(each.max(dim=0).values.tolist(), abs=1e-5)
    for column, label in enumerate(LABEL_IDS):  # and is explained from there
        window = windows[int(each[:, column].argmax())]
        first, last = window.reading.original(*window.offsets[0]), window.reading.original(*window.offsets[-1])
        assert all(first[0] <= start < end <= last[1] for start, end, of in found.spans if of == label)


@pytest.mark.parametrize("at", [0, 9_876, MAX_TEXT_CHARACTERS - 60])
def test_a_buried_sentence_is_found_wherever_it_stands(classifier: Classifier, at: int) -> None:
    calm = ("今日はいい天気です。" * 2_000)[:MAX_TEXT_CHARACTERS]
    bad = ("死ね田中店長は殺人犯だ自殺しろ消えろ💀🔪" * 3)[:60]
    (before,), (after,) = (classifier.classify([text]) for text in (calm, calm[:at] + bad + calm[at + 60 :]))
    assert any(after.scores[label] > before.scores[label] + 0.005 for label in LABEL_IDS)


def test_both_spellings_are_read_and_the_worse_one_counts(classifier: Classifier) -> None:
    text = "もうタヒね"
    read = plain(text)
    rows = [probabilities(classifier, classifier.tokenizer.tokenize(r.text).ids) for r in (read, canonical(read))]
    found = list(classifier.classify([text])[0].scores.values())
    assert found == pytest.approx(torch.stack(rows).max(dim=0).values.tolist(), abs=1e-5)
    assert all(found != pytest.approx(row.tolist(), abs=1e-3) for row in rows), "one of them would do: nothing is shown"


def test_spans_carry_the_score(classifier: Classifier) -> None:
    """Taking out what is shown lowers the score more, on the whole, than taking out as much elsewhere."""
    shown = elsewhere = 0.0
    read = [text for text in texts(150, 21) if 15 < len(text) < 80]
    for text, found in zip(read, classifier.classify(read, EVERYTHING), strict=True):
        label = max(LABEL_IDS, key=lambda of: found.scores[of])
        at = {i for start, end, of in found.spans if of == label for i in range(start, end)}
        rest = [i for i in range(len(text)) if i not in at]
        other = set(random.Random(len(text)).sample(rest, min(len(at), len(rest))))
        without = ["".join(char for i, char in enumerate(text) if i not in gone) for gone in (at, other)]
        low, high = (one.scores[label] for one in classifier.classify(without, NOTHING))
        shown += found.scores[label] - low
        elsewhere += found.scores[label] - high
    assert len(read) > 60
    assert shown > elsewhere


def test_spans_are_short(classifier: Classifier) -> None:
    """At most twelve tokens are shown, however long the text."""
    (found,) = classifier.classify(["".join(texts(200, 5))], EVERYTHING)
    for label in LABEL_IDS:
        own = [(start, end) for start, end, of in found.spans if of == label]
        assert 1 <= len(own) <= 12
        assert all(before[1] < after[0] for before, after in pairwise(own))


def test_invisible_characters_split_no_span(classifier: Classifier) -> None:
    """Zero-width space after every letter: the same spans, each in one piece."""
    clean = "田中店長は死ねと言われた"
    (expected,), (found,) = (classifier.classify([text], EVERYTHING) for text in (clean, "\u200b".join(clean)))
    assert found.scores == expected.scores
    assert found.spans == [(2 * start, 2 * (end - 1) + 1, label) for start, end, label in expected.spans]
    assert any(end - start > 3 for start, end, _ in found.spans)


def test_the_processor_chooses_the_precision_and_no_text_is_logged(
    checkpoint: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
    for has_bf16, dtype in ((False, torch.float32), (True, torch.bfloat16)):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda has_bf16=has_bf16: has_bf16, raising=False)
        loaded = Classifier.load(checkpoint)
        assert loaded.dtype == dtype
        loaded.classify(["内緒の文章"], EVERYTHING)
    told = [vars(record) for record in caplog.records if record.message == "classifier ready"]
    assert [record["dtype"] for record in told] == ["torch.float32", "torch.bfloat16"]
    assert all(record["model"] == loaded.version for record in told)
    assert not any("内緒の文章" in str(vars(record)) for record in caplog.records)
