"""`mimamori backtest`: what another policy, or another model, would have changed.

    Step 1  policy, period and files are checked before anything is read
    Step 2  the past into a spool: decisions up to the end of the period, reviews, which reviews became dead letters
    Step 3  with --model, the posts that are still retained are read back and classified again
    Step 4  author by author, in the order of the log, decided again (workers.replay); the period's are compared
    Step 5  the account, for people and as JSON

All decisions that are retained are replayed, also those before the period: the strikes that an author brings into it
are the new policy's own. It writes to no topic and shows no text.
"""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final, Protocol

from models.checkpoint import SHIPPED
from models.checkpoint import load as load_checkpoint
from models.normalize import plain
from workers import policy as policies
from workers.backtest_source import Taken, from_cluster, from_files
from workers.codec import decode_post, text_sha256
from workers.comparison import Comparison, shown
from workers.days import day_of, end_ms, start_ms
from workers.decide import Context
from workers.errors import BadRecord, UsageError, usable
from workers.events import Topic, to_kafka_ms
from workers.judge import Scored
from workers.pipeline import Classifier
from workers.policy import Policy
from workers.reading import Cluster, batches, progress, source_of
from workers.replay import Replay, Replayed, Unknown
from workers.settings import Settings
from workers.spool import Spool

_POSTS_AT_ONCE: Final = 256
_NO_SPANS: Final = 2.0  # a threshold that no score reaches: spans are costly and not compared


_LEFT_OUT: Final = {
    "before_the_period": "decisions before the period; they make the history",
    "shadow": "decisions of shadow workers",
    "acting": "decisions of workers that act",
    "began_before": "edits of posts that began before the log",
    "failed": "decisions that the policy fails on",
    "text_not_retained": "decisions whose post is no longer retained",
    "reviews_of_unknown_posts": "reviews of posts that are not in the log",
    "unreadable": "records that cannot be read",
}


class Loaded(Classifier, Protocol):
    """A classifier with the operating points of its checkpoint."""

    @property
    def thresholds(self) -> dict[str, float]: ...


@dataclass(frozen=True, slots=True)
class Order:
    """What the command line asks for. Days are Japan's, both included; `decisions`: a file instead of the cluster."""

    policy: Path | None = None
    model: Path | None = None
    first: date | None = None
    last: date | None = None
    decisions: Path | None = None
    reviews: Path | None = None
    shadow: str | None = None
    samples: int = 5
    json: Path | None = None


def run(settings: Settings, order: Order) -> int:
    """The whole command. Returns 0, or 1 where a record was bad, each named on stderr with its place."""
    _check(order)  # Step 1
    classifier = _classifier(order.model, settings.torch_threads) if order.model else None
    if classifier is None:
        checkpoint = load_checkpoint(settings.model or SHIPPED)
        points, points_of = checkpoint.thresholds, checkpoint.version
    else:
        points, points_of = classifier.thresholds, classifier.version
    policy = policies.load(order.policy or settings.policy_file, points)
    taken = Taken(Spool(), end_ms(order.last) if order.last else None, order.shadow)
    try:
        backtest = Backtest(order, policy, points_of, taken)
        if order.decisions is not None:  # Step 2
            from_files(taken, order.decisions, order.reviews)
        else:
            cluster = Cluster(settings, "mimamori-backtest")
            sources = (Topic.DECISIONS, Topic.STAFF_REVIEWS, Topic.DEAD_LETTERS)
            asyncio.run(cluster.check(*sources, *((Topic.POSTS,) if classifier else ())))
            from_cluster(taken, cluster)
            if classifier is not None:
                backtest.classify(cluster, classifier)  # Step 3
        backtest.replay()  # Step 4
        return backtest.tell()  # Step 5
    finally:
        taken.spool.close()


