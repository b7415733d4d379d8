"""A hand-off sheet as JSON, as text for a terminal, and as a page for A4. Pure.

Texts come from whoever wrote the post: everything is escaped, and characters that cannot be seen or that turn the
reading direction stand as ［U+202E］. The page loads nothing, runs nothing, and shows the post's words on a screen only
when asked; on paper they are there.
"""

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import msgspec

from workers.forms import Basis, Note, Source
from workers.handoff import Entry, Sheet
from workers.page import attribute, head, unseen, visible

TO_FILL_IN: Final = "（担当者が記入）"
BASES: Final[dict[Basis, str]] = {
    "own_page": "窓口の公開ページ",
    "authority": "官公庁などの案内",
    "document": "本プロジェクトの資料だけ",
}
_STYLE: Final = """
@page { size: A4; margin: 15mm }
:root { color-scheme: light }
body { font: 11pt/1.6 "Hiragino Sans", "Noto Sans CJK JP", "Yu Gothic", Meiryo, sans-serif; color: #111;
  background: #fff; max-width: 180mm; margin: 1rem auto; padding: 0 1rem }
h1 { font-size: 16pt; margin: 0 } h2 { font-size: 12pt; margin: 1.2em 0 .4em; border-bottom: 1px solid #555 }
table { border-collapse: collapse; width: 100% } caption { text-align: left; font-size: 9pt }
th, td { border: 1px solid #555; padding: .35em .5em; text-align: left; vertical-align: top; overflow-wrap: anywhere }
tbody th { width: 30% } th small, .basis, .sources, .caution { font-weight: normal; font-size: 9pt }
th small { display: block } .basis { width: 20% }
.urgent { border: 3px solid #a00; padding: .5em 1em; font-weight: bold; color: #a00 }
.value, blockquote { white-space: pre-wrap; overflow-wrap: anywhere; margin: 0; font: inherit }
.blank { min-height: 4em; color: #555 } mark { background: none; text-decoration: underline 2px }
.invisible { color: #a00; font-size: 9pt } dl { font-size: 9pt; margin: 0 } dd { margin: 0 0 .3em 1em;
  overflow-wrap: anywhere } .paper { display: none }
tr, .internal { break-inside: avoid } tr.long { break-inside: auto }
@media print { body { margin: 0; padding: 0; max-width: none } .paper { display: block } .screen { display: none } }
"""


def as_json(made: Sheet) -> bytes:
    """Indented UTF-8 JSON; what a terminal would obey or hide is escaped, which JSON allows anywhere in a string."""
    text = msgspec.json.format(msgspec.json.encode(made), indent=2).decode()
    return ("".join(json.dumps(one)[1:-1] if unseen(one) else one for one in text) + "\n").encode()


def as_text(made: Sheet, *, reveal: bool) -> bytes:
    """For a terminal; the post's words only with `reveal`."""
    return ("\n".join(_text_lines(made, reveal)) + "\n").encode()


def as_html(made: Sheet, *, reveal: bool) -> bytes:
    """One page by itself; the post's words are folded in on a screen unless `reveal`."""
    return ("\n".join(_html_lines(made, reveal)) + "\n").encode()


def _caution(made: Sheet) -> str:
    if made.form_seen:
        return f"実際の入力欄と照合した日: {made.verified_at}"
    return f"実際の入力欄とは照合していない（公開ページの写しによる。{made.verified_at}）。欄の名前と順序は画面に従う。"


def _told(source: Source) -> str:
    copy = "" if source.live or source.url is None else "、写し"
    return f"{source.title}（{source.verified_at.isoformat()}{copy}）"


def _internal(made: Sheet) -> list[tuple[str, str]]:
    kept = made.internal
    return [
        ("案件", kept.case_id),
        ("記録", kept.escalation_id),
        ("記録のSHA-256", kept.record_sha256),
        ("証拠のSHA-256", kept.evidence_sha256),
        ("証拠の版", f"revision {kept.revision}、{kept.collected_at} 収集"),
    ]


# -- text --------------------------------------------------------------------------------------------------------------


def _text_lines(made: Sheet, reveal: bool) -> Iterator[str]:
    yield f"{made.name}　{made.title}"
    yield made.form_url
    yield _caution(made)
    if made.urgent:
        yield f"\n【最優先】{made.urgent.text}"
    yield "\n手順"
    for number, step in enumerate(made.steps, 1):
        yield f"  {number}. {step.text}"
    yield "\n記入する内容"
    for entry in made.fields:
        yield f"■ {entry.label}"
        for line in _text_value(entry, reveal).split("\n"):
            yield f"    {line}"
        if entry.hint:
            yield f"    ※ {entry.hint}"
        titles = "、".join(_told(made.sources[key]) for key in entry.source)
        yield f"    根拠: {BASES[entry.basis]}　{titles}"
    if made.left_out:
        yield f"\nこの窓口には伝えない区分: {'、'.join(map(visible, made.left_out))}"
    yield "\n社内の控え（フォームには書かない）"
    for name, value in _internal(made):
        yield f"  {name}: {visible(value)}"


