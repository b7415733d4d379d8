"""Fine-tuning where it could go wrong unseen: which epoch is kept, when it ends, what is too long, what diverges."""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from models import calibrate
from models import checkpoint as checkpoint_files
from models import train as training
from models.labels import LABEL_IDS
from models.train import Recipe, train
from tests.unit import checkpoints


@pytest.fixture(scope="module")
def posts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty toy posts in ten batches; some longer than the tiny model's positions."""
    directory = tmp_path_factory.mktemp("posts")
    for i in range(40):
        label, word = [("insult", "死ね"), (None, "今日はいい天気")][i % 2]
        row = {"text": f"{'あい' * (i % 4)}{word * (1 if i % 5 else 90)}", "labels": [label] if label else []}
        with (directory / f"toy-{i // 4}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
    return directory


def scripted(monkeypatch: pytest.MonkeyPatch, losses: Iterable[float]) -> list[str]:
    """Validation losses as given, one an epoch; returns the list of epochs begun, which grows."""
    begun: list[str] = []
    told = iter(losses)
    real_loss = training._loss

    def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return real_loss(logits, targets) if logits.requires_grad else torch.tensor(next(told, 0.5))

    def watching(batches: list[Any], desc: str, **_: Any) -> Iterable[Any]:
        begun.append(desc.split("/")[0])
        return iter(batches)

    monkeypatch.setattr(training, "_loss", loss)
    monkeypatch.setattr(training, "tqdm", watching)
    monkeypatch.setattr(calibrate, "platt", lambda *_: (1.0, 0.0))
    return begun


def head(directory: Path) -> torch.Tensor:
    return load_file(directory / "model.safetensors")["classifier.weight"]


def test_the_best_epoch_is_kept_and_patience_ends_it(
    checkpoint: Path, posts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(epochs=9, batch=16, rate=1e-3, patience=2)
    with monkeypatch.context() as patch:
        begun = scripted(patch, [0.5, 0.4, 0.45, 0.42])
        train(checkpoint, posts, tmp_path / "ended", recipe)
        assert begun == ["epoch 1", "epoch 2", "epoch 3", "epoch 4"], "two epochs without gain after the second"
    with monkeypatch.context() as patch:
        scripted(patch, [0.5, 0.4, *[0.6] * 7])
        train(checkpoint, posts, tmp_path / "same", recipe)
    with monkeypatch.context() as patch:
        begun = scripted(patch, [0.5, 0.55, 0.4, 0.45, 0.45])
        train(checkpoint, posts, tmp_path / "later", recipe)
        assert len(begun) == 5, "a gain begins the waiting anew"
    assert torch.equal(head(tmp_path / "ended"), head(tmp_path / "same"))
    assert not torch.equal(head(tmp_path / "ended"), head(tmp_path / "later"))


def test_posts_longer_than_the_positions_are_cut(checkpoint: Path, posts: Path, tmp_path: Path) -> None:
    """Of 128 positions here and 512 in the usual BERT; training reads 256 tokens at most."""
    figures = train(checkpoint, posts, tmp_path / "out", Recipe(epochs=1))
    assert figures["posts"]["train"] == 36
    wide = checkpoints.make(tmp_path / "wide", max_position_embeddings=400)
    seen = []
    real_pad = training._pad

    def pad(tokenizer: Any, batch: list[Any]) -> Any:
        seen.append(max(len(ids) for ids, _ in batch))
        return real_pad(tokenizer, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "_pad", pad)
        train(wide, posts, tmp_path / "out2", Recipe(epochs=1))
    assert max(seen) == 254


def test_the_config_says_what_the_weights_are(checkpoint: Path, posts: Path, tmp_path: Path) -> None:
    copy = checkpoints.copy(checkpoint, tmp_path / "c")
    checkpoints.change_json(copy / "config.json", architectures=["BertModel"], problem_type=None)
    train(copy, posts, tmp_path / "out", Recipe(epochs=1))
    written = json.loads((tmp_path / "out" / "config.json").read_text("utf-8"))
    assert written["architectures"] == ["BertForSequenceClassification"]
    assert written["problem_type"] == "multi_label_classification"
    assert written["dtype"] == "float16"
    assert list(written["id2label"].values()) == list(LABEL_IDS)


@pytest.mark.parametrize("scale", [0.01, 1.0, 20.0, 100.0])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("apart", [-1.0, 0.0, 3.0])
def test_calibration_never_makes_it_worse(scale: float, share: float, apart: float) -> None:
    """Logits however large, wrong, separated or of one side only: it ends, finite, with no more loss than before."""
    generator = torch.Generator().manual_seed(4)
    targets = (torch.rand(300, generator=generator) < share).float()
    logits = (torch.randn(300, generator=generator) + apart * (2 * targets - 1)) * scale
    slope, intercept = calibrate.platt(logits, targets)
    assert math.isfinite(slope)
    assert math.isfinite(intercept)
    assert slope > 0
    before, after = (float(training._loss(x, targets)) for x in (logits, logits * slope + intercept))
    assert after <= before + 1e-3


def test_a_new_head_starts_from_what_the_features_tell(checkpoint: Path) -> None:
    """The pooler's features get one scale whatever they had, and the head knows the posts before the first step."""
    model = training._model(checkpoint)
    with torch.no_grad():  # all texts in nearly one direction, as sentence encoders have it
        model.bert.pooler.dense.weight.mul_(0.01)
        model.bert.pooler.dense.bias.add_(3.0)
    tokenizer = checkpoint_files.tokenizer(checkpoint)
    texts = [(word * 3, float(word == "死ね")) for word in ("死ね", "今日") for _ in range(20)]
    rows = [(tokenizer.tokenize(text).ids, [insult, *[0.0] * 7]) for text, insult in texts]
    before = training._loss(*training._logits(model, tokenizer, rows)).item()
    training._start_head(model, tokenizer, rows, Recipe())
    logits, targets = training._logits(model, tokenizer, rows)
    assert training._loss(logits, targets).item() < before / 3
    assert float(logits[targets[:, 0] > 0, 0].min()) > float(logits[targets[:, 0] == 0, 0].max())


def test_a_base_that_knows_the_labels_keeps_its_head(checkpoint: Path, tmp_path: Path) -> None:
    assert training._labels_of(checkpoint) == list(LABEL_IDS)
    other = checkpoints.copy(checkpoint, tmp_path / "other")
    checkpoints.change_json(other / "config.json", id2label={str(i): f"LABEL_{i}" for i in range(8)})
    assert training._labels_of(other) is None
