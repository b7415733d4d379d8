"""The report as a page: it loads and runs nothing, is well formed, and says in words what its charts show."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from tests.unit.accounts import DAY_MS, HOUR_MS, NOVEMBER, Log
from workers.events import Action, Verdict
from workers.transparency_chart import Bar, bars

VOID = {"meta", "rect"}


class Page(HTMLParser):
    """Elements with their attributes and the words in each kind."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.said: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append(tag)
            self.said.setdefault(tag, []).append("")

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, text: str) -> None:
        if self._open:
            self.said[self._open[-1]][-1] += text

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def report(model: str = "model-1") -> Page:
    log = Log()
    log.decide("p1", "insult", action=Action.WARN, model=model)
    log.decide("p2", "insult", at=DAY_MS)
    case = log.case("p1", "insult")
    log.review(Verdict.REMOVAL_REQUESTED, "p1", "insult", case=case, at=HOUR_MS, requested_by="victim")
    log.review(Verdict.OVERTURN, "p1", "insult", case=case, at=2 * HOUR_MS)
    log.ends(200 * DAY_MS)
    return Page(log.account(replace(NOVEMBER, form="html")).decode())


def trend() -> Page:
    log = Log()
    for number in range(14):
        log.decide(f"p{number}", "insult", author=f"a{number}", action=Action.WARN if number < 2 else Action.NONE)
    log.ends(31 * DAY_MS)
    return Page(log.account(replace(NOVEMBER, trend=True, form="html")).decode())


@pytest.mark.parametrize("page", [report(), trend()], ids=["report", "trend"])
def test_it_loads_and_runs_nothing(page: Page) -> None:
    assert not {tag for tag, _ in page.elements} & {"script", "link", "img", "iframe", "object", "embed", "form", "use"}
    assert "//" not in page.html, "no address at all"
    assert not re.search(r"\son\w+=|javascript:|url\(|@import", page.html)
    assert [name for _, attributes in page.elements for name in attributes if name in ("src", "style", "srcset")] == []
    assert all(str(link["href"]).startswith("#") for link in page.of("a"))
    (policy,) = (meta["content"] for meta in page.of("meta") if "http-equiv" in meta)
    assert str(policy).startswith("default-src 'none'; style-src 'sha256-")


@pytest.mark.parametrize("page", [report(), trend()], ids=["report", "trend"])
def test_whoever_cannot_see_it_is_told_the_same(page: Page) -> None:
    assert page.of("html") == [{"lang": "ja"}]
    assert len(page.said["h1"]) == 1
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len({*ids})
    assert all(str(section["aria-labelledby"]) in ids for section in page.of("section"))
    assert all(str(link["href"])[1:] in ids for link in page.of("a"))
    assert len(page.said["table"]) == len([caption for caption in page.said["caption"] if caption])
    assert {cell["scope"] for cell in page.of("th")} == {"row", "col"}
    assert page.of("svg")
    for svg in page.of("svg"):
        assert svg["role"] == "img"
        assert {*str(svg["aria-labelledby"]).split()} <= {*ids}
    assert all(page.said["title"])
    assert all(page.said["desc"])
    regions = [one for one in page.of("div") if one.get("role") == "region"]
    assert all(one["tabindex"] == "0" and one["aria-label"] for one in regions), "scrolled with the keyboard too"


def test_japanese_with_english_under_it() -> None:
    page = report()
    assert "自動の措置の取消率（条項別）" in page.said["h2"]
    assert "Overturn rate of automated measures by clause" in page.said["p"]
    assert "他者の名誉・信用を毀損し、または侮辱・誹謗中傷する行為" in page.said["th"]
    assert "被害者本人" in page.said["th"]
    assert "100.0 %" in page.said["td"]
    assert any("7日" in item for item in page.said["li"])
    english = [attributes for _, attributes in page.elements if attributes.get("lang") == "en"]
    assert len(english) > 50


def test_a_chart_says_its_values() -> None:
    page = report()
    assert "警告: モデル（自動） 1, 期限の経過（自動） 0, 人 0" in page.said["desc"]
    (trends,) = (said for said in trend().said["desc"] if said.startswith("2026-11: 14"))
    assert trends == "2026-11: 14"


def test_what_is_hidden_is_marked() -> None:
    page = trend()
    assert "x" in page.said["abbr"]
    assert any("10人に満たない" in item for item in page.said["li"])
    assert "10 人以上" in page.said["dd"]


def test_a_hostile_word_is_a_word() -> None:
    hostile = "</td><script>alert(1)</script>\u202e\"' onload=x"
    page = report(hostile)
    assert not page.of("script")
    assert "\u202e" not in page.html
    assert any("<script>" in cell for cell in page.said["th"])


def test_bars_are_as_long_as_their_values_and_hidden_ones_are_x() -> None:
    drawn = Page(bars("c", "名", ["一"], [Bar("a", (10,)), Bar("b", (5,)), Bar("c", (None,)), Bar("d", (0,))]))
    assert [float(str(rect["width"])) for rect in drawn.of("rect")] == [380.0, 190.0]
    assert drawn.said["desc"] == ["a: 10; b: 5; c: x; d: 0"]
    assert [text for text in drawn.said["text"] if text in ("10", "5", "x", "0")] == ["10", "5", "x", "0"]
    assert Page(bars("c", "名", ["一"], [])).said["desc"] == [""]