def _text_value(entry: Entry, reveal: bool) -> str:
    if entry.value is None:
        return TO_FILL_IN
    if entry.masked and not reveal:
        return f"（本文 {len(entry.value)} 文字。--reveal で表示）"
    return visible(entry.value)


# -- HTML --------------------------------------------------------------------------------------------------------------


def _html_lines(made: Sheet, reveal: bool) -> Iterator[str]:
    yield head(f"{made.name} {made.title}", _STYLE)
    yield "<body>\n<main>"
    form = attribute(made.form_url)
    yield f"<header>\n<h1>{_safe(made.name)}</h1>\n<p>{_safe(made.title)}</p>"
    yield f'<p>フォーム: <a href="{form}" rel="noopener noreferrer">{form}</a></p>'
    yield f'<p class="caution">{_safe(_caution(made))}</p>\n</header>'
    number = {key: place for place, key in enumerate(made.sources, 1)}
    if made.urgent:
        yield f'<aside class="urgent" aria-label="最優先"><p>{_note(made.urgent, number)}</p></aside>'
    yield '<section aria-labelledby="steps">\n<h2 id="steps">手順</h2>\n<ol>'
    yield from (f"<li>{_note(step, number)}</li>" for step in made.steps)
    yield '</ol>\n</section>\n<section aria-labelledby="fields">\n<h2 id="fields">記入する内容</h2>\n<table>'
    yield "<caption>［U+…］は目に見えない文字のある位置、下線は機械が示した箇所。</caption>"
    yield '<thead><tr><th scope="col">欄</th><th scope="col">内容</th><th scope="col">根拠</th></tr></thead>\n<tbody>'
    for entry in made.fields:
        hint = f"<small>{_safe(entry.hint)}</small>" if entry.hint else ""
        basis = f'<td class="basis">{BASES[entry.basis]} {_references(entry.source, number)}</td>'
        long = ' class="long"' if entry.masked else ""
        label = f'<th scope="row">{_safe(entry.label)}{hint}</th>'
        yield f'<tr id="field-{attribute(entry.id)}"{long}>{label}<td>{_value(entry, reveal)}</td>{basis}</tr>'
    yield "</tbody>\n</table>"
    if made.left_out:
        yield f"<p>この窓口には伝えない区分: {_safe('、'.join(made.left_out))}</p>"
    yield '</section>\n<section class="internal" aria-labelledby="internal">'
    yield '<h2 id="internal">社内の控え（フォームには書かない）</h2>\n<dl>'
    yield from (f"<dt>{name}</dt><dd>{_safe(value)}</dd>" for name, value in _internal(made))
    yield '</dl>\n</section>\n<section class="sources" aria-labelledby="sources">\n<h2 id="sources">出典</h2>\n<ol>'
    for key, source in made.sources.items():
        address = f" {_safe(source.url)}" if source.url else ""
        yield f'<li id="source-{attribute(key)}">{_safe(_told(source))}{address}</li>'
    yield "</ol>\n</section>\n</main>\n</body>\n</html>"


def _value(entry: Entry, reveal: bool) -> str:
    if entry.value is None:
        return f'<div class="blank">{TO_FILL_IN}</div>'
    if not entry.masked:
        return f'<div class="value">{_safe(entry.value)}</div>'
    words = _marked(entry.value, entry.marks)
    # A closed <details> cannot be opened for paper in every browser without a script: the words stand there twice.
    return (
        f'<details class="screen"{" open" if reveal else ""}><summary>本文を表示（{len(entry.value)} 文字）</summary>'
        f'<blockquote dir="auto">{words}</blockquote></details>'
        f'<blockquote class="paper" dir="auto">{words}</blockquote>'
    )


def _marked(text: str, marks: list[tuple[int, int]]) -> str:
    """The text with its marked characters underlined, whatever marks overlap."""
    edges = sorted({0, len(text), *(edge for mark in marks for edge in mark)})
    pieces = []
    for start, end in pairwise(edges):
        piece = _safe(text[start:end])
        inside = any(first <= start and end <= last for first, last in marks)
        pieces.append(f"<mark>{piece}</mark>" if inside else piece)
    return "".join(pieces)


def _note(note: Note, number: dict[str, int]) -> str:
    return f"{_safe(note.text)} {_references(note.sources, number)}"


def _references(keys: list[str], number: dict[str, int]) -> str:
    return "".join(f'<a href="#source-{attribute(key)}">[{number[key]}]</a>' for key in keys)


def _safe(text: str) -> str:
    """As content."""
    return re.sub("(?:［U\\+[0-9A-F]{4,6}］)+", r'<span class="invisible">\g<0></span>', attribute(text))
