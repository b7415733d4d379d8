"""`mimamori report`: the yearly figures of the platform law and the measures of effect; with --trend, monthly counts.

    Step 1  period, policy and the place to write to are checked before anything is read
    Step 2  the topics into a file of their own, as slices without a text (workers.transparency_source)
    Step 3  what was delivered twice is left out, each review finds its case
    Step 4  the figures (workers.transparency_figures, workers.trends)
    Step 5  JSON, CSV or a page

It writes to no topic, and never reads `posts` or `care-outreach`. docs/transparency.md explains each figure.
"""

import asyncio
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final, Literal

from models.labels import LABEL_IDS
from workers import policy as policies
from workers import transparency_data
from workers.days import day_of, end_ms, start_ms
from workers.errors import UsageError, usable
from workers.events import Topic
from workers.policy_data import PolicyFile, Regime
from workers.reading import Cluster
from workers.settings import Settings
from workers.transparency_data import Vocabulary, Words
from workers.transparency_figures import Figures, Period
from workers.transparency_page import as_html
from workers.transparency_records import Records
from workers.transparency_requests import Requests
from workers.transparency_source import SOURCES, TREND_SOURCES, Taken, from_cluster
from workers.transparency_table import Account, as_csv, as_json
from workers.trends import Trends, months

Form = Literal["json", "csv", "html"]
Fill = Callable[[Taken, tuple[Topic, ...]], None]
HIDDEN: Final = "x"  # a hidden cell in CSV and on the page, as statistics in Japan mark it
_USED: Final = frozenset({"clauses", "bodies", "regime"})  # of the policy file


@dataclass(frozen=True, slots=True)
class Order:
    """What the command line asks for. Days are Japan's, both included."""

    first: date
    last: date
    trend: bool = False
    k: int | None = None
    regime: Regime | None = None
    form: Form = "json"
    out: Path | None = None


def run(settings: Settings, order: Order, write: Callable[[bytes], None]) -> int:
    """The whole command; `write` takes what has no file. 0, or 1 where a record was bad, each named on stderr."""
    check(order)  # Step 1
    words = Vocabulary(transparency_data.load(), _policy(settings.policy_file))
    cluster = Cluster(settings, "mimamori-report")
    asyncio.run(cluster.check(*(TREND_SOURCES if order.trend else SOURCES)))
    with closing(Records()) as records:
        taken = Taken(words, records)
        content = answer(order, words, taken, lambda into, sources: from_cluster(into, cluster, sources))
    if order.out is None:
        write(content)
    else:
        with usable(f"--out: {order.out}"):
            order.out.write_bytes(content)
    return 1 if taken.bad else 0


def check(order: Order) -> None:
    """Wrong use, told before a long read."""
    if order.first > order.last:
        raise UsageError(f"--from: {order.first} is after --to {order.last}")
    if order.trend and order.regime is not None:
        raise UsageError("--regime: a trend has none; only for the report")
    if not order.trend and order.k is not None:
        raise UsageError("--k: only with --trend; a report hides no cell")
    if order.trend and (order.first.day != 1 or (order.last + timedelta(days=1)).day != 1):
        raise UsageError(
            f"--trend: whole months only, such as --from {order.first:%Y-%m}-01; a part of one could be "
            "subtracted from the whole"
        )
    if order.out is not None and (order.out.is_dir() or not order.out.parent.is_dir()):
        raise UsageError(f"--out: {order.out}: is a directory, or in none that exists")


def _policy(path: Path | None) -> PolicyFile | None:
    """Clauses, bodies and regime; the rest of the file, and a model, are nothing to a report."""
    examined = policies.examine(*policies.read(path), dict.fromkeys(LABEL_IDS, 0.5))
    if examined.data is None or examined.unreadable & _USED:
        examined.checked()
    return examined.data


def answer(order: Order, words: Vocabulary, taken: Taken, fill: Fill) -> bytes:
    """Steps 2 to 5; UsageError where the log holds nothing of the period."""
    fill(taken, TREND_SOURCES if order.trend else SOURCES)  # Step 2
    taken.records.finish()  # Step 3
    account = trend(order, taken) if order.trend else report(order, words, taken)  # Step 4
    return _shown(order, words, account)  # Step 5


