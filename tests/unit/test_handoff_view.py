"""The sheet as text, JSON and a page: hostile texts act on nothing, the page loads nothing and is well formed."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.memory import Json
from tests.unit.stories import WORDS, one, raw, resealed
from workers import forms, handoff, handoff_view
from workers.handoff import Sheet
from workers.page import visible

FORMS: Final = forms.load()
GOLDEN: Final = Path(__file__).parent / "golden"
VOID: Final = {"meta"}
UNSEEN: Final = set("\x00\x1b\x07\x9b\x7f\u202e\u2066\u200b\u2028\U000e0067")


def sheet(record: Json) -> Sheet:
    return handoff.sheet(FORMS, handoff.read_record("f", raw(record)))


def saying(text: str, *spans: tuple[int, int]) -> Sheet:
    """The sheet of a slander with these words."""
    record = one("defamation")
    record["dossier"]["post"]["text"] = text
    record["dossier"]["spans"] = [[start, end, "insult"] for start, end in spans]
    resealed(record)
    return sheet(record)


class Page(HTMLParser):
    """A parsed page in which every tag is closed by its own: its outline, its tags, and what stands in each element."""

    def __init__(self, made: Sheet, *, reveal: bool = False) -> None:
        super().__init__()
        self.html = handoff_view.as_html(made, reveal=reveal).decode()
        self.outline: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.said: dict[str, list[str]] = {}
        self._open: list[tuple[str, int]] = []
        self.feed(self.html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        assert len(named) == len(attrs)
        self.tags.append((tag, named))
        shown = "".join(f" {name}={named[name]}" for name in ("id", "class", "scope", "lang", "open") if name in named)
        self.outline.append("  " * len(self._open) + tag + shown)
        if tag not in VOID:
            self._open.append((tag, len(self.said.setdefault(tag, []))))
            self.said[tag].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        for tag, number in self._open:
            self.said[tag][number] += data


def outline(label: str) -> str:
    """The page's elements, with what style sheets and screen readers go by."""
    return "\n".join(Page(sheet(one(label, imminent=True))).outline) + "\n"


HOSTILE: Final = [
    "</blockquote></details><script>alert(1)</script>",
    '<img src=x onerror="alert(1)">',
    "<style>*{display:none}</style><!-- ",
    "]]><svg onload=alert(1)>&lt;b&gt;&#x3c;script&#x3e;",
    '"><a href="https://evil.example">',
    "'; DROP TABLE -- ${7*7} {{7*7}} %s {0}",
    "</title></head><meta http-equiv=refresh content=0;url=https://evil.example>",
    "<base href=https://evil.example/><link rel=stylesheet href=//evil.example>",
    "\x00\x01\x1b]0;title\x07\x1b[2J\x9b31m\x7f\x85",
    "産地\u202e偽装\u2066あ\u2069\u200b\u200e\ufeff\u061c\u2028\u2029",
    "改行\n\n  字下げ\tタブ\r\nCRLF\rCR",
    "👨\u200d👩\u200d👧 \U000e0067\U000e0062",
    "［U+202E］",
    " ",
    "あ" * 20_000,
]
NUMBERED: Final = [f"text{number}" for number in range(len(HOSTILE))]


# -- the page ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["defamation", "suicide_inducement"])
def test_the_structure_of_the_page(label: str) -> None:
    """Golden. `python -m tests.unit.test_handoff_view` writes it anew."""
    assert outline(label) == (GOLDEN / f"handoff-{label}.txt").read_text("utf-8")


@pytest.mark.parametrize("reveal", [False, True])
def test_words_are_folded_in_on_a_screen_and_stand_on_paper(reveal: bool) -> None:
    page = Page(saying(WORDS), reveal=reveal)
    (details,) = [named for tag, named in page.tags if tag == "details"]
    assert details["class"] == "screen"
    assert ("open" in details) is reveal
    assert [named.get("class") for tag, named in page.tags if tag == "blockquote"] == [None, "paper"]
    assert page.said["blockquote"] == [WORDS, WORDS]
    assert page.said["summary"] == [f"本文を表示（{len(WORDS)} 文字）"]
    assert page.html.count(WORDS) == 2
    on_screen, on_paper = page.said["style"][0].split("@media print")
    assert ".paper { display: none }" in on_screen
    assert ".paper { display: block }" in on_paper
    assert ".screen { display: none }" in on_paper
    assert "size: A4" in on_screen


@pytest.mark.parametrize("text", HOSTILE, ids=NUMBERED)
def test_a_hostile_text_is_text(text: str) -> None:
    page, calm = Page(saying(text)), Page(saying("a"))
    assert [line for line in page.outline if "span" not in line] == calm.outline
    assert page.said["blockquote"] == [visible(text)] * 2
    assert not set(page.html) & (UNSEEN | {"\r"})


def test_what_cannot_be_seen_is_shown_and_the_rest_stands() -> None:
    assert visible("a\u202eb\u200b\x1b\r\n\tc\ud800") == "a［U+202E］b［U+200B］［U+001B］\n\tc［U+D800］"
    for seen in ("👨\u200d👩\u200d👧", "é か\u3099 ｶﾞ \u3000 ㍿", "می\u200cخواهم"):
        assert visible(seen) == seen


