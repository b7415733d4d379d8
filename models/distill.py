"""Distil the teacher's sentence vectors into the student with the Japanese vocabulary (one resumable loop).

    python -m models.distill --corpus DIR --out DIR [--lines N]

Training only. Three losses. Sentence: 1 − cosine of student and teacher after centring, plus in-batch contrast, for the
mean over tokens and, weighing a half, for the pooler's output, because BertForSequenceClassification reads the pooler.
Token: 1 − cosine of each student token and the mean of the teacher's tokens that share a character with it, since the
two vocabularies cut words differently. The learning rate is constant after a warm-up and falls linearly over the last
fifth, so that a longer run can go on from a shorter one's state. A kill costs at most `_SAVE_EVERY` steps.
"""

import argparse
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from torch.nn import functional
from tqdm import tqdm
from transformers import BertModel

from models import corpora, transplant
from models.normalize import plain
from models.teacher import Teacher, packaged_file
from models.tokenizer import JapaneseTokenizer

_BATCH: Final = 64
_WINDOW: Final = 40  # batches sorted by length together
_RATE: Final = 2e-4
_WARM_UP: Final = 200  # steps
_DECAY_SHARE: Final = 0.2
_TEMPERATURE: Final = 0.05
_MAX_TOKENS: Final = 96
_SAVE_EVERY: Final = 500
_HELD_OUT: Final = 2_000
_SEED: Final = 20251124


Ranges = list[list[tuple[int, int]]]


def encode_batch(tokenizer: JapaneseTokenizer, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor, Ranges]:
    """Padded ids and mask, shape (texts, longest), and the tokens' character ranges; texts as `plain` gives them."""
    found = [tokenizer.tokenize(text) for text in texts]
    rows = [tokens.ids[: _MAX_TOKENS - 2] for tokens in found]
    width = max(map(len, rows)) + 2
    ids = torch.full((len(rows), width), tokenizer.pad)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, : len(row) + 2] = torch.tensor([tokenizer.cls, *row, tokenizer.sep])
        mask[i, : len(row) + 2] = 1
    return ids, mask, [tokens.offsets[: _MAX_TOKENS - 2] for tokens in found]


def alignment(student: Ranges, teacher: Ranges, shape: tuple[int, int, int]) -> torch.Tensor:
    """Shape (texts, student tokens, teacher tokens): each student token's row gives equal weight to the teacher tokens
    that share a character with it, and is zero where none does. Both sides begin with one special token.
    """
    texts, rows, columns = [], [], []
    for i, (ours, theirs) in enumerate(zip(student, teacher, strict=True)):
        cover = {at: k + 1 for k, (left, right) in enumerate(theirs) for at in range(max(0, left), right)}
        for j, (left, right) in enumerate(ours):
            for k in {cover[at] for at in range(left, right) if at in cover}:
                texts.append(i)
                rows.append(j + 1)
                columns.append(k)
    matrix = torch.zeros(shape)
    matrix[texts, rows, columns] = 1.0
    return matrix / matrix.sum(2, keepdim=True).clamp(min=1.0)


def token_loss(
    student: torch.Tensor, teacher: torch.Tensor, aligned: torch.Tensor, centre: torch.Tensor
) -> torch.Tensor:
    """1 − cosine of the student's tokens and what they are aligned to, both centred; mean over aligned tokens."""
    present = aligned.sum(2) > 0
    target = (aligned @ teacher)[present] - centre
    return (1 - functional.cosine_similarity(student.float()[present] - centre, target, dim=1)).mean()


class Student(torch.nn.Module):
    """The encoder with a linear map from its pooler to the teacher's space; the map is thrown away afterwards."""

    def __init__(self, encoder: BertModel) -> None:
        super().__init__()
        self.encoder = encoder
        self.from_pooler = torch.nn.Linear(encoder.config.hidden_size, encoder.config.hidden_size)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        out = self.encoder(input_ids=ids, attention_mask=mask)
        weights = mask.unsqueeze(-1).float()
        mean = (out.last_hidden_state.float() * weights).sum(1) / weights.sum(1)
        return functional.normalize(mean, dim=1), self.from_pooler(out.pooler_output).float(), out.last_hidden_state


