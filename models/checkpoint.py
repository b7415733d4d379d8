"""A checkpoint directory: what has to be in it, and what is read from it.

    config.json              a Hugging Face BERT config; id2label names the labels, in any order
    model.safetensors        BertForSequenceClassification's weights, fp32, fp16 or bf16
    vocab.txt, tokenizer_config.json   or what another tokenizer needs
    thresholds.json          {label: operating point}; absent: 0.5 each
    calibration.json         {label: [slope, intercept]} of the logit; absent: [1, 0] each
    training.json, README.md how it was made, and the model card; for people

Any directory that `BertForSequenceClassification.save_pretrained` wrote, with the labels of models.labels, will do.
"""

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from models.labels import LABEL_IDS
from models.tokenizer import JapaneseTokenizer, TransformersTokenizer, load_tokenizer

SHIPPED: Final = Path(__file__).parent / "checkpoints" / "default"
_TOKENIZER_FILES: Final = ("vocab.txt", "tokenizer.json", "spiece.model", "spm.model")
_VERSION_FILES: Final = (
    "config.json",
    "model.safetensors",
    *_TOKENIZER_FILES,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "thresholds.json",
    "calibration.json",
)
_VERSION_CHARACTERS: Final = 12
_SIZES: Final = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
)
_FEWEST_POSITIONS: Final = 3  # [CLS], one token, [SEP]


class CheckpointError(ValueError):
    """The directory is no checkpoint that mimamori can use; the message names the file and what is wrong."""


@dataclass(frozen=True)
class Checkpoint:
    """The small files of a checkpoint; the weights are read by models.encoder."""

    directory: Path
    config: dict[str, Any]
    labels: tuple[str, ...]
    thresholds: dict[str, float]
    calibration: dict[str, tuple[float, float]]
    version: str

    @property
    def weights(self) -> Path:
        """The safetensors file."""
        return self.directory / "model.safetensors"

    @property
    def max_tokens(self) -> int:
        """Longest sequence, special tokens included."""
        return int(self.config["max_position_embeddings"])


def load(directory: Path) -> Checkpoint:
    """Read and check everything but the weights."""
    if not directory.is_dir():
        raise CheckpointError(f"{directory}: no such checkpoint directory")
    config = read_config(directory)
    labels = _labels(directory / "config.json", config)
    if not (directory / "model.safetensors").is_file():
        raise CheckpointError(f"{directory / 'model.safetensors'}: missing (weights must be safetensors)")
    if not any((directory / name).is_file() for name in _TOKENIZER_FILES):
        raise CheckpointError(f"{directory / 'vocab.txt'}: missing")
    _json(directory / "tokenizer_config.json")
    return Checkpoint(
        directory=directory,
        config=config,
        labels=labels,
        thresholds=_thresholds(directory / "thresholds.json"),
        calibration=_calibration(directory / "calibration.json"),
        version=_version(directory),
    )


def read_config(directory: Path) -> dict[str, Any]:
    """config.json, if it is that of a BERT that models.encoder can run."""
    path = directory / "config.json"
    config = _json(path)
    for name, only, default in (
        ("model_type", "bert", None),
        ("hidden_act", "gelu", "gelu"),
        ("position_embedding_type", "absolute", "absolute"),
    ):
        if config.get(name, default) != only:
            raise CheckpointError(f"{path}: {name} is {config.get(name)!r}, not {only!r}")
    for name in _SIZES:
        if not isinstance(config.get(name), int) or config[name] < 1:
            raise CheckpointError(f"{path}: {name} must be a whole number of 1 or more")
    if config["hidden_size"] % config["num_attention_heads"]:
        raise CheckpointError(f"{path}: hidden_size must be a multiple of num_attention_heads")
    if config["max_position_embeddings"] < _FEWEST_POSITIONS:
        raise CheckpointError(f"{path}: max_position_embeddings must be {_FEWEST_POSITIONS} or more")
    if not isinstance(config.get("layer_norm_eps", 1e-12), float):
        raise CheckpointError(f"{path}: layer_norm_eps must be a number")
    return config


def tokenizer(directory: Path) -> JapaneseTokenizer | TransformersTokenizer:
    """The directory's tokenizer; CheckpointError for whatever stands in its way."""
    try:
        return load_tokenizer(directory)
    except Exception as error:  # transformers, and what a tokenizer needs besides it, raise errors of every kind
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise CheckpointError(f"{directory}: tokenizer_config.json, vocab.txt: no tokenizer: {reason}") from error


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path}: missing") from None
    except (ValueError, OSError) as error:
        raise CheckpointError(f"{path}: cannot be read: {type(error).__name__}") from None
    if not isinstance(found, dict):
        raise CheckpointError(f"{path}: not a JSON object")
    return found


def _labels(path: Path, config: dict[str, Any]) -> tuple[str, ...]:
    id2label = config.get("id2label") or {}
    if not isinstance(id2label, dict) or set(id2label) != {str(i) for i in range(len(id2label))}:
        raise CheckpointError(f"{path}: id2label must be an object that numbers the labels from 0")
    labels = tuple(str(id2label[str(i)]) for i in range(len(id2label)))
    missing, unknown = set(LABEL_IDS) - set(labels), set(labels) - set(LABEL_IDS)
    if missing or unknown or len(labels) != len(LABEL_IDS):
        raise CheckpointError(
            f"{path}: id2label must name the labels {', '.join(LABEL_IDS)}, each once"
            + (f"; missing: {', '.join(sorted(missing))}" if missing else "")
            + (f"; unknown: {', '.join(sorted(unknown))}" if unknown else "")
        )
    return labels


def _thresholds(path: Path) -> dict[str, float]:
    found = _json(path) if path.exists() else {}
    for label, value in found.items():
        if label not in LABEL_IDS or not isinstance(value, int | float) or not 0 < value < 1:
            raise CheckpointError(f"{path}: {label!r} must be a label with a number between 0 and 1")
    return {label: float(found.get(label, 0.5)) for label in LABEL_IDS}


def _calibration(path: Path) -> dict[str, tuple[float, float]]:
    found = _json(path) if path.exists() else {}
    result = dict.fromkeys(LABEL_IDS, (1.0, 0.0))
    for label, value in found.items():
        numbers = isinstance(value, list) and all(isinstance(number, int | float) for number in value)
        if label not in result or not numbers or len(value) != 2 or not all(map(math.isfinite, value)) or value[0] <= 0:
            raise CheckpointError(f"{path}: {label!r} must be a label with [positive slope, intercept]")
        result[label] = (float(value[0]), float(value[1]))
    return result


def _version(directory: Path) -> str:
    digest = hashlib.sha256()
    for name in _VERSION_FILES:
        path = directory / name
        if path.is_file():
            digest.update(name.encode())
            digest.update(path.read_bytes())
    return f"{directory.name}-{digest.hexdigest()[:_VERSION_CHARACTERS]}"
