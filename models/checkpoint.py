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

SHIPPED: Final = Path(__file__).parent / "checkpoints" / "default"
_TOKENIZER_FILES: Final = ("vocab.txt", "tokenizer.json", "spiece.model", "spm.model")
_VERSION_FILES: Final = (
    "config.json",
    "model.safetensors",
    *_TOKENIZER_FILES,
    "tokenizer_config.json",
    "thresholds.json",
    "calibration.json",
)
_VERSION_CHARACTERS: Final = 12


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
    config = _json(directory / "config.json")
    if config.get("model_type") != "bert":
        raise CheckpointError(f"{directory / 'config.json'}: model_type is {config.get('model_type')!r}, not 'bert'")
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
    labels = tuple(str(id2label[key]) for key in sorted(id2label, key=int))
    missing, unknown = set(LABEL_IDS) - set(labels), set(labels) - set(LABEL_IDS)
    if missing or unknown:
        raise CheckpointError(
            f"{path}: id2label must name the labels {', '.join(LABEL_IDS)}"
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
    result = {}
    for label in LABEL_IDS:
        slope, intercept = found.get(label, (1.0, 0.0))
        if not (math.isfinite(slope) and math.isfinite(intercept) and slope > 0):
            raise CheckpointError(f"{path}: {label!r} must be [positive slope, intercept]")
        result[label] = (float(slope), float(intercept))
    return result


def _version(directory: Path) -> str:
    digest = hashlib.sha256()
    for name in _VERSION_FILES:
        path = directory / name
        if path.exists():
            digest.update(name.encode())
            digest.update(path.read_bytes())
    return f"{directory.name}-{digest.hexdigest()[:_VERSION_CHARACTERS]}"
