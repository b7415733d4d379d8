"""Fine-tune a Japanese BERT on labelled posts: one readable loop, seeded, resumable after each epoch.

    Step 1  read the posts, split by author-batch
    Step 2  multi-label fine-tuning, each epoch with some posts in evasion spelling; after each epoch the validation
            loss decides what is kept
    Step 3  calibrate on validation: a slope and an intercept per label
    Step 4  operating points on validation, for the cost of a miss against a false alarm, within a cap on false alarms
    Step 5  write the checkpoint: fp16 weights, vocabulary, thresholds, calibration, figures

Needs `transformers`. Works from an encoder that models.distill made, from any Japanese BERT directory, or from a
checkpoint. Both readings of a post (plain and canonical) are trained on, since both are read later.
"""

import hashlib
import json
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save_file
from torch.nn import functional
from tqdm import tqdm

from models import calibrate, checkpoint, data, soft
from models.augment import Respeller
from models.checkpoint import CheckpointError
from models.data import DataError, LabelledPost
from models.labels import LABEL_IDS
from models.normalize import canonical, plain
from models.soft import Teaching

_MAX_TOKENS: Final = 256
_PROBE_ROWS: Final = 6_000
_PROBE_DECAY: Final = 0.001
_SMOOTHING: Final = 0.02  # of targets; keeps logits calibratable


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that changes the outcome beside base and data."""

    seed: int = 1
    epochs: int = 8
    batch: int = 32
    rate: float = 2e-4
    warm_up: float = 0.06
    weight_decay: float = 0.05
    patience: int = 3  # epochs without a better validation loss
    respelt: float = 0.12  # share of posts that an epoch reads in an evasion spelling
    taught: float = 0.5  # the teacher's share of a labelled post's targets, where there is a teacher

    def rate_at(self, step: int, steps: int) -> float:
        """Linear warm-up, then linearly down to nothing."""
        warm = self.warm_up * steps
        return self.rate * min(1.0, (step + 1) / max(1.0, warm), (steps - step) / max(1.0, steps - warm))


def train(
    base: Path,
    posts_path: Path,
    out: Path,
    recipe: Recipe,
    real: Sequence[LabelledPost] = (),
    teaching: Teaching | None = None,
) -> dict[str, Any]:
    """Fine-tune `base` into the checkpoint directory `out`; returns the validation figures.

    `real` are further posts for training and validation (models.data.read_real, assumed_benign); those of a test batch
    are left out. With `teaching` a share of each target is what the teacher says of the post (models.soft).
    """
    torch.manual_seed(recipe.seed)
    rng = random.Random(recipe.seed)
    posts = data.read(posts_path)  # Step 1
    training, validation = _split(posts, rng)
    training, validation = training + data.select(real, "train"), validation + data.select(real, "validation")
    if not training or not validation:
        raise DataError(f"{posts_path}: posts for training and for validation are needed, one side has none")
    model = _model(base)
    tokenizer = checkpoint.tokenizer(base)
    samples = [
        (reading, targets) for text, targets in _taught(training, teaching, recipe) for reading in _readings(text)
    ]
    longest = min(_MAX_TOKENS, model.config.max_position_embeddings) - 2
    rows = [(tokenizer.tokenize(text).ids[:longest], targets) for text, targets in samples]
    held = [(tokenizer.tokenize(plain(post.text).text).ids[:longest], post.targets) for post in validation]
    state_file = out / "training.pt"
    out.mkdir(parents=True, exist_ok=True)
    if _labels_of(base) is None:
        _start_head(model, tokenizer, rows, recipe)
    respell = _Respelling([text for text, _ in samples], tokenizer, longest, recipe)
    best = _fit(model, tokenizer, rows, held, recipe, respell, state_file)  # Step 2
    model.load_state_dict(best)
    logits, targets = _logits(model, tokenizer, held)
    calibration = {label: calibrate.platt(logits[:, i], targets[:, i]) for i, label in enumerate(LABEL_IDS)}  # Step 3
    scores = torch.stack([torch.sigmoid(logits[:, i] * a + b) for i, (a, b) in enumerate(calibration.values())], dim=1)
    thresholds = calibrate.operating_points(scores, targets)  # Step 4
    figures = {
        "recipe": asdict(recipe),
        "base": base.name,
        "teacher": teaching.teacher.name if teaching else None,
        "posts": {"train": len(training), "validation": len(validation), "readings": len(samples)},
        "validation_loss": round(_loss(logits, targets).item(), 5),
    }
    _write(model, base, out, thresholds, calibration, figures)  # Step 5
    state_file.unlink(missing_ok=True)
    return figures


def _taught(posts: Sequence[LabelledPost], teaching: Teaching | None, recipe: Recipe) -> list[tuple[str, list[float]]]:
    """Texts and targets: the labels, and with a teacher its share of them and its unlabelled posts."""
    texts, hard = [post.text for post in posts], [post.targets for post in posts]
    if teaching is None:
        return list(zip(texts, hard, strict=True))
    texts += teaching.unlabelled
    told = soft.scores(teaching.teacher, texts)
    return list(zip(texts, soft.mixed(hard, told[: len(hard)], recipe.taught) + told[len(hard) :], strict=True))


def _split(posts: Sequence[LabelledPost], rng: random.Random) -> tuple[list[LabelledPost], list[LabelledPost]]:
    """The committed split for the shipped posts; for anyone else's, a tenth of the batches (or posts) validates."""
    training, validation = data.select(posts, "train"), data.select(posts, "validation")
    if validation:
        return training, validation
    batches = sorted({post.batch for post in posts})
    if len(batches) >= 10:
        held = set(rng.sample(batches, max(1, len(batches) // 10)))
        return [p for p in posts if p.batch not in held], [p for p in posts if p.batch in held]
    shuffled = list(posts)
    rng.shuffle(shuffled)
    cut = max(1, len(shuffled) // 10)
    return shuffled[cut:], shuffled[:cut]


def _readings(text: str) -> list[str]:
    read = plain(text)
    folded = canonical(read)
    return [read.text] if folded is read else [read.text, folded.text]


def _labels_of(base: Path) -> list[str] | None:
    """This project's labels in the order of `base`, which knows them already; None for a base that does not."""
    id2label = checkpoint.read_config(base).get("id2label") or {}
    theirs = [str(id2label.get(str(i))) for i in range(len(LABEL_IDS))]
    return theirs if set(theirs) == set(LABEL_IDS) else None


def _model(base: Path) -> Any:
    theirs = _labels_of(base)  # what is no model is refused now and not after the training; a hub is never asked
    from transformers import BertForSequenceClassification

    try:
        model = BertForSequenceClassification.from_pretrained(
            str(base),
            num_labels=len(LABEL_IDS),
            id2label=dict(enumerate(LABEL_IDS)),
            label2id={label: i for i, label in enumerate(LABEL_IDS)},
            problem_type="multi_label_classification",
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
        )
    except Exception as error:  # transformers and safetensors raise errors of every kind for a damaged file
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise CheckpointError(f"{base}: no BERT directory: {reason}") from error
    if theirs is not None:
        order = [theirs.index(label) for label in LABEL_IDS]
        with torch.no_grad():
            for parameter in model.classifier.parameters():
                parameter.copy_(parameter[order])
    return model


class _Respelling:
    """An epoch's rows: some of the posts in an evasion spelling, which posts and how drawn from the epoch's `rng`."""

    def __init__(self, texts: Sequence[str], tokenizer: Any, longest: int, recipe: Recipe) -> None:
        self._texts, self._tokenizer, self._longest, self._share = texts, tokenizer, longest, recipe.respelt
        self._respeller = Respeller()

    def __call__(self, rows: list[Any], rng: random.Random) -> list[Any]:
        found = []
        for text, row in zip(self._texts, rows, strict=True):
            if rng.random() < self._share:
                spelt = plain(self._respeller.respell(text, rng)).text
                found.append((self._tokenizer.tokenize(spelt).ids[: self._longest], row[1]))
            else:
                found.append(row)
        return found


@torch.no_grad()
def _start_head(model: Any, tokenizer: Any, rows: list[Any], recipe: Recipe) -> None:
    """Start from a linear probe instead of from noise.

    Sentence encoders point all texts in nearly one direction: seen raw, posts differ by little, and a new head spends
    whole epochs on finding out how. So the pooler's features are brought to mean 0 and variance 1 over the posts (the
    change is folded into its weights), and the head begins as their logistic regression.
    """
    model.eval()
    rows = random.Random(recipe.seed).sample(rows, min(len(rows), _PROBE_ROWS))
    states, targets = _through(
        lambda ids, mask: model.bert(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0], tokenizer, rows
    )
    dense = model.bert.pooler.dense
    raw = dense(states)
    mean, spread = raw.mean(0), raw.std(0).clamp(min=1e-4)
    dense.weight.div_(spread[:, None])
    dense.bias.sub_(mean).div_(spread)
    weight, bias = _probe(torch.tanh(dense(states)), targets)
    model.classifier.weight.copy_(weight)
    model.classifier.bias.copy_(bias)


@torch.enable_grad()
def _probe(features: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logistic regression for all labels at once: weight (labels, hidden) and bias (labels,)."""
    weight = torch.zeros(targets.shape[1], features.shape[1], requires_grad=True)
    bias = torch.zeros(targets.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = _loss(features @ weight.T + bias, targets) * targets.shape[1] + _PROBE_DECAY * (weight**2).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return weight.detach(), bias.detach()


def _fit(
    model: Any,
    tokenizer: Any,
    rows: list[Any],
    held: list[Any],
    recipe: Recipe,
    respell: _Respelling,
    state_file: Path,
) -> dict[str, torch.Tensor]:
    decayed = [p for n, p in model.named_parameters() if p.ndim > 1 and not n.startswith("classifier")]
    others = [p for n, p in model.named_parameters() if p.ndim <= 1 or n.startswith("classifier")]
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=recipe.rate)
    steps = recipe.epochs * -(-len(rows) // recipe.batch)
    best_loss, best, first, waited = float("inf"), dict(model.state_dict()), 0, 0
    origin = _origin(model, rows, held, recipe)
    if state_file.exists():
        try:
            state = torch.load(state_file, weights_only=True)
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            best, best_loss, first, waited = state["best"], state["best_loss"], state["epoch"], state["waited"]
            same = state["origin"] == origin
        except Exception as error:
            raise CheckpointError(f"{state_file}: no state of this training; remove it to start anew") from error
        if not same:
            raise CheckpointError(f"{state_file}: of another base, recipe or posts; remove it to start anew")
    for epoch in range(first, recipe.epochs):
        if waited >= recipe.patience:  # here, since a resumed run may have been cut just after it had waited enough
            break
        model.train()
        rng = random.Random(recipe.seed * 1_000 + epoch)
        torch.manual_seed(recipe.seed * 1_000 + epoch)
        done = epoch * -(-len(rows) // recipe.batch)
        batches = list(_batches(respell(rows, rng), recipe.batch, rng))
        for i, batch in enumerate(tqdm(batches, desc=f"epoch {epoch + 1}/{recipe.epochs}", mininterval=5)):
            step = done + i
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate_at(step, steps)
            ids, mask, targets = _pad(tokenizer, batch)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits = model(input_ids=ids, attention_mask=mask).logits.float()
            loss = _loss(logits, targets * (1 - 2 * _SMOOTHING) + _SMOOTHING)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        held_loss = _loss(*_logits(model, tokenizer, held)).item()
        print(json.dumps({"epoch": epoch + 1, "validation_loss": round(held_loss, 5)}), flush=True)
        if held_loss < best_loss:
            best_loss, waited = held_loss, 0
            best = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        else:
            waited += 1
        saved = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "best": best, "origin": origin}
        unfinished = state_file.with_suffix(".new")
        torch.save({**saved, "best_loss": best_loss, "epoch": epoch + 1, "waited": waited}, unfinished)
        unfinished.replace(state_file)
    return best


def _origin(model: Any, rows: list[Any], held: list[Any], recipe: Recipe) -> str:
    """What a state must come from to be gone on with: half of one training and half of another would be neither."""
    digest = hashlib.sha256(repr((asdict(recipe), rows, held)).encode())
    for tensor in model.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def _batches(rows: list[Any], size: int, rng: random.Random) -> Iterator[list[Any]]:
    """Shuffled batches of like length: sorted within windows of 16 batches."""
    order = list(range(len(rows)))
    rng.shuffle(order)
    batches = []
    for start in range(0, len(order), size * 16):
        window = sorted(order[start : start + size * 16], key=lambda i: len(rows[i][0]))
        batches += [[rows[i] for i in window[j : j + size]] for j in range(0, len(window), size)]
    rng.shuffle(batches)
    yield from batches


def _pad(tokenizer: Any, batch: list[Any]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    width = max(len(ids) for ids, _ in batch) + 2
    ids = torch.full((len(batch), width), tokenizer.pad)
    mask = torch.zeros((len(batch), width), dtype=torch.long)
    for i, (row, _) in enumerate(batch):
        ids[i, : len(row) + 2] = torch.tensor([tokenizer.cls, *row, tokenizer.sep])
        mask[i, : len(row) + 2] = 1
    return ids, mask, torch.tensor([targets for _, targets in batch])


def _loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return functional.binary_cross_entropy_with_logits(logits, targets)


def _logits(model: Any, tokenizer: Any, rows: list[Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """(posts, labels) each: what the model says and what is true."""
    model.eval()
    return _through(lambda ids, mask: model(input_ids=ids, attention_mask=mask).logits, tokenizer, rows)


@torch.no_grad()
def _through(
    run: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], tokenizer: Any, rows: list[Any]
) -> tuple[torch.Tensor, torch.Tensor]:
    """All rows through `run` (ids and mask → one vector a row), in fp32, and their targets."""
    found, targets = [], []
    for start in range(0, len(rows), 64):
        ids, mask, wanted = _pad(tokenizer, rows[start : start + 64])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found.append(run(ids, mask).float())
        targets.append(wanted)
    return torch.cat(found).clone(), torch.cat(targets).clone()


def _write(
    model: Any,
    base: Path,
    out: Path,
    thresholds: dict[str, float],
    calibration: dict[str, tuple[float, float]],
    figures: dict[str, Any],
) -> None:
    model.config.dtype = "float16"
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(str(out))
    weights = {name: tensor.half().contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    for pattern in ("vocab.txt", "tokenizer*.json", "special_tokens_map.json", "added_tokens.json", "sp*.model"):
        for file in base.glob(pattern):
            if file != out / file.name:
                shutil.copyfile(file, out / file.name)
    for name, content in (("thresholds", thresholds), ("calibration", calibration), ("training", figures)):
        (out / f"{name}.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
