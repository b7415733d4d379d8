"""Texts in, calibrated probabilities and the characters that carried them out.

    Step 1  normalise; where the canonical spelling differs from the plain one, both are read
    Step 2  words, WordPiece; texts longer than the model's positions are read in overlapping windows
    Step 3  batches of like length through the encoder
    Step 4  calibrate; a text's score is the highest over its readings and windows
    Step 5  only for labels over their thresholds: which tokens carry them (models.spans) → spans of the original text

Not thread-safe; the worker calls it from one thread.
"""

import logging
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import torch

from models import checkpoint as checkpoints
from models.checkpoint import Checkpoint, CheckpointError
from models.encoder import Encoder
from models.labels import LABEL_IDS
from models.normalize import Normalized, canonical, plain
from models.spans import Carrier, carried_by

log = logging.getLogger(__name__)

_TOKENS_PER_BATCH: Final = 2_048  # rows × longest: 64 posts of 32 tokens
_ROWS_PER_BATCH: Final = 64
_WINDOW_OVERLAP: Final = 64  # tokens
_NEAREST: Final = 1e-6  # to 0 and 1 that a limit is taken for, since their logits are infinite
_DECIMALS: Final = 4
_PARITY: Final = 0.02  # of a score: fewer bits may cost no more
_CONTROL_TEXTS: Final = (
    "今日はいい天気ですね",
    "お前みたいなやつは消えろ",
    "もう消えてしまいたい",
    "一緒に終わりにしませんか",
    "あの店は産地を偽装している。知り合いの店員から聞いた話だから間違いない",
    "推しが尊くて死んだ",
    "荷物を受け取るだけで日払い五万円、興味のある方は連絡ください",
    "ok",
)


class Span(NamedTuple):
    """Characters [start, end) of the original text that carried `label`."""

    start: int
    end: int
    label: str


@dataclass(frozen=True, slots=True)
class Prediction:
    """`scores` for every label; `spans` for those over the thresholds given."""

    scores: dict[str, float]
    spans: list[Span]


@dataclass(slots=True)
class _Sequence:
    owner: int
    ids: list[int]
    offsets: list[tuple[int, int]]
    reading: Normalized