def report(order: Order, words: Vocabulary, taken: Taken) -> Account:
    """The yearly report."""
    start, end = start_ms(order.first), end_ms(order.last)
    data, policy = words.data, words.policy
    requests = Requests(taken.records, start, end, taken.newest_ms, data.law)
    figures = Figures(taken.records, Period(start, end, taken.newest_ms), requests, data.reoffence_days)
    law = {"answer_days": data.law.answer_days, "ceiling_days": data.law.ceiling_days, "source": data.law.source}
    head = {
        "period": _period(order),
        "regime": order.regime or (policy.regime if policy else None) or "voluntary",
        "law": {**law, "verified_at": data.law.verified_at.isoformat()},
        "reoffence_days": data.reoffence_days,
        "coverage": _coverage(taken, start, end),
        "left_out": _left_out(taken),
    }
    tables = [*figures.tables()]
    if not any(value for _, value in tables[0].rows):
        raise UsageError(f"no record from {order.first} to {order.last}{_last(taken)}")
    _note(taken.begins_ms > start, f"the log may lack records before {day_of(taken.begins_ms)}: figures are partial")
    _note(taken.newest_ms < end, f"the log ends on {day_of(taken.newest_ms)}, within the period")
    return Account("transparency/1", head, tables)


def trend(order: Order, taken: Taken) -> Account:
    """Counts that may leave the house."""
    k = order.k or 10
    asked = months(order.first, order.last)
    whole = [one for one in asked if taken.begins_ms <= start_ms(one[0]) and end_ms(one[1]) <= taken.newest_ms]
    if not whole:
        raise UsageError(f"no whole month from {order.first} to {order.last} is in the log{_last(taken)}")
    missing = [f"{first:%Y-%m}" for first, last in asked if (first, last) not in whole]
    _note(bool(missing), f"not whole in the log, and left out: {', '.join(missing)}")
    head = {"period": _period(order), "k": k, "months_left_out": missing}
    return Account("trend/1", head, [*Trends(taken.records, k).tables(whole)])


def _last(taken: Taken) -> str:
    return f"; the last is of {day_of(taken.newest_ms)}" if taken.newest_ms else ", or of any other time"


def _note(there_is: bool, what: str) -> None:
    if there_is:
        print(f"note: {what}", file=sys.stderr)


def _period(order: Order) -> dict[str, str]:
    return {"from": order.first.isoformat(), "to": order.last.isoformat(), "timezone": "Asia/Tokyo"}


def _coverage(taken: Taken, start: int, end: int) -> dict[str, Any]:
    """Whether the log holds the whole period; the last day there is, by which what is open was counted."""
    return {
        "complete_from": day_of(taken.begins_ms) if taken.begins_ms else None,
        "last_record": day_of(taken.newest_ms),
        "whole": taken.begins_ms <= start and end <= taken.newest_ms,
    }


def _left_out(taken: Taken) -> dict[str, Any]:
    unlinked = "SELECT count(*) FROM review WHERE case_id IS NULL"
    return {
        "shadow_decisions": taken.shadow,
        "repeated": {topic.value: count for topic, count in taken.records.repeated.items()},
        "reviews_that_are_dead_letters": taken.dead_reviews,
        "reviews_without_effect": taken.records.db.execute(unlinked).fetchone()[0],
        "unreadable": taken.bad,
    }


def _shown(order: Order, words: Vocabulary, account: Account) -> bytes:
    if order.form == "json":
        return as_json(account)
    if order.form == "csv":
        return as_csv(account, HIDDEN if order.trend else "")
    return as_html(account, words, _title(order), _facts(words, account), order.trend)


def _title(order: Order) -> Words:
    if order.trend:
        return "投稿の傾向（月別・匿名化済み）", "Trends by month, anonymised"
    return "透明性レポート", "Transparency report"


def _facts(words: Vocabulary, account: Account) -> Sequence[tuple[Words, str]]:
    head = account.head
    facts: list[tuple[Words, str]] = [
        (("期間", "Period"), f"{head['period']['from']} – {head['period']['to']}（日本時間）")
    ]
    if "k" in head:
        left_out = "、".join(head["months_left_out"])
        more = [(("記録が揃わず除いた月", "Months left out"), left_out)] if left_out else []
        return [*facts, (("秘匿の基準", "k-anonymity"), f"{head['k']} 人以上"), *more]
    coverage, law = head["coverage"], words.data.law
    state = "全期間" if coverage["whole"] else "一部"
    return [
        *facts,
        (("位置づけ", "Regime"), " / ".join(words.data.regimes[head["regime"]])),
        (
            ("記録の範囲", "Coverage"),
            f"{state}（{coverage['complete_from'] or '記録の初め'} – {coverage['last_record']}）",
        ),
        (("期限の根拠", "Deadlines"), f"{law.source}（{law.verified_at.isoformat()} 確認）"),
    ]
