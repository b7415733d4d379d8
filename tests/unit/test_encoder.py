"""The plain forward pass against transformers' BertForSequenceClassification, to within rounding."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.checkpoint import load
from models.encoder import Encoder
from models.labels import LABEL_IDS
from tests.unit import checkpoints

SHAPES = [(1, 2), (1, 3), (2, 17), (5, 64), (3, checkpoints.POSITIONS)]


def close(found: torch.Tensor, expected: torch.Tensor, within: float = 1e-4) -> None:
    torch.testing.assert_close(found, expected, atol=within, rtol=0)


def theirs(directory: Path) -> Any:
    """The reference."""
    from transformers import BertForSequenceClassification

    return BertForSequenceClassification.from_pretrained(str(directory), dtype=torch.float32).eval()


def ours(directory: Path, dtype: torch.dtype = torch.float32) -> Encoder:
    return Encoder.load(load(directory), dtype)


def logits(encoder: Encoder, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return encoder.logits(encoder.embed(ids), mask)


def reference(model: Any, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = model(input_ids=ids, attention_mask=mask.long()).logits
    return found


def batch(rows: int, width: int, *, padded: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    """Random ids; rows get shorter from the first to the last, with the rest padded."""
    generator = torch.Generator().manual_seed(rows * 1_000 + width)
    ids = torch.randint(5, len(checkpoints.VOCABULARY), (rows, width), generator=generator)
    lengths = torch.tensor([max(2, width - 3 * i) if padded else width for i in range(rows)])
    mask = torch.arange(width)[None, :] < lengths[:, None]
    return ids.masked_fill(~mask, 0), mask


@pytest.mark.parametrize(("rows", "width"), SHAPES)
@pytest.mark.parametrize("padded", [False, True])
def test_logits_are_those_of_transformers(checkpoint: Path, rows: int, width: int, *, padded: bool) -> None:
    ids, mask = batch(rows, width, padded=padded)
    expected = reference(theirs(checkpoint), ids, mask)
    found = logits(ours(checkpoint), ids, mask)
    assert found.dtype == torch.float32
    assert found.shape == (rows, len(LABEL_IDS))
    close(found, expected)
    if rows > 1:
        assert float(expected.std(dim=0).min()) > 0.01, "rows that give the same would hide a mix-up"


@pytest.mark.parametrize(
    "config",
    [
        {"num_hidden_layers": 1, "num_attention_heads": 1},
        {"num_hidden_layers": 12, "num_attention_heads": 8, "initializer_range": 0.1},
        {"hidden_size": 48, "intermediate_size": 20, "num_attention_heads": 3},
        {"type_vocab_size": 1, "layer_norm_eps": 1e-2},
    ],
    ids=["one layer", "twelve layers", "narrow", "coarse norm"],
)
def test_any_size_of_bert(tmp_path: Path, config: dict[str, Any]) -> None:
    directory = checkpoints.make(tmp_path / "c", **config)
    ids, mask = batch(4, 23)
    close(logits(ours(directory), ids, mask), reference(theirs(directory), ids, mask))


def test_labels_in_another_order_keep_their_columns(tmp_path: Path) -> None:
    order = ("distress", "obscene", "threat", "insult", "crime_aid", "privacy", "defamation", "suicide_inducement")
    directory = checkpoints.make(tmp_path / "c", labels=order)
    checkpoint = load(directory)
    model = theirs(directory)
    ids, mask = batch(4, 23)
    found = logits(Encoder.load(checkpoint, torch.float32), ids, mask)
    expected = reference(model, ids, mask)
    for label in LABEL_IDS:
        column = model.config.label2id[label]
        close(found[:, checkpoint.labels.index(label)], expected[:, column])


def test_padding_moves_nothing(checkpoint: Path) -> None:
    encoder = ours(checkpoint)
    ids, mask = batch(1, 20)
    wider = torch.zeros((1, 90), dtype=torch.long)
    wider[:, :20] = ids
    wide_mask = torch.arange(90)[None, :] < 20
    close(logits(encoder, wider, wide_mask), logits(encoder, ids, mask), 1e-5)


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16])
def test_weights_may_be_stored_in_half(checkpoint: Path, tmp_path: Path, stored: torch.dtype) -> None:
    copy = checkpoints.copy(checkpoint, tmp_path / "c")
    weights = {name: tensor.to(stored) for name, tensor in load_file(copy / "model.safetensors").items()}
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    ids, mask = batch(4, 23)
    found = logits(ours(copy), ids, mask)
    close(found, reference(theirs(copy), ids, mask))
    assert not torch.allclose(found, logits(ours(checkpoint), ids, mask), atol=1e-6)


def test_bf16_is_near(checkpoint: Path) -> None:
    ids, mask = batch(5, 64)
    coarse, fine = logits(ours(checkpoint, torch.bfloat16), ids, mask), logits(ours(checkpoint), ids, mask)
    assert coarse.dtype == torch.float32
    assert float((torch.sigmoid(coarse) - torch.sigmoid(fine)).abs().max()) < 0.05


def test_position_ids_that_old_checkpoints_carry_are_no_matter(checkpoint: Path, tmp_path: Path) -> None:
    copy = checkpoints.copy(checkpoint, tmp_path / "c")
    weights = load_file(copy / "model.safetensors")
    weights["bert.embeddings.position_ids"] = torch.arange(checkpoints.POSITIONS)[None, :]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    ids, mask = batch(2, 9)
    close(logits(ours(copy), ids, mask), logits(ours(checkpoint), ids, mask), 0)
