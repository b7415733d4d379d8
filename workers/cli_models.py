"""The commands that make and measure checkpoints: `train` and `evaluate`. No Kafka, no settings."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workers.cli_cases import Add
from workers.errors import UsageError, usable

if TYPE_CHECKING:
    from models.data import LabelledPost


def add_to(add: Add) -> None:
    """Their arguments."""
    train = add(
        "train",
        _train,
        "fine-tune a Japanese BERT on labelled posts; resumes after a kill",
        "mimamori train --base runs/default/encoder --out runs/default/checkpoint",
    )
    train.add_argument("--base", type=Path, required=True, metavar="DIR", help="encoder or checkpoint to start from")
    train.add_argument("--data", type=Path, metavar="FILE|DIR", help="labelled posts; the shipped ones without it")
    train.add_argument("--out", type=Path, required=True, metavar="DIR", help="checkpoint directory to write")
    train.add_argument("--corpus", type=Path, metavar="DIR", help="corpora; adds real posts and plain chat")
    train.add_argument("--teacher", type=Path, metavar="DIR", help="a larger checkpoint whose scores are learned too")
    train.add_argument("--seed", type=int, default=1)
    train.add_argument("--epochs", type=positive)
    train.add_argument("--rate", type=rate, help="highest learning rate; 2e-4 without it, less for a larger base")
    evaluate = add(
        "evaluate",
        _evaluate,
        "measure a checkpoint on labelled posts",
        "mimamori evaluate --split test --json report.json",
    )
    evaluate.add_argument("checkpoint", nargs="?", type=Path, help="checkpoint directory; the shipped one without it")
    evaluate.add_argument("--data", type=Path, metavar="FILE|DIR", help="labelled posts; the shipped ones without it")
    evaluate.add_argument("--corpus", type=Path, metavar="DIR", help="corpora; measures on the real posts instead")
    evaluate.add_argument("--split", choices=["train", "validation", "test", "all"], default="test")
    evaluate.add_argument("--compare", type=Path, nargs=2, metavar=("A", "B"), help="is B better than A, beyond noise?")
    evaluate.add_argument("--beside", type=Path, nargs="+", default=[], metavar="DIR", help="further checkpoints")
    evaluate.add_argument("--baselines", action="store_true", help="a word list and tf-idf beside it (extra `train`)")
    evaluate.add_argument("--explain", action="store_true", help="also test that the spans carry the decision")
    evaluate.add_argument("--report", type=Path, metavar="DIR", help="write report.json, report.md and plots as SVG")
    evaluate.add_argument("--json", type=Path, metavar="FILE", help="also write the report as JSON")


def positive(raw: str) -> int:
    """An argument of argparse: 1 or more."""
    if not raw.isdecimal() or int(raw) < 1:
        raise argparse.ArgumentTypeError("must be a whole number of 1 or more")
    return int(raw)


def rate(raw: str) -> float:
    """An argument of argparse: a number between 0 and 1, both excluded."""
    try:
        found = float(raw)
    except ValueError:
        found = 0.0
    if not 0 < found < 1:
        raise argparse.ArgumentTypeError("must be a number between 0 and 1")
    return found


def _train(arguments: argparse.Namespace) -> int:
    with checkpoint_errors():
        from models import data
        from models.soft import Teaching
        from models.train import Recipe, train

        chosen = {name: getattr(arguments, name) for name in ("epochs", "rate") if getattr(arguments, name)}
        recipe = Recipe(seed=arguments.seed, **chosen)
        with usable(arguments.out):
            arguments.out.mkdir(parents=True, exist_ok=True)
        real = _more_posts(arguments.corpus, recipe.seed) if arguments.corpus else []
        teaching = None
        if arguments.teacher:
            texts = _unlabelled(arguments.corpus, recipe.seed) if arguments.corpus else []
            teaching = Teaching(arguments.teacher, texts)
        figures = train(arguments.base, arguments.data or data.SHIPPED, arguments.out, recipe, real, teaching)
        print(json.dumps(figures, ensure_ascii=False, indent=1))
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    with checkpoint_errors():
        from models import data, report
        from models.checkpoint import SHIPPED
        from models.classifier import Classifier
        from models.deletion import deletion_test
        from models.evaluate import comparison, figures, score

        posts = _real_posts(arguments.corpus) if arguments.corpus else data.read(arguments.data or data.SHIPPED)
        if arguments.split != "all" and arguments.data is None:
            posts = data.select(posts, arguments.split)
        if not posts:
            raise UsageError(f"no labelled post of the split {arguments.split} is there")
        if arguments.compare:
            found: Any = comparison(*(score(Classifier.load(one), posts) for one in arguments.compare))
            print(report.differences(found))
        else:
            readers = [Classifier.load(one) for one in (arguments.checkpoint or SHIPPED, *arguments.beside)]
            readings = [score(one, posts) for one in (*readers, *_baselines(arguments))]
            reports = [figures(one) for one in readings]
            if arguments.explain:
                reports[0]["deletion_test"] = deletion_test(readers[0], [post.text for post in posts])
            print(report.table(reports[0]))
            if len(reports) > 1:
                print("", report.side_by_side(reports), sep="\n")
            if arguments.report:
                _needs_training_extra(lambda: report.write(arguments.report, reports, readings[0]))
            found = reports if len(reports) > 1 else reports[0]
        if arguments.json:
            with usable(arguments.json):
                arguments.json.write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return 0


def _baselines(arguments: argparse.Namespace) -> "list[Any]":
    """Trained here and now on the shipped posts, and with --corpus on what training adds to them."""
    if not arguments.baselines:
        return []
    from models import baselines, data

    posts = data.read(data.SHIPPED)
    if arguments.corpus:
        posts += _more_posts(arguments.corpus, 1)
    parts = data.select(posts, "train"), data.select(posts, "validation")
    return [baselines.WordList(), _needs_training_extra(lambda: baselines.TfIdf(*parts))]


def _needs_training_extra(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except ImportError as error:
        raise UsageError(f"{error.name} is not installed: pip install 'mimamori[train]'") from None


def _more_posts(corpus: Path, seed: int) -> "list[LabelledPost]":
    """Real posts, and plain chat assumed benign."""
    from models import corpora, data

    posts = _real_posts(corpus)
    for name, count in corpora.ASSUMED_BENIGN.items():
        posts += data.assumed_benign(name, corpora.read(corpus, name), count, seed)
    return posts


def _real_posts(corpus: Path) -> "list[LabelledPost]":
    from models import corpora, data

    return data.read_real(data.REAL, corpora.read(corpus, "open2ch_ranking"))


def _unlabelled(corpus: Path, seed: int) -> list[str]:
    from models import corpora, data

    return data.unlabelled(corpora.read(corpus, "open2ch_ranking"), data.REAL, corpora.UNLABELLED, seed)


class checkpoint_errors:  # reads as a statement
    """models knows nothing of exit codes: its errors about files become wrong use here."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        from models.checkpoint import CheckpointError
        from models.corpora import CorpusMissing
        from models.data import DataError

        if isinstance(error, CheckpointError | DataError | CorpusMissing):
            raise UsageError(str(error)) from None