class Classifier:
    """A loaded checkpoint."""

    def __init__(self, checkpoint: Checkpoint, dtype: torch.dtype | None = None) -> None:
        self.checkpoint = checkpoint
        self.dtype, reason = (dtype, "asked for") if dtype else _best_dtype()
        self.tokenizer = checkpoints.tokenizer(checkpoint.directory)
        known, embedded = max(self.tokenizer.vocabulary.values()) + 1, checkpoint.config["vocab_size"]
        if known > embedded:
            raise CheckpointError(
                f"{checkpoint.directory}: the tokenizer (vocab.txt) knows {known} tokens, config.json only {embedded}"
            )
        self._slope = torch.tensor([checkpoint.calibration[label][0] for label in checkpoint.labels])
        self._intercept = torch.tensor([checkpoint.calibration[label][1] for label in checkpoint.labels])
        exact = Encoder.load(checkpoint, torch.float32)
        self.encoder = exact.to(self.dtype)
        if dtype is None and self.dtype is not torch.float32:
            difference = self._difference(exact)
            reason = f"{reason}; scores differ from fp32 by at most {difference:.4f}"
            if not difference <= _PARITY:  # NaN as well
                self.dtype, self.encoder = torch.float32, exact
        log.info("classifier ready", extra={"model": checkpoint.version, "dtype": str(self.dtype), "why": reason})

    @classmethod
    def load(cls, directory: Path, dtype: torch.dtype | None = None) -> "Classifier":
        """From a checkpoint directory; CheckpointError says what is wrong with it."""
        return cls(checkpoints.load(directory), dtype)

    @torch.inference_mode()
    def _difference(self, exact: Encoder) -> float:
        """The largest difference in score between the encoder and its `exact` twin over the control texts."""
        ids, mask = self._pad([sequence for text in _CONTROL_TEXTS for sequence in self._sequences(0, text)])
        ours, theirs = (self._calibrated(one.logits(one.embed(ids), mask)) for one in (self.encoder, exact))
        return float((ours - theirs).abs().max())

    @property
    def version(self) -> str:
        """Name and content hash of the checkpoint."""
        return self.checkpoint.version

    @property
    def thresholds(self) -> dict[str, float]:
        """The checkpoint's operating points."""
        return self.checkpoint.thresholds

    def classify(self, texts: Sequence[str], thresholds: Mapping[str, float] | None = None) -> list[Prediction]:
        """One prediction a text, in order. `thresholds` default to the checkpoint's operating points."""
        limits = thresholds or self.checkpoint.thresholds
        found, carrier, sequences = self._read(texts)
        flagged: dict[int, dict[str, float]] = defaultdict(dict)  # sequence → the labels it carries, and their limits
        for i, scores in enumerate(found):
            for column, label in enumerate(self.checkpoint.labels):
                if scores[label] >= limits[label]:
                    flagged[int(carrier[i, column])][label] = limits[label]
        spans = self._spans(flagged, sequences)
        return [Prediction(scores, sorted(spans.get(i, []))) for i, scores in enumerate(found)]

    def scores(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """As `classify`, without looking for what carried them."""
        return self._read(texts)[0]

    def _read(self, texts: Sequence[str]) -> tuple[list[dict[str, float]], torch.Tensor, list[_Sequence]]:
        """Steps 1 to 4: scores by text; the sequence that each text's score of each label is from; all sequences."""
        sequences = [sequence for i, text in enumerate(texts) for sequence in self._sequences(i, text)]
        order = sorted(range(len(sequences)), key=lambda i: len(sequences[i].ids))
        best = torch.full((len(texts), len(self.checkpoint.labels)), -1.0)
        carrier = torch.zeros((len(texts), len(self.checkpoint.labels)), dtype=torch.long)
        for chosen in _batches(order, sequences):
            with torch.inference_mode():
                scores = self._calibrated(self._run(*self._pad([sequences[i] for i in chosen])))
            if not bool(torch.isfinite(scores).all()):  # no score is above a threshold then: all would seem harmless
                raise CheckpointError(f"{self.checkpoint.weights}: the weights give scores that are no numbers")
            for i, row in zip(chosen, scores, strict=True):
                owner = sequences[i].owner
                higher = row > best[owner]
                best[owner] = torch.where(higher, row, best[owner])
                carrier[owner][higher] = i
        columns = {label: self.checkpoint.labels.index(label) for label in LABEL_IDS}
        found = [{label: round(row[columns[label]], _DECIMALS) for label in LABEL_IDS} for row in best.tolist()]
        return found, carrier, sequences

    def _sequences(self, owner: int, text: str) -> list[_Sequence]:
        read = plain(text)
        folded = canonical(read)
        room = self.checkpoint.max_tokens - 2
        found = []
        for reading in (read,) if folded is read else (read, folded):
            tokens = self.tokenizer.tokenize(reading.text)
            step = room - min(_WINDOW_OVERLAP, room // 2)
            for start in range(0, max(1, len(tokens.ids) - (room - step)), step):
                window = slice(start, start + room)
                found.append(_Sequence(owner, tokens.ids[window], tokens.offsets[window], reading))
        return found

    def _pad(self, sequences: Sequence[_Sequence]) -> tuple[torch.Tensor, torch.Tensor]:
        width = max(len(sequence.ids) for sequence in sequences) + 2
        t = self.tokenizer
        rows = [[t.cls, *s.ids, t.sep] + [t.pad] * (width - 2 - len(s.ids)) for s in sequences]
        lengths = torch.tensor([len(s.ids) + 2 for s in sequences])
        return torch.tensor(rows), torch.arange(width)[None, :] < lengths[:, None]

    def _calibrated(self, logits: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(logits * self._slope + self._intercept)

    def _spans(self, flagged: Mapping[int, Mapping[str, float]], sequences: list[_Sequence]) -> dict[int, list[Span]]:
        """Step 5, by text: of each sequence that carries labels over their limits, the tokens that did."""
        chosen = [i for i in flagged if sequences[i].ids]
        carriers = []
        for i in chosen:
            columns = {self.checkpoint.labels.index(label): limit for label, limit in flagged[i].items()}
            limits = {column: self._logit(column, limit) for column, limit in columns.items()}
            carriers.append(Carrier([self.tokenizer.cls, *sequences[i].ids, self.tokenizer.sep], limits))
        found: dict[int, list[Span]] = defaultdict(list)
        with torch.inference_mode():
            carried = carried_by(self._run, self.tokenizer.pad, carriers)
        for i, positions in zip(chosen, carried, strict=True):
            for column, tokens in positions.items():
                label = self.checkpoint.labels[column]
                found[sequences[i].owner] += _spans_of(sequences[i], [token - 1 for token in tokens], label)
        return found

    def _run(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.encoder.logits(self.encoder.embed(ids), mask)

    def _logit(self, column: int, score: float) -> float:
        """The logit that calibration makes `score` of."""
        inside = min(max(score, _NEAREST), 1 - _NEAREST)
        return (math.log(inside / (1 - inside)) - float(self._intercept[column])) / float(self._slope[column])


def _spans_of(sequence: _Sequence, tokens: list[int], label: str) -> list[Span]:
    """Joined as read, so that what stands between unseen splits no span, and again as posted (㌔ is two characters)."""
    read = _joined([sequence.offsets[token] for token in tokens])
    return [Span(start, end, label) for start, end in _joined([sequence.reading.original(*r) for r in read])]


def _joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """In order, with those that touch made one."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _batches(order: list[int], sequences: list[_Sequence]) -> list[list[int]]:
    """Step 3: neighbours in length, at most _TOKENS_PER_BATCH with padding."""
    batches: list[list[int]] = []
    for i in order:
        width = len(sequences[i].ids) + 2
        last = batches[-1] if batches else None
        if last is None or len(last) >= _ROWS_PER_BATCH or (len(last) + 1) * width > _TOKENS_PER_BATCH:
            batches.append([i])
        else:
            last.append(i)
    return batches


def _best_dtype() -> tuple[torch.dtype, str]:
    """bf16 where the processor multiplies it natively, else fp32."""
    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        supported = getattr(torch.cpu, name, None)
        if supported is not None and supported():
            return torch.bfloat16, f"the processor has {name.removeprefix('_is_').removesuffix('_supported')}"
    return torch.float32, "the processor has no bf16 instructions"
