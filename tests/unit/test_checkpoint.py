"""A checkpoint directory is read as written, and one that is broken says which file of it is wrong."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from models import checkpoint as checkpoints_module
from models.checkpoint import CheckpointError, load
from models.classifier import Classifier
from models.encoder import Encoder
from models.labels import LABEL_IDS
from tests.unit import checkpoints

Break = Callable[[Path], object]
HEAD = "classifier.weight"


def test_defaults_of_a_plain_hugging_face_directory(checkpoint: Path) -> None:
    found = load(checkpoint)
    assert found.labels == LABEL_IDS
    assert found.thresholds == dict.fromkeys(LABEL_IDS, 0.5)
    assert found.calibration == dict.fromkeys(LABEL_IDS, (1.0, 0.0))
    assert found.max_tokens == checkpoints.POSITIONS
    assert found.weights == checkpoint / "model.safetensors"


def test_thresholds_and_calibration_are_read_and_what_is_left_out_has_defaults(
    checkpoint: Path, tmp_path: Path
) -> None:
    copy = checkpoints.copy(
        checkpoint, tmp_path / "c", thresholds={"insult": 0.31}, calibration={"distress": [2, -1], "threat": [0.5, 0.0]}
    )
    found = load(copy)
    assert found.thresholds == {**dict.fromkeys(LABEL_IDS, 0.5), "insult": 0.31}
    assert found.calibration == {
        **dict.fromkeys(LABEL_IDS, (1.0, 0.0)),
        "distress": (2.0, -1.0),
        "threat": (0.5, 0.0),
    }


def test_labels_may_stand_in_any_order(checkpoint: Path, tmp_path: Path) -> None:
    copy = checkpoints.copy(checkpoint, tmp_path / "c")
    order = LABEL_IDS[3:] + LABEL_IDS[:3]
    numbered = list(enumerate(order))
    checkpoints.change_json(copy / "config.json", id2label={str(i): label for i, label in reversed(numbered)})
    assert load(copy).labels == order


def test_version_is_name_and_content(checkpoint: Path, tmp_path: Path) -> None:
    same = checkpoints.copy(checkpoint, tmp_path / "here" / checkpoint.name)
    version = load(checkpoint).version
    assert version.startswith(f"{checkpoint.name}-")
    assert load(same).version == version
    (same / "README.md").write_text("for people", "utf-8")
    (same / "training.json").write_text("{}", "utf-8")
    assert load(same).version == version, "what changes no score changes no version"


def _replaced_weight(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    save_file(weights | {HEAD: weights[HEAD] + 1}, copy / "model.safetensors")


@pytest.mark.parametrize(
    "change",
    [
        _replaced_weight,
        lambda d: (d / "vocab.txt").write_text((d / "vocab.txt").read_text("utf-8")[:-1] + "x\n", "utf-8"),
        lambda d: checkpoints.change_json(d / "tokenizer_config.json", do_lower_case=False),
        lambda d: checkpoints.change_json(d / "config.json", layer_norm_eps=1e-6),
        lambda d: (d / "thresholds.json").write_text('{"insult": 0.4}', "utf-8"),
        lambda d: (d / "calibration.json").write_text('{"insult": [2, 0]}', "utf-8"),
        lambda d: (d / "added_tokens.json").write_text("{}", "utf-8"),
    ],
    ids=["weights", "vocabulary", "tokenizer", "config", "thresholds", "calibration", "added tokens"],
)
def test_whatever_changes_scores_changes_the_version(checkpoint: Path, tmp_path: Path, change: Break) -> None:
    copy = checkpoints.copy(checkpoint, tmp_path / checkpoint.name)
    change(copy)
    assert load(copy).version != load(checkpoint).version


def _config(**changes: object) -> Break:
    return lambda directory: checkpoints.change_json(directory / "config.json", **changes)


def _tokenizer(**changes: object) -> Break:
    return lambda directory: checkpoints.change_json(directory / "tokenizer_config.json", **changes)


def _text(name: str, content: str) -> Break:
    return lambda directory: (directory / name).write_text(content, "utf-8")


def _bytes(name: str, content: bytes) -> Break:
    return lambda directory: (directory / name).write_bytes(content)


def _missing(name: str) -> Break:
    return lambda directory: (directory / name).unlink()


def _cut(directory: Path) -> None:
    raw = (directory / "model.safetensors").read_bytes()
    (directory / "model.safetensors").write_bytes(raw[: len(raw) // 2])


def _tensor(name: str, change: Callable[[torch.Tensor], torch.Tensor] | None) -> Break:
    def broken(directory: Path) -> None:
        weights = load_file(directory / "model.safetensors")
        tensor = weights.pop(name)
        if change is not None:
            weights[name] = change(tensor).contiguous()
        save_file(weights, directory / "model.safetensors")

    return broken


def _with(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    def change(tensor: torch.Tensor) -> torch.Tensor:
        tensor = tensor.clone()
        tensor.view(-1)[-1] = value
        return tensor

    return change


def _more_words(directory: Path) -> None:
    with (directory / "vocab.txt").open("a", encoding="utf-8") as vocabulary:
        vocabulary.write("余\n")


IDS = {str(i): label for i, label in enumerate(LABEL_IDS)}
BROKEN: dict[str, tuple[Break, str, str]] = {
    # what: (how it is broken, the file that is named, what is said of it)
    "no config": (_missing("config.json"), "config.json", "missing"),
    "config is no JSON": (_text("config.json", "{nope"), "config.json", "cannot be read"),
    "config is a list": (_text("config.json", "[]"), "config.json", "not a JSON object"),
    "config is no UTF-8": (_bytes("config.json", b'{"a": "\xff"}'), "config.json", "cannot be read"),
    "roberta": (_config(model_type="roberta"), "config.json", "model_type is 'roberta'"),
    "no model type": (_config(model_type=None), "config.json", "model_type is None"),
    "other activation": (_config(hidden_act="gelu_new"), "config.json", "hidden_act is 'gelu_new'"),
    "relative positions": (
        _config(position_embedding_type="relative_key"),
        "config.json",
        "position_embedding_type is 'relative_key'",
    ),
    "no hidden size": (_config(hidden_size=None), "config.json", "hidden_size"),
    "heads are text": (_config(num_attention_heads="four"), "config.json", "num_attention_heads"),
    "heads do not divide": (_config(num_attention_heads=5), "config.json", "multiple of num_attention_heads"),
    "no layers": (_config(num_hidden_layers=0), "config.json", "num_hidden_layers"),
    "two positions": (_config(max_position_embeddings=2), "config.json", "max_position_embeddings"),
    "epsilon is text": (_config(layer_norm_eps="tiny"), "config.json", "layer_norm_eps"),
    "no labels": (_config(id2label=None), "config.json", "missing: crime_aid, defamation"),
    "numbered labels": (
        _config(id2label={str(i): f"LABEL_{i}" for i in range(8)}),
        "config.json",
        "unknown: LABEL_0",
    ),
    "a label less": (_config(id2label={k: v for k, v in IDS.items() if v != "obscene"}), "config.json", "obscene"),
    "a label twice": (_config(id2label={**IDS, "8": "insult"}), "config.json", "each once"),
    "labels are a list": (_config(id2label=list(LABEL_IDS)), "config.json", "id2label"),
    "labels from one": (
        _config(id2label={str(i): label for i, label in enumerate(LABEL_IDS, 1)}),
        "config.json",
        "numbers the labels from 0",
    ),
    "no weights": (_missing("model.safetensors"), "model.safetensors", "missing"),
    "weights cut short": (_cut, "model.safetensors", "not a readable safetensors file"),
    "weights empty": (_bytes("model.safetensors", b""), "model.safetensors", "not a readable safetensors file"),
    "weights are a pickle": (
        _bytes("model.safetensors", b"PK\x03\x04" + b"\0" * 100),
        "model.safetensors",
        "not a readable safetensors file",
    ),
    "no head": (_tensor(HEAD, None), "model.safetensors", f"{HEAD} is missing"),
    "no norm": (
        _tensor("bert.encoder.layer.1.output.LayerNorm.bias", None),
        "model.safetensors",
        "layer.1.output.LayerNorm.bias is missing",
    ),
    "a layer more in config": (_config(num_hidden_layers=3), "model.safetensors", "bert.encoder.layer.2"),
    "wrong shape": (_tensor(HEAD, lambda t: t[:7]), "model.safetensors", f"{HEAD} is (7, 32), expected (8, 32)"),
    "turned": (
        _tensor("bert.encoder.layer.0.intermediate.dense.weight", lambda t: t.T),
        "model.safetensors",
        "is (32, 48), expected (48, 32)",
    ),
    "not a number": (
        _tensor("bert.encoder.layer.0.attention.self.key.weight", _with(float("nan"))),
        "model.safetensors",
        "layer.0.attention.self.key.weight holds a value that is not finite",
    ),
    "infinite": (
        _tensor("bert.embeddings.word_embeddings.weight", _with(float("inf"))),
        "model.safetensors",
        "not finite",
    ),
    "no vocabulary": (_missing("vocab.txt"), "vocab.txt", "missing"),
    "vocabulary is no UTF-8": (_bytes("vocab.txt", b"[PAD]\n\xff\xfe\n"), "vocab.txt", "UnicodeDecodeError"),
    "vocabulary without [CLS]": (_text("vocab.txt", "[PAD]\n[UNK]\n[SEP]\nあ\n"), "vocab.txt", "lacks [CLS]"),
    "more words than embeddings": (_more_words, "vocab.txt", f"knows {len(checkpoints.VOCABULARY) + 1} tokens"),
    "no tokenizer config": (_missing("tokenizer_config.json"), "tokenizer_config.json", "missing"),
    "tokenizer config is no JSON": (_text("tokenizer_config.json", "{"), "tokenizer_config.json", "cannot be read"),
    "tokenizer config is odd": (_tokenizer(mecab_kwargs="unidic"), "tokenizer_config.json", "AttributeError"),
    "word tokenizer that is not installed": (
        _tokenizer(word_tokenizer_type="sudachi"),
        "tokenizer_config.json",
        "no tokenizer",
    ),
    "word tokenizer that is not known": (_tokenizer(word_tokenizer_type="magic"), "tokenizer_config.json", "magic"),
    "threshold of nothing": (_text("thresholds.json", '{"spam": 0.5}'), "thresholds.json", "'spam'"),
    "threshold over 1": (_text("thresholds.json", '{"insult": 1.2}'), "thresholds.json", "'insult'"),
    "threshold 0": (_text("thresholds.json", '{"insult": 0}'), "thresholds.json", "'insult'"),
    "threshold true": (_text("thresholds.json", '{"insult": true}'), "thresholds.json", "'insult'"),
    "threshold NaN": (_text("thresholds.json", '{"insult": NaN}'), "thresholds.json", "'insult'"),
    "threshold is text": (_text("thresholds.json", '{"insult": "0.5"}'), "thresholds.json", "'insult'"),
    "thresholds are a list": (_text("thresholds.json", "[0.5]"), "thresholds.json", "not a JSON object"),
    "calibration of nothing": (_text("calibration.json", '{"spam": [1, 0]}'), "calibration.json", "'spam'"),
    "calibration one number": (_text("calibration.json", '{"insult": 1}'), "calibration.json", "'insult'"),
    "calibration three numbers": (_text("calibration.json", '{"insult": [1, 0, 0]}'), "calibration.json", "'insult'"),
    "calibration is text": (_text("calibration.json", '{"insult": ["1", "0"]}'), "calibration.json", "'insult'"),
    "calibration turns around": (_text("calibration.json", '{"insult": [-1, 0]}'), "calibration.json", "'insult'"),
    "calibration NaN": (_text("calibration.json", '{"insult": [1, NaN]}'), "calibration.json", "'insult'"),
    "calibration cut short": (_text("calibration.json", '{"insult": [1,'), "calibration.json", "cannot be read"),
}


@pytest.mark.parametrize(("change", "file", "said"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_directory_names_the_file(
    checkpoint: Path, tmp_path: Path, change: Break, file: str, said: str
) -> None:
    copy = checkpoints.copy(checkpoint, tmp_path / "broken")
    change(copy)
    with pytest.raises(CheckpointError) as raised:
        Classifier.load(copy, torch.float32)
    message = str(raised.value)
    assert str(copy) in message
    assert file in message
    assert said in message
    assert "\n" not in message


def test_no_directory(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="none: no such checkpoint directory"):
        load(tmp_path / "none")
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(CheckpointError, match="file: no such checkpoint directory"):
        load(tmp_path / "file")


def test_weights_that_overflow_are_an_error_and_not_harmless_posts(checkpoint: Path, tmp_path: Path) -> None:
    copy = checkpoints.copy(checkpoint, tmp_path / "c")
    _tensor("bert.encoder.layer.1.output.dense.weight", lambda t: t * 1e38)(copy)
    classifier = Classifier.load(copy, torch.float32)
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        classifier.classify(["今日はいい天気"])


def test_the_shipped_checkpoint_is_whole() -> None:
    shipped = load(checkpoints_module.SHIPPED)
    Encoder.load(shipped, torch.float32)
    assert shipped.labels == LABEL_IDS
    assert set(json.loads((shipped.directory / "thresholds.json").read_text("utf-8"))) == set(LABEL_IDS)