def _check(order: Order) -> None:
    """Wrong use, told before a long read."""
    if order.policy is None and order.model is None:
        raise UsageError("backtest: --policy FILE or --model DIR says what to try")
    if order.model is not None and order.decisions is not None:
        raise UsageError("--model: reads posts back from Kafka, which --decisions does without")
    if order.reviews is not None and order.decisions is None:
        raise UsageError("--reviews: only beside --decisions; from Kafka they are read anyway")
    if order.first and order.last and order.first > order.last:
        raise UsageError(f"--from: {order.first} is after --to {order.last}")
    for path in (order.decisions, order.reviews):
        if path is not None and not path.is_file():
            raise UsageError(f"{path}: no such file")
    if order.json is not None and (order.json.is_dir() or not order.json.parent.is_dir()):
        raise UsageError(f"--json: {order.json}: is a directory, or in none that exists")


def _classifier(directory: Path, threads: int) -> Loaded:
    import torch

    from models.classifier import Classifier as Bert

    torch.set_num_threads(threads)
    return Bert.load(directory)


def _counted(versions: Counter[str]) -> str:
    """The commonest first."""
    return ", ".join(f"{shown(version)} ({count:,})" for version, count in versions.most_common(5)) or "none"


class Backtest:
    """One run."""

    def __init__(self, order: Order, policy: Policy, points_of: str, taken: Taken) -> None:
        self._order, self._policy, self._points_of, self._taken = order, policy, points_of, taken
        self._start_ms = start_ms(order.first) if order.first else None
        self._end_ms = end_ms(order.last) if order.last else None
        self.comparison = Comparison(order.samples, policy.version)
        self.not_compared: Counter[str] = Counter()
        self._before = self._reviews = self._unplaced = self._removals = self._reread = self._failed = 0
        self._span: tuple[int, int] = (0, 0)

    # -- Step 3 ------------------------------------------------------------------------------------------------------

    def classify(self, cluster: Cluster, classifier: Loaded) -> None:
        """Scores of another model for every decided post whose text is still there."""
        spool = self._taken.spool
        starts = spool.first_offsets(cluster.names[Topic.POSTS])
        if not starts:
            return
        spool.find_by_source()
        for batch in batches(cluster.records(Topic.POSTS, starts), _POSTS_AT_ONCE):
            texts, sources = [], []
            for message in batch:
                source = source_of(message)
                wanted = spool.sha256_at(source)
                if wanted is None:
                    continue
                try:
                    post = decode_post(message.key(), message.value())
                except BadRecord:
                    continue
                if post.text is not None and text_sha256(post.text) == wanted:
                    texts.append(post.text)
                    sources.append(source)
            if texts:
                for source, scored in zip(sources, self._score(classifier, texts), strict=True):
                    spool.put_scores(source, scored)
                    self._reread += 1

    def _score(self, classifier: Loaded, texts: Sequence[str]) -> list[Scored]:
        found = classifier.classify(texts, dict.fromkeys(self._policy.thresholds, _NO_SPANS))
        return [
            Scored(one.scores, [], self._policy.imminent(plain(text).text))
            for text, one in zip(texts, found, strict=True)
        ]

    # -- Step 4 ------------------------------------------------------------------------------------------------------

    def replay(self) -> None:
        """UsageError where the period holds nothing."""
        span = self._taken.spool.span()
        if span is None or (self._start_ms is not None and span[1] < self._start_ms):
            raise UsageError(self._nothing(span))
        self._span = span
        until_ms = self._end_ms or span[1]
        context = Context(self._policy, self._points_of, shadow=self._order.shadow is not None)
        with progress("replaying", self._taken.decisions) as advance:
            for author_id, recorded, told in self._taken.spool.authors():
                replay = Replay(context, span[0])
                self.comparison.author(author_id, self._comparable(replay.run(recorded, told, until_ms), advance))
                self._reviews += len(told)
                self._unplaced += replay.unplaced
                self._removals += sum(self._in_period(at_ms) for at_ms in replay.removals)
                for failure in replay.failed_reviews:
                    self._fail(f"review {shown(failure)}")

    def _comparable(self, replayed: Iterator[Replayed], advance: Callable[[], object]) -> Iterator[Replayed]:
        for one in replayed:
            advance()
            decision = one.recorded.decision
            if one.why_not is Unknown.FAILED:
                self._fail(f"decision {shown(decision.decision_id)}: {one.error}")
            if not self._in_period(to_kafka_ms(decision.decided_at)):
                self._before += 1
            elif one.why_not is not None:
                self.not_compared[one.why_not.value] += 1
            elif self._order.model is not None and one.recorded.scored is None and decision.scores:
                self.not_compared["text_not_retained"] += 1
            else:
                yield one

    def _in_period(self, at_ms: int) -> bool:
        return (self._start_ms is None or at_ms >= self._start_ms) and (self._end_ms is None or at_ms < self._end_ms)

    def _fail(self, what: str) -> None:
        self._failed += 1
        print(f"{what}: deciding it failed", file=sys.stderr)

    def _nothing(self, span: tuple[int, int] | None) -> str:
        where = self._order.decisions or "the log"
        whose = f"shadow decision of policy version {self._order.shadow}" if self._order.shadow else "decision"
        period = f" from {self._order.first or 'the beginning'} to {self._order.last or 'the end'}"
        if not self._order.first and not self._order.last:
            period = ""
        there = f"; the last is of {day_of(span[1])}" if span else ""
        if not span and any(self._taken.left_out):
            versions = ", ".join(shown(version) for version, _ in self._taken.left_out.most_common() if version)
            there = f"; --shadow takes those of shadow workers, of version {versions}"
        return f"no {whose} in {where}{period}{there}"

    # -- Step 5 ------------------------------------------------------------------------------------------------------

    def tell(self) -> int:
        """Print, and write the JSON; the exit code."""
        for line in (*self._header(), "", *self.comparison.lines()):
            print(line)
        if self._order.json is not None:
            content = json.dumps(self._json(), ensure_ascii=False, indent=1) + "\n"
            with usable(f"--json: {self._order.json}"):
                self._order.json.write_text(content, encoding="utf-8")
        return 1 if self._taken.bad or self._failed else 0

    def _header(self) -> Iterator[str]:
        policy, order, comparison = self._policy, self._order, self.comparison
        named = order.policy or "the policy in force"
        yield f"policy: {named}, version {policy.version}; thresholds `model` are those of {self._points_of}"
        first, last = self._period()
        yield f"period: {first} to {last}, days of Japan; history from {day_of(self._span[0])} on"
        yield f"recorded: policy {_counted(comparison.policies)}; model {_counted(comparison.models)}"
        if order.model is not None:
            yield f"model: {self._reread:,} posts were still retained and classified again"
        yield (
            "replayed: author by author in the order of the log; strikes, holds and clocks are the new policy's own, "
            "what staff decided stands, posts and edits are as they were"
        )
        if self._removals:
            yield f"ignored requests that become removals under the new policy: {self._removals:,}"
        for what, count in self._left_out().items():
            if count:
                yield f"left out: {count:,} {_LEFT_OUT[what]}"

    def _period(self) -> tuple[str, str]:
        first, last = day_of(self._span[0]), day_of(self._span[1])
        return str(self._order.first or first), str(self._order.last or last)

    def _left_out(self) -> dict[str, int]:
        """All that was read and is not in the comparison, by reason."""
        other = self._taken.left_out
        return {
            "before_the_period": self._before,
            "shadow": sum(count for version, count in other.items() if version),
            "acting": other[""],
            **{kind.value: self.not_compared[kind.value] for kind in Unknown},
            "text_not_retained": self.not_compared["text_not_retained"],
            "reviews_of_unknown_posts": self._unplaced,
            "unreadable": self._taken.bad,
        }

    def _json(self) -> Mapping[str, Any]:
        first, last = self._period()
        return {
            "policy": {
                "file": str(self._order.policy) if self._order.policy else None,
                "version": self._policy.version,
                "thresholds_of": self._points_of,
            },
            "period": {"from": first, "to": last, "history_from": day_of(self._span[0])},
            "reclassified": self._reread if self._order.model is not None else None,
            **self.comparison.as_json(),
            "removals_of_ignored_requests": self._removals,
            "reviews": self._reviews,
            "not_compared": self._left_out(),
        }
