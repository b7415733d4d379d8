"""A report as one HTML page by itself: Japanese with English under it, bars as inline SVG beside each table. Pure.

No script, no image, no font, no address: it can be mailed, archived, and read without a network or a mouse. Every
figure stands in a table with a caption and row headers; a chart repeats some and says them in its description.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Literal

from workers.page import attribute, head
from workers.transparency_chart import Bar, bars
from workers.transparency_data import Vocabulary, Words
from workers.transparency_table import Account, Figure, Table

_STYLE: Final = """
:root { color-scheme: light }
body { font: 16px/1.6 "Hiragino Sans", "Noto Sans CJK JP", "Yu Gothic", Meiryo, sans-serif; color: #111;
  background: #fff; max-width: 60rem; margin: 0 auto; padding: 1rem }
h1 { font-size: 1.6rem; margin: 0 } h2 { font-size: 1.25rem; margin: 2.5rem 0 0; border-bottom: 1px solid #555 }
[lang=en] { color: #444; font-size: .85em } p { margin: .4em 0 } small { display: block; font-weight: normal }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums }
caption { text-align: left; font-weight: bold } .wide { overflow-x: auto }
th, td { border: 1px solid #777; padding: .3em .6em; text-align: left; vertical-align: top }
td { text-align: right; white-space: nowrap } thead th { background: #f0f0f0 } figure { margin: 1rem 0 }
svg { width: 100%; max-width: 45rem; height: auto } svg text { fill: #111 } figcaption { font-weight: bold }
dt { font-weight: bold } dd { margin: 0 0 .4em 1em } a { color: #1f4e79 }
@media print { nav { display: none } section { break-inside: avoid-page } }
"""
_RATES: Final = ("overturned_of_reviewed", "overturned_of_measures", "reoffence_rate")
_STATES: Final = ("in_time", "late", "after_ceiling", "not_yet_due", "overdue")


def as_html(
    account: Account, words: Vocabulary, title: Words, facts: Sequence[tuple[Words, str]], hidden: bool
) -> bytes:
    """`facts`: what stands above the tables, such as the period; `hidden`: None is a hidden cell and shown as x."""
    return ("\n".join(_Page(account, words, hidden).lines(title, facts)) + "\n").encode()


class _Page:
    def __init__(self, account: Account, words: Vocabulary, hidden: bool) -> None:
        self._account, self._words, self._data = account, words, words.data
        self._blank = '<abbr title="秘匿 (hidden)">x</abbr>' if hidden else "—"
        self._charts: dict[str, Callable[[Table], Iterator[str]]] = {
            "requests_by_requester": self._answers,
            "measures": self._who_decided,
            "overturns_by_clause": lambda table: self._rate(table, "overturned_of_reviewed"),
            "overturns_by_model": lambda table: self._rate(table, "overturned_of_reviewed"),
            "reoffence": lambda table: self._rate(table, "reoffence_rate"),
            "labels": self._by_month,
        }

    def lines(self, title: Words, facts: Sequence[tuple[Words, str]]) -> Iterator[str]:
        kind: Literal["trend", "report"] = "trend" if self._account.schema.startswith("trend") else "report"
        yield head(f"{title[0]} / {title[1]}", _STYLE)
        yield f"<body>\n<header>\n<h1>{attribute(title[0])}</h1>\n{_english(title[1])}\n<dl>"
        for name, fact in facts:
            yield f"<dt>{_both(name)}</dt><dd>{attribute(fact)}</dd>"
        yield '</dl>\n</header>\n<nav aria-label="目次 (contents)">\n<ol>'
        for table in self._account.tables:
            yield f'<li><a href="#{table.id}">{attribute(self._data.tables[table.id].title)}</a></li>'
        yield "</ol>\n</nav>\n<main>"
        yield '<section aria-labelledby="notes"><h2 id="notes">読み方</h2>\n<p lang="en">How to read it</p>\n<ul>'
        for note in self._data.notes[kind]:
            yield f"<li>{_both(self._filled(note))}</li>"
        yield "</ul>\n</section>"
        for table in self._account.tables:
            yield from self._section(table)
        yield "</main>\n</body>\n</html>"

    def _filled(self, note: Words) -> Words:
        law = self._data.law
        values = {"days": law.answer_days, "ceiling": law.ceiling_days, "reoffence": self._data.reoffence_days}
        japanese, english = (text.format(k=self._account.head.get("k"), **values) for text in note)
        return japanese, english

    def _section(self, table: Table) -> Iterator[str]:
        text = self._data.tables[table.id]
        yield f'<section aria-labelledby="{table.id}">\n<h2 id="{table.id}">{attribute(text.title)}</h2>'
        yield _english(text.english)
        if not table.rows:
            yield '<p>この期間にはない。</p>\n<p lang="en">None in this period.</p>\n</section>'
            return
        if table.id in self._charts:
            yield from self._charts[table.id](table)
        yield f'<div class="wide" role="region" tabindex="0" aria-label="{attribute(text.title)}">'
        yield f"<table>\n<caption>{attribute(text.title)}</caption>\n<thead><tr>"
        for name in table.dimensions:
            yield f'<th scope="col">{_both(self._data.dimensions[name])}</th>'
        for name in table.columns:
            yield f'<th scope="col">{_both(self._data.columns[name])}</th>'
        yield "</tr></thead>\n<tbody>"
        count = len(table.dimensions)
        for row in table.rows:
            names = "".join(
                f'<th scope="row">{_both(self._words.value(dimension, value))}</th>'
                for dimension, value in zip(table.dimensions, row, strict=False)
            )
            figures = zip(table.columns, row[count:], strict=True)
            yield f"<tr>{names}{''.join(f'<td>{self._figure(name, one)}</td>' for name, one in figures)}</tr>"
        yield "</tbody>\n</table>\n</div>\n</section>"

    def _figure(self, column: str, figure: Figure) -> str:
        if figure is None:
            return self._blank
        if column in _RATES:
            return f"{100 * figure:.1f} %"
        return f"{figure:,}"

    # -- charts ------------------------------------------------------------------------------------------------------

    def _name(self, dimension: str, value: str) -> str:
        return self._words.value(dimension, value)[0]

    def _chart(
        self, id: str, title: str, series: Sequence[str], rows: Sequence[Bar], *, percent: bool = False
    ) -> Iterator[str]:
        yield f"<figure>\n<figcaption>{attribute(title)}</figcaption>"
        yield bars(id, title, series, rows, percent=percent)
        yield "</figure>"

    def _answers(self, table: Table) -> Iterator[str]:
        rows = [
            Bar(self._name("requester", row["requester"]), tuple(row[state] for state in _STATES))
            for row in table.named()
        ]
        series = [self._data.columns[state][0] for state in _STATES]
        yield from self._chart("chart-answers", "申出への回答", series, rows)

    def _who_decided(self, table: Table) -> Iterator[str]:
        makers = [*self._data.values["by"]]
        counts: dict[str, dict[str, int]] = {}
        for row in table.named():
            of_action = counts.setdefault(row["action"], dict.fromkeys(makers, 0))
            of_action[row["by"]] += row["measures"]
        rows = [
            Bar(self._name("action", action), tuple(count[by] for by in makers)) for action, count in counts.items()
        ]
        yield from self._chart("chart-measures", "措置と判断した者", [self._name("by", by) for by in makers], rows)

    def _rate(self, table: Table, column: str) -> Iterator[str]:
        rows = [
            Bar(self._name(table.dimensions[0], row[table.dimensions[0]]), (row[column],))
            for row in table.named()
            if row[column] is not None
        ]
        if rows:
            title = self._data.columns[column][0]
            yield from self._chart(f"chart-{table.id}", title, [title], rows, percent=True)

    def _by_month(self, table: Table) -> Iterator[str]:
        by_label: dict[str, list[dict[str, Any]]] = {}
        for row in table.named():
            by_label.setdefault(row["label"], []).append(row)
        for label, rows in by_label.items():
            name = self._name("label", label)
            months = [Bar(row["month"], (row["posts"],)) for row in rows]
            yield from self._chart(f"chart-{label}", name, [self._data.columns["posts"][0]], months)


def _both(words: Words) -> str:
    """Japanese, and English under it."""
    japanese, english = words
    return attribute(japanese) + (f'<small lang="en">{attribute(english)}</small>' if english else "")


def _english(text: str) -> str:
    return f'<p lang="en">{attribute(text)}</p>'