def loss_of(student: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Both (batch, hidden), unit length."""
    similarity = student @ target.T / _TEMPERATURE
    contrast = functional.cross_entropy(similarity, torch.arange(len(target), device=target.device))
    return (1 - (student * target).sum(1)).mean() + 0.1 * contrast


def rate_at(step: int, steps: int) -> float:
    decay = max(1, int(steps * _DECAY_SHARE))
    return _RATE * min(1.0, (step + 1) / _WARM_UP, (steps - step) / decay)


@torch.inference_mode()
def quality(
    student: Student, tokenizer: JapaneseTokenizer, texts: list[str], targets: torch.Tensor, centre: torch.Tensor
) -> dict[str, float]:
    """On held-out lines: mean cosine after centring, and how often a line finds its own teacher vector."""
    student.eval()
    rows = []
    for i in range(0, len(texts), _BATCH):
        ids, mask, _ = encode_batch(tokenizer, texts[i : i + _BATCH])
        with torch.autocast(targets.device.type, dtype=torch.bfloat16):
            rows.append(student(ids.to(targets.device), mask.to(targets.device))[0])
    student.train()
    vectors = functional.normalize(torch.cat(rows).float() - centre, dim=1)
    nearest = (vectors @ targets.T).argmax(1).cpu()
    return {
        "cosine": round(float((vectors * targets).sum(1).mean()), 4),
        "finds_own": round(float((nearest == torch.arange(len(texts))).float().mean()), 4),
    }


def run(corpus: Path, out: Path, lines: int, device: str) -> dict[str, float]:
    """Distil over `lines` lines of the mixture into `out`/encoder; resumes from `out`/state.pt."""
    torch.manual_seed(_SEED)
    teacher = Teacher(packaged_file(), device)
    texts = corpora.mixture(corpus, _SEED)
    random.Random(_SEED).shuffle(texts)
    held = set(texts[:_HELD_OUT])
    held_out, texts = [plain(text).text for text in texts[:_HELD_OUT]], [text for text in texts if text not in held]
    texts = (texts * (lines // len(texts) + 1))[:lines]
    encoder_directory = out / "encoder"
    if not (encoder_directory / "vocab.txt").exists():
        vocabulary = transplant.learn_vocabulary(dict.fromkeys(corpora.mixture(corpus, _SEED)))
        transplant.save_tokenizer(encoder_directory, vocabulary)
    tokenizer = JapaneseTokenizer.load(encoder_directory)
    student = Student(transplant.student(teacher, list(tokenizer.vocabulary))).to(device)
    optimizer = torch.optim.AdamW(student.parameters(), lr=_RATE, weight_decay=0.01)
    targets = torch.cat([teacher.encode(held_out[i : i + _BATCH]) for i in range(0, _HELD_OUT, _BATCH)])
    centre, targets = targets.mean(0), functional.normalize(targets - targets.mean(0), dim=1)
    _, hidden, ranges = teacher.read(held_out[:_BATCH])
    token_centre = torch.cat([row[1 : len(r) + 1] for row, r in zip(hidden, ranges, strict=True)]).mean(0)
    batches = list(corpora.batches_by_length(texts, _BATCH, _WINDOW, _SEED))
    first = 0
    state_file = out / "state.pt"
    if state_file.exists():
        state = torch.load(state_file, weights_only=True, map_location=device)
        student.load_state_dict(state["student"])
        optimizer.load_state_dict(state["optimizer"])
        first = int(state["step"])
    else:
        print(json.dumps({"step": 0, **quality(student, tokenizer, held_out, targets, centre)}), flush=True)
    student.train()
    for step in tqdm(range(first, len(batches)), initial=first, total=len(batches), mininterval=30):
        batch = [plain(text).text for text in batches[step]]
        vectors, hidden, theirs = teacher.read(batch)
        target = functional.normalize(vectors.clone() - centre, dim=1)
        ids, mask, ours = encode_batch(tokenizer, batch)
        aligned = alignment(ours, theirs, (len(batch), ids.shape[1], hidden.shape[1])).to(device)
        with torch.autocast(device, dtype=torch.bfloat16):
            mean, pooled, tokens = student(ids.to(device), mask.to(device))
        loss = loss_of(functional.normalize(mean - centre, dim=1), target)
        loss = loss + 0.5 * loss_of(functional.normalize(pooled, dim=1), target)
        loss = loss + token_loss(tokens, hidden.clone(), aligned, token_centre)
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, len(batches))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % _SAVE_EVERY == 0 or step + 1 == len(batches):
            saved = {"student": student.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
            torch.save(saved, state_file.with_suffix(".new"))
            state_file.with_suffix(".new").replace(state_file)
            student.encoder.save_pretrained(encoder_directory)
            print(json.dumps({"step": step + 1, "loss": round(loss.item(), 4)}), flush=True)
    result = quality(student, tokenizer, held_out, targets, centre)
    print(json.dumps({"step": len(batches), **result}), flush=True)
    return result


def main() -> None:
    """Entry of `python -m models.distill`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--corpus", type=Path, required=True, help="directory of the corpora (docs/training.md)")
    parser.add_argument("--out", type=Path, required=True, help="where state.pt and encoder/ go")
    parser.add_argument("--lines", type=int, default=400_000, help="lines to read, repeats counted")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    run(arguments.corpus, arguments.out, arguments.lines, arguments.device)


if __name__ == "__main__":
    main()
