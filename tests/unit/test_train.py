"""Fine-tuning on a tiny BERT and a few toy posts: what is written can be used, comes out again, and survives a cut."""

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from models import calibrate
from models import train as training
from models.checkpoint import CheckpointError, load
from models.classifier import Classifier
from models.data import DataError, LabelledPost, read
from models.evaluate import evaluate
from models.labels import LABEL_IDS
from models.train import Recipe, train
from tests.unit import checkpoints

RECIPE = Recipe(seed=3, epochs=4, batch=8, rate=1e-3)
WRITTEN = {
    "config.json",
    "model.safetensors",
    "vocab.txt",
    "tokenizer_config.json",
    "thresholds.json",
    "calibration.json",
    "training.json",
}


def toy_posts(path: Path, count: int = 60) -> Path:
    """Insults all hold 死ね, distress 死にたい; twelve batches of five."""
    rng = random.Random(2)
    path.mkdir()
    for i in range(count):
        label, word = [("insult", "死ね"), ("distress", "もう死にたい"), (None, "今日はいい天気")][i % 3]
        text = "".join(rng.choices("あいうえおかきくけこ", k=4)) + word + rng.choice(["。", "!", ""])
        row = {"text": text, "labels": [label] if label else []}
        with (path / f"toy-{i // 5:02}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
    return path


@pytest.fixture(scope="module")
def posts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_posts(tmp_path_factory.mktemp("posts") / "toy")


@pytest.fixture(scope="module")
def trained(checkpoint: Path, posts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One uninterrupted run."""
    out = tmp_path_factory.mktemp("trained") / "out"
    train(checkpoint, posts, out, RECIPE)
    return out


def same_files(one: Path, other: Path) -> None:
    assert {path.name for path in one.iterdir()} == {path.name for path in other.iterdir()}
    weights, others = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    assert weights.keys() == others.keys()
    for name, tensor in weights.items():
        assert torch.equal(tensor, others[name]), name
    for name in ("thresholds.json", "calibration.json", "training.json", "config.json"):
        assert (one / name).read_text("utf-8") == (other / name).read_text("utf-8"), name


def test_what_is_written_is_a_checkpoint(trained: Path, checkpoint: Path) -> None:
    assert {path.name for path in trained.iterdir()} == WRITTEN
    weights = load_file(trained / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}
    figures = json.loads((trained / "training.json").read_text("utf-8"))
    assert figures["posts"] == {"train": 55, "validation": 5, "readings": 55}
    assert figures["recipe"]["seed"] == 3
    assert figures["base"] == checkpoint.name
    assert load(trained).labels == LABEL_IDS
    (found,) = Classifier.load(trained, torch.float32).classify(["死ね"])
    assert set(found.scores) == set(LABEL_IDS)


def test_transformers_reads_it_too(trained: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(str(trained), dtype=torch.float32).eval()
    assert type(model).__name__ == "BertForSequenceClassification"
    assert model.config.problem_type == "multi_label_classification"
    encoded = AutoTokenizer.from_pretrained(str(trained))("今日はいい天気", return_tensors="pt")
    with torch.inference_mode():
        scores = torch.sigmoid(model(**encoded).logits)[0].tolist()
    calibration = load(trained).calibration
    assert [model.config.id2label[i] for i in range(len(LABEL_IDS))] == list(LABEL_IDS)
    assert len(scores) == len(calibration)


def test_it_learns(checkpoint: Path, posts: Path, tmp_path: Path) -> None:
    """Calibrated on five posts no score means much, but the posts must come in the right order."""
    train(checkpoint, posts, tmp_path / "out", Recipe(seed=3, epochs=20, batch=8, rate=3e-3, patience=20))
    report = evaluate(Classifier.load(tmp_path / "out", torch.float32), read(posts))
    before = evaluate(Classifier.load(checkpoint, torch.float32), read(posts))
    for label in ("insult", "distress"):
        assert before["labels"][label]["average_precision"] < 0.8
        assert report["labels"][label]["average_precision"] > 0.9


def test_the_seed_makes_it_come_out_again(trained: Path, checkpoint: Path, posts: Path, tmp_path: Path) -> None:
    torch.manual_seed(99)
    random.seed(99)
    train(checkpoint, posts, tmp_path / "again", RECIPE)
    same_files(tmp_path / "again", trained)
    train(checkpoint, posts, tmp_path / "other", Recipe(seed=4, epochs=4, batch=8, rate=1e-3))
    one, other = (load_file(d / "model.safetensors")["classifier.weight"] for d in (trained, tmp_path / "other"))
    assert not torch.equal(one, other)


class Cut(Exception):
    """The process died."""


def cut_in(monkeypatch: pytest.MonkeyPatch, epoch: int, *, step: int = 0) -> None:
    """Die in `epoch` (from 1) before its batch `step`."""

    def dying(batches: list[Any], desc: str, **_: Any) -> Iterable[Any]:
        for i, batch in enumerate(batches):
            if desc.startswith(f"epoch {epoch}/") and i == step:
                raise Cut
            yield batch

    monkeypatch.setattr(training, "tqdm", dying)


@pytest.mark.parametrize(("epoch", "step"), [(1, 2), (2, 0), (3, 4), (4, 0)])
def test_a_cut_changes_nothing(
    trained: Path,
    checkpoint: Path,
    posts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    epoch: int,
    step: int,
) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        cut_in(patch, epoch, step=step)
        with pytest.raises(Cut):
            train(checkpoint, posts, out, RECIPE)
    assert (out / "training.pt").exists() == (epoch > 1)
    assert not (out / "model.safetensors").exists()
    seen = []

    def watching(batches: list[Any], desc: str, **_: Any) -> Iterable[Any]:
        seen.append(desc)
        return iter(batches)

    monkeypatch.setattr(training, "tqdm", watching)
    torch.manual_seed(7)
    train(checkpoint, posts, out, RECIPE)
    assert seen == [f"epoch {i}/4" for i in range(epoch, 5)]
    same_files(out, trained)


def test_a_cut_after_the_last_epoch_changes_nothing(
    trained: Path, checkpoint: Path, posts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dying(*_: object) -> None:
        raise Cut

    with monkeypatch.context() as patch:
        patch.setattr(calibrate, "platt", dying)
        with pytest.raises(Cut):
            train(checkpoint, posts, tmp_path / "out", RECIPE)
    train(checkpoint, posts, tmp_path / "out", RECIPE)
    same_files(tmp_path / "out", trained)


def test_patience_survives_a_cut(
    checkpoint: Path, posts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a rate that only does harm, training stops after `patience` epochs, cut or not."""
    recipe = Recipe(seed=3, epochs=9, batch=8, rate=0.5, warm_up=0.0, patience=2)
    train(checkpoint, posts, tmp_path / "whole", recipe)
    with monkeypatch.context() as patch:
        patch.setattr(calibrate, "platt", lambda *_: (_ for _ in ()).throw(Cut()))
        with pytest.raises(Cut):
            train(checkpoint, posts, tmp_path / "cut", recipe)
    with monkeypatch.context() as patch:
        patch.setattr(training, "tqdm", None)  # not one epoch more: it had waited long enough before the cut
        train(checkpoint, posts, tmp_path / "cut", recipe)
    same_files(tmp_path / "cut", tmp_path / "whole")


def test_a_state_of_another_training_is_refused(
    checkpoint: Path, posts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of one recipe and half of another would be no recipe's outcome."""
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        cut_in(patch, 3)
        with pytest.raises(Cut):
            train(checkpoint, posts, out, RECIPE)
    for recipe in (Recipe(seed=4, epochs=4, batch=8, rate=1e-3), Recipe(seed=3, epochs=8, batch=8, rate=1e-3)):
        with pytest.raises(CheckpointError, match=r"training\.pt: .*remove it"):
            train(checkpoint, posts, out, recipe)
    with pytest.raises(CheckpointError, match=r"training\.pt: .*remove it"):
        train(checkpoint, toy_posts(tmp_path / "more", 80), out, RECIPE)
    with pytest.raises(CheckpointError, match=r"training\.pt: .*remove it"):
        train(checkpoints.make(tmp_path / "other", seed=2), posts, out, RECIPE)
    (out / "training.pt").write_bytes(b"cut short")
    with pytest.raises(CheckpointError, match=r"training\.pt: .*remove it"):
        train(checkpoint, posts, out, RECIPE)


def test_a_checkpoint_is_trained_on_with_its_own_label_order(checkpoint: Path, tmp_path: Path) -> None:
    """Rows of the head go with their labels, not with their numbers."""
    order = LABEL_IDS[3:] + LABEL_IDS[:3]
    copy = checkpoints.copy(checkpoint, tmp_path / "c")
    checkpoints.change_json(
        copy / "config.json",
        id2label={str(i): label for i, label in enumerate(order)},
        label2id={label: i for i, label in enumerate(order)},
    )
    head = load_file(copy / "model.safetensors")["classifier.weight"]
    found = training._model(copy).classifier.weight
    for i, label in enumerate(LABEL_IDS):
        assert torch.equal(found[i], head[order.index(label)])


def test_a_bare_encoder_gets_a_new_head(checkpoint: Path, posts: Path, tmp_path: Path) -> None:
    from transformers import BertModel

    from models.transplant import save_tokenizer

    bare = tmp_path / "bare"
    BertModel.from_pretrained(str(checkpoint)).save_pretrained(str(bare))
    save_tokenizer(bare, list(checkpoints.VOCABULARY))
    train(bare, posts, tmp_path / "out", Recipe(epochs=1))
    assert load(tmp_path / "out").labels == LABEL_IDS


def test_the_base_may_be_the_place_to_write(checkpoint: Path, posts: Path, tmp_path: Path) -> None:
    copy = checkpoints.copy(checkpoint, tmp_path / "c")
    train(copy, posts, copy, Recipe(epochs=1))
    assert load_file(copy / "model.safetensors")["classifier.weight"].dtype == torch.float16
    Classifier.load(copy)


def test_real_posts_of_the_test_side_are_left_out(checkpoint: Path, posts: Path, tmp_path: Path) -> None:
    sides = {"train": 4, "validation": 3, "test": 5}
    real = [LabelledPost(f"本物{i}", frozenset(), f"real-{side}") for side, n in sides.items() for i in range(n)]
    figures = train(checkpoint, posts, tmp_path / "out", Recipe(epochs=1), real)
    assert (figures["posts"]["train"], figures["posts"]["validation"]) == (55 + 4, 5 + 3)


def test_what_cannot_be_trained_on(checkpoint: Path, posts: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none/config\.json: missing"):
        train(tmp_path / "none", posts, tmp_path / "out", RECIPE)
    copy = checkpoints.copy(checkpoint, tmp_path / "c")
    (copy / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match="no BERT directory"):
        train(copy, posts, tmp_path / "out", RECIPE)
    with pytest.raises(DataError, match="cannot be read"):
        train(checkpoint, tmp_path / "none.jsonl", tmp_path / "out", RECIPE)
    (tmp_path / "one.jsonl").write_text('{"text": "あ", "labels": []}\n', "utf-8")
    with pytest.raises(DataError, match="one side has none"):
        train(checkpoint, tmp_path / "one.jsonl", tmp_path / "out", RECIPE)


def test_the_rate_warms_up_and_ends_at_nothing() -> None:
    recipe = Recipe(rate=1.0, warm_up=0.1)
    rates = [recipe.rate_at(step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == 1.0
    assert rates[55] == pytest.approx(0.5)
    assert rates[99] == pytest.approx(1 / 90)
    assert recipe.rate_at(0, 1) > 0
