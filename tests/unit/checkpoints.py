"""A tiny checkpoint for tests: a real BertForSequenceClassification with random weights, written by `transformers`.

Two layers of 32, 128 positions, the labels of models.labels. Its scores mean nothing but differ from text to text.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from models.labels import LABEL_IDS
from models.transplant import SPECIAL, save_tokenizer

POSITIONS: Final = 128
_KANA: Final = "".join(chr(code) for code in (*range(0x3041, 0x3097), *range(0x30A1, 0x30FB))) + "ー"
_KANJI: Final = "死殺自他人一緒店長今日天気良明行来見言思食飯横浜市田中村公園電話番号住所会社嫌消氏誌"
_OTHER: Final = "abcdefghijklmnopqrstuvwxyz0123456789!?。、・#@:/.ー〜()「」😂💀🔪"
_CHARACTERS: Final = tuple(dict.fromkeys(_KANA + _KANJI + _OTHER))
_WORDS: Final = tuple("死ね 自殺 一緒 今日 天気 店長 横浜 死に たい です ます いい なら よう".split())
VOCABULARY: Final = (*SPECIAL, *_CHARACTERS, *(f"##{char}" for char in _CHARACTERS), *_WORDS)


def make(directory: Path, labels: Sequence[str] = LABEL_IDS, seed: int = 1, **config: Any) -> Path:
    """Write the checkpoint; `labels` is the order of the head's outputs, `config` changes the BertConfig."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(seed)
    settings = {
        "vocab_size": len(VOCABULARY),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "max_position_embeddings": POSITIONS,
        "initializer_range": 0.3,  # with the usual 0.02 every text gets the same scores
        "id2label": dict(enumerate(labels)),
        "label2id": {label: i for i, label in enumerate(labels)},
        "problem_type": "multi_label_classification",
    }
    model = BertForSequenceClassification(BertConfig(**{**settings, **config}))
    with torch.no_grad():  # fresh biases are zero and norms one, which would hide one left out
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter += torch.randn_like(parameter) * 0.1
    model.save_pretrained(str(directory))
    save_tokenizer(directory, list(VOCABULARY))
    return directory


def copy(checkpoint: Path, to: Path, **files: Any) -> Path:
    """A copy to change or break; `thresholds={…}` writes thresholds.json, and so on."""
    shutil.copytree(checkpoint, to)
    for name, content in files.items():
        (to / f"{name}.json").write_text(json.dumps(content), "utf-8")
    return to


def change_json(path: Path, **changes: Any) -> None:
    """Set fields of a JSON file; None removes one."""
    found = {**json.loads(path.read_text("utf-8")), **changes}
    path.write_text(json.dumps({name: value for name, value in found.items() if value is not None}), "utf-8")
