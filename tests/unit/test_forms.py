"""The forms file: what is shipped, and every mistake named with its line."""

import re
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Final

import pytest
import yaml

from models.labels import BY_ID, VIOLATION_IDS
from tests.unit.memory import POLICY
from workers import forms
from workers.errors import UsageError
from workers.events import Action

TEXT: Final = resources.files("workers").joinpath("policies/forms.yml").read_text("utf-8")
DOC: Final = (Path(__file__).parents[2] / "docs/handoff.md").read_text("utf-8")
SHIPPED: Final = forms.load()


# -- what is shipped ---------------------------------------------------------------------------------------------------


def test_each_form_is_of_a_body_that_the_policy_routes_to_for_each_label_it_takes() -> None:
    for body, form in SHIPPED.forms.items():
        assert form.name == POLICY.data.bodies[body].name
        for label in form.accepts:
            assert body in [rule.body for rule in POLICY.data.routes[label]]


def test_each_label_goes_to_one_form_at_most_and_distress_and_threats_to_none() -> None:
    taken = [label for form in SHIPPED.forms.values() for label in form.accepts]
    assert len(taken) == len(set(taken))
    assert set(VIOLATION_IDS) - set(taken) == {"threat"}
    assert "distress" not in taken


def test_rights_are_not_for_the_hotline_and_inducement_is_by_address_only() -> None:
    assert set(SHIPPED.forms["ihaho"].accepts) == {"defamation", "insult", "privacy"}
    hotline = SHIPPED.forms["ihc"]
    assert "suicide_inducement" in hotline.accepts
    assert hotline.url_only
    assert {field.value for field in hotline.fields} <= set(forms.URL_ONLY_KINDS)


def test_every_source_is_used_dated_and_named_in_the_document() -> None:
    used = set()
    for form in SHIPPED.forms.values():
        notes: list[forms.Note | forms.Field] = [form.urgent, *form.steps, *form.fields]
        used |= {key for one in notes for key in one.sources}
    assert used == set(SHIPPED.sources)
    for key, source in SHIPPED.sources.items():
        assert f"`{key}`" in DOC
        assert source.url is None or source.url in DOC


def test_no_form_claims_to_be_compared_with_the_live_one() -> None:
    """Nobody has; whoever does changes the file, this test and docs/handoff.md."""
    assert not any(form.form_seen for form in SHIPPED.forms.values())
    assert not any(source.live for source in SHIPPED.sources.values() if source.url)


def test_the_document_has_every_field_with_its_basis() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| (\w+) \| \S", DOC, re.MULTILINE)
    assert rows == [(body, one.id, one.basis) for body, form in SHIPPED.forms.items() for one in form.fields]


def test_actions_have_the_words_of_the_glossary() -> None:
    glossary = (Path(__file__).parents[2] / "docs/glossary.md").read_text("utf-8")
    told = dict(re.findall(r"^\| `(\w+)` \| (\S+) \|$", glossary, re.MULTILINE))
    for action in set(Action) - {Action.NONE}:
        assert SHIPPED.actions[action] == told[action]


def test_ihaho_names_labels_as_everybody_does() -> None:
    assert SHIPPED.forms["ihaho"].accepts == {
        label: BY_ID[label].japanese for label in ("defamation", "insult", "privacy")
    }


# -- mistakes ----------------------------------------------------------------------------------------------------------


def edited(old: str, new: str) -> str:
    assert TEXT.count(old) >= 1, old
    return TEXT.replace(old, new, 1)


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


MISTAKES: Final[list[tuple[Callable[[], str], str, str]]] = [
    (lambda: "forms: [", "", "not valid YAML"),
    (lambda: "", "", "Expected `object`, got `null`"),
    (lambda: edited("schema: forms/1", "schema: forms/9"), "schema: forms/9", "schema: unknown `forms/9`"),
    (lambda: edited("url_only: true", "url_onyl: true"), "url_onyl", "forms.ihc.url_onyl: unknown key. Did you mean"),
    (
        lambda: edited("      defamation: 名誉毀損・信用毀損", "      distress: 希死念慮"),
        "distress: 希死念慮",
        "forms.ihaho.accepts.distress: `distress` is no violation. Known are crime_aid",
    ),
    (
        lambda: edited("sources: [ihaho_terms]", "sources: [ihaho_term]"),
        "sources: [ihaho_term]",
        "unknown source `ihaho_term`. Did you mean `ihaho_terms`?",
    ),
    (
        lambda: edited("sources: [ihc_faq]}", "sources: [ihc_fak]}"),
        "sources: [ihc_fak]",
        "unknown source `ihc_fak`. Did you mean `ihc_faq`?",
    ),
    (
        lambda: edited("sources: [ihc_oyama, ihc_fukuoka]\n", "sources: [nobody]\n"),
        "sources: [nobody]",
        "forms.ihc.urgent.sources: unknown source `nobody`.",
    ),
    (lambda: edited("sources: [domain]\n    steps", "sources: []\n    steps"), "sources: []", "length >= 1"),
    (lambda: edited("- id: site", "- id: url"), "", "`url` stands twice. Give each field its own."),
    (lambda: edited("value: site", "value: sight"), "value: sight", "unknown `sight`. Did you mean `site`?"),
    (
        lambda: edited("        fixed: 書かない（匿名", "        hint: 書かない（匿名"),
        "",
        "`fixed` goes with value fixed",
    ),
    (
        lambda: edited("        label: 通報者\n        value: fixed", "        label: 通報者\n        value: words"),
        "",
        "`fixed` goes with value fixed",
    ),
    (
        lambda: edited("label: 情報の区分\n        value: labels", "label: 情報の区分\n        value: words"),
        "value: words\n        basis: authority\n        sources: [ihc",
        "`words` tells of more than the address. With url_only a value is one of url, labels, fixed, blank.",
    ),
    (lambda: edited("  warn: 警告\n", ""), "actions:", "actions: `warn` is missing. Add it in words."),
    (lambda: edited("url: https://ihaho.jp/\n    form_seen", "url: javascript:1\n    form_seen"), "javascript", "url"),
]


@pytest.mark.parametrize(("mistake", "at", "said"), MISTAKES)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, mistake: Callable[[], str], at: str, said: str) -> None:
    file, text = tmp_path / "forms.yml", mistake()
    file.write_text(text, "utf-8")
    with pytest.raises(UsageError) as caught:
        forms.load(file)
    message = str(caught.value)
    assert "\n" not in message
    assert said in message
    assert message.startswith(f"{file}:{line_of(text, at)}: " if at else f"{file}:")


def test_what_follows_the_first_mistake_is_counted(tmp_path: Path) -> None:
    file = tmp_path / "forms.yml"
    file.write_text(TEXT.replace("sources: [ihaho_top, ihaho_about]", "sources: [a, b]"), "utf-8")
    with pytest.raises(UsageError, match=r"unknown source `a`.* \(and 1 more\)$"):
        forms.load(file)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: FileNotFoundError"):
        forms.load(tmp_path / "none.yml")
    (tmp_path / "bytes.yml").write_bytes(b"\xff")
    with pytest.raises(UsageError, match="cannot be read: UnicodeDecodeError"):
        forms.load(tmp_path / "bytes.yml")


def test_a_service_may_take_forms_away(tmp_path: Path) -> None:
    raw = yaml.safe_load(TEXT)
    del raw["forms"]["ihc"]
    file = tmp_path / "forms.yml"
    file.write_text(yaml.safe_dump(raw, allow_unicode=True), "utf-8")
    assert list(forms.load(file).forms) == ["ihaho"]
