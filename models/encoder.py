"""BertForSequenceClassification's forward pass in plain torch, for inference.

Why not `transformers` itself: importing its BERT costs 9 s more than importing torch, at every start of every worker,
and start-up counts against rebalances. tests/unit/test_encoder.py holds the two against each other. Not handled:
training, relative positions, activations other than GELU; models.checkpoint refuses them.
"""

from copy import copy
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file
from torch.nn.functional import embedding, gelu, layer_norm, linear, scaled_dot_product_attention

from models.checkpoint import Checkpoint, CheckpointError

_IGNORED: Final = ("bert.embeddings.position_ids",)


class Encoder:
    """Weights in one dtype; `logits` is the forward pass."""

    def __init__(self, config: dict[str, Any], weights: dict[str, torch.Tensor], dtype: torch.dtype) -> None:
        self.hidden = int(config["hidden_size"])
        self.heads = int(config["num_attention_heads"])
        self.layers = int(config["num_hidden_layers"])
        self.epsilon = float(config.get("layer_norm_eps", 1e-12))
        self.dtype = dtype
        self._weights = {name: tensor.to(dtype) for name, tensor in weights.items()}
        for i in range(self.layers):  # one matrix product for query, key and value
            for kind in ("weight", "bias"):
                parts = [self._weights.pop(f"{_layer(i)}attention.self.{p}.{kind}") for p in ("query", "key", "value")]
                self._weights[f"{_layer(i)}attention.self.qkv.{kind}"] = torch.cat(parts)

    @classmethod
    def load(cls, checkpoint: Checkpoint, dtype: torch.dtype) -> "Encoder":
        """Read the safetensors file and check that every tensor is there in the right shape."""
        config = checkpoint.config
        path = checkpoint.weights
        weights = _read(path)
        for name, shape in _shapes(config, len(checkpoint.labels)).items():
            if name not in weights:
                raise CheckpointError(f"{path}: tensor {name} is missing")
            if tuple(weights[name].shape) != shape:
                raise CheckpointError(f"{path}: tensor {name} is {tuple(weights[name].shape)}, expected {shape}")
            if not bool(torch.isfinite(weights[name]).all()):
                raise CheckpointError(f"{path}: tensor {name} holds a value that is not finite")
        return cls(config, weights, dtype)

    def to(self, dtype: torch.dtype) -> "Encoder":
        """The same weights in another dtype."""
        twin = copy(self)
        twin.dtype = dtype
        twin._weights = {name: tensor.to(dtype) for name, tensor in self._weights.items()}
        return twin

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Word embeddings, shape (rows, tokens, hidden): where gradients for explanations are taken."""
        return embedding(ids, self._weights["bert.embeddings.word_embeddings.weight"])

    def logits(self, words: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`words` from `embed`, `mask` (rows, tokens) bool, true where a token stands → fp32 (rows, labels)."""
        w = self._weights
        rows, tokens, _ = words.shape
        hidden = words + w["bert.embeddings.position_embeddings.weight"][:tokens]
        hidden = self._norm(hidden + w["bert.embeddings.token_type_embeddings.weight"][0], "bert.embeddings.")
        attended = mask[:, None, None, :]
        for i in range(self.layers):
            name = _layer(i)
            qkv = self._linear(hidden, f"{name}attention.self.qkv.")
            query, key, value = qkv.view(rows, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
            mixed = scaled_dot_product_attention(query, key, value, attn_mask=attended)
            mixed = mixed.transpose(1, 2).reshape(rows, tokens, self.hidden)
            mixed = self._linear(mixed, f"{name}attention.output.dense.")
            hidden = self._norm(mixed + hidden, f"{name}attention.output.")
            inner = gelu(self._linear(hidden, f"{name}intermediate.dense."))
            hidden = self._norm(self._linear(inner, f"{name}output.dense.") + hidden, f"{name}output.")
        pooled = torch.tanh(self._linear(hidden[:, 0], "bert.pooler.dense."))
        return self._linear(pooled, "classifier.").float()

    def _linear(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return linear(x, self._weights[f"{name}weight"], self._weights[f"{name}bias"])

    def _norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        weight, bias = self._weights[f"{name}LayerNorm.weight"], self._weights[f"{name}LayerNorm.bias"]
        return layer_norm(x, (self.hidden,), weight, bias, self.epsilon)


def _layer(i: int) -> str:
    return f"bert.encoder.layer.{i}."


def _read(path: Path) -> dict[str, torch.Tensor]:
    try:
        weights = load_file(path)
    except Exception as error:  # noqa: BLE001 # safetensors raises its own untyped error for a damaged file
        raise CheckpointError(f"{path}: not a readable safetensors file: {error}") from None
    return {name: tensor for name, tensor in weights.items() if name not in _IGNORED}


def _shapes(config: dict[str, Any], labels: int) -> dict[str, tuple[int, ...]]:
    hidden, inner, layers = config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"]
    shapes: dict[str, tuple[int, ...]] = {
        "bert.embeddings.word_embeddings.weight": (config["vocab_size"], hidden),
        "bert.embeddings.position_embeddings.weight": (config["max_position_embeddings"], hidden),
        "bert.embeddings.token_type_embeddings.weight": (config.get("type_vocab_size", 2), hidden),
    }
    norms, dense = (
        ["bert.embeddings.LayerNorm"],
        {"bert.pooler.dense": (hidden, hidden), "classifier": (labels, hidden)},
    )
    for i in range(layers):
        name = _layer(i)
        for part in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            dense[name + part] = (hidden, hidden)
        dense[name + "intermediate.dense"] = (inner, hidden)
        dense[name + "output.dense"] = (hidden, inner)
        norms += [name + "attention.output.LayerNorm", name + "output.LayerNorm"]
    for part, shape in dense.items():
        shapes |= {f"{part}.weight": shape, f"{part}.bias": shape[:1]}
    for part in norms:
        shapes |= {f"{part}.weight": (hidden,), f"{part}.bias": (hidden,)}
    return shapes