@pytest.mark.parametrize("text", [text for text in HOSTILE if len(text) < 100])
def test_hostile_fields_other_than_the_text(text: str) -> None:
    record = one("defamation") | {"case_id": text, "escalation_id": text, "categories": ["defamation", text]}
    record["post_id"] = record["dossier"]["post"]["post_id"] = text
    record["dossier"]["url"] = f"https://x.example/{text}"
    record["routes"] = [{**route, "name": text, "contact": text, "why": text} for route in record["routes"]]
    resealed(record)
    page, calm = Page(sheet(record)), Page(sheet(one("defamation")))
    assert {tag for tag, _ in page.tags} <= {tag for tag, _ in calm.tags} | {"span"}
    assert not set(page.html) & (UNSEEN | {"\r"})
    assert not set(handoff_view.as_text(sheet(record), reveal=True).decode()) & (UNSEEN | {"\r"})


@settings(max_examples=150, deadline=None)
@given(
    text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=30),
    spans=st.lists(st.tuples(st.integers(-3, 33), st.integers(-3, 33)), max_size=4),
)
def test_marks_never_change_the_words(text: str, spans: list[tuple[int, int]]) -> None:
    page = Page(saying(text, *spans))
    whole = visible(text)
    assert page.said.get("blockquote", []) == ([whole, whole] if text else [])
    marked = "".join(
        character for place, character in enumerate(text) if any(max(start, 0) <= place < end for start, end in spans)
    )
    assert "".join(page.said.get("mark", [])) == visible(marked) * 2


@pytest.mark.parametrize("label", ["defamation", "suicide_inducement"])
def test_the_page_loads_and_runs_nothing(label: str) -> None:
    page = Page(sheet(one(label)), reveal=True)
    for tag, named in page.tags:
        assert tag not in ("script", "link", "img", "iframe", "object", "embed", "form", "input", "base", "svg")
        assert not set(named) & {"src", "srcset", "style", "background", "action", "ping"}
        assert not [name for name in named if name.startswith("on")]
    ids = [named["id"] for _, named in page.tags if "id" in named]
    assert len(ids) == len(set(ids))
    links = {str(named["href"]) for _, named in page.tags if "href" in named}
    body = sheet(one(label)).form_url
    assert links == {body} | {f"#{name}" for name in ids if str(name).startswith("source-")}
    (style,) = page.said["style"]
    assert not re.search(r"url\(|@import", style)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = next(named["content"] for _, named in page.tags if named.get("http-equiv") == "Content-Security-Policy")
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


# -- text and JSON -----------------------------------------------------------------------------------------------------


def test_a_terminal_shows_the_words_only_when_asked() -> None:
    made = saying(f"{WORDS}\n■ 相談したいこと")
    masked, shown = (handoff_view.as_text(made, reveal=reveal).decode() for reveal in (False, True))
    assert WORDS not in masked
    assert f"    （本文 {len(WORDS) + 10} 文字。--reveal で表示）" in masked
    assert f"    {WORDS}\n    ■ 相談したいこと" in shown
    assert masked.count("\n■ 相談したいこと") == shown.count("\n■ 相談したいこと") == 1, "a post cannot pose as a field"


def test_text_has_all_that_the_sheet_has() -> None:
    made = sheet(one("defamation") | {"categories": ["defamation", "threat"]})
    text = handoff_view.as_text(made, reveal=True).decode()
    for entry in made.fields:
        assert f"■ {entry.label}\n    {(entry.value or handoff_view.TO_FILL_IN).split(chr(10))[0]}" in text
        for key in entry.source:
            assert made.sources[key].title in text
    for step in made.steps:
        assert step.text in text
    assert "この窓口には伝えない区分: 脅迫" in text
    assert made.internal.record_sha256 in text
    assert "実際の入力欄とは照合していない" in text
    assert "【最優先】" not in text
    assert "【最優先】" in handoff_view.as_text(sheet(one("suicide_inducement", imminent=True)), reveal=False).decode()


@pytest.mark.parametrize("text", HOSTILE, ids=NUMBERED)
def test_json_holds_the_words_as_they_are_and_nothing_that_acts_unseen(text: str) -> None:
    written = handoff_view.as_json(saying(text)).decode()
    assert not set(written) & (UNSEEN | {"\r"})
    made = json.loads(written)
    (words,) = [entry for entry in made["fields"] if entry["masked"]]
    assert words["value"] == text
    assert made["schema"] == "handoff/1"


def test_a_form_that_was_compared_says_when() -> None:
    seen = msgspec.structs.replace(FORMS.forms["ihaho"], form_seen=True)
    changed = msgspec.structs.replace(FORMS, forms={"ihaho": seen})
    made = handoff.sheet(changed, handoff.read_record("f", raw(one("defamation"))))
    for view in (handoff_view.as_text(made, reveal=False), handoff_view.as_html(made, reveal=False)):
        assert "実際の入力欄と照合した日: 2026-11-24" in view.decode()
        assert "照合していない" not in view.decode()


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for name in ("defamation", "suicide_inducement"):
        (GOLDEN / f"handoff-{name}.txt").write_text(outline(name), "utf-8")
