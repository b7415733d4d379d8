"""The hand-off forms as structs, read from workers/policies/forms.yml or a service's own copy. Pure but for reading it.

What each body asks for, what it takes, and where that is known from is data; workers.handoff fills it in. Nothing here
knows a case.
"""

from datetime import date
from importlib import resources
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from models.labels import VIOLATION_IDS
from workers import policy_source
from workers.errors import UsageError
from workers.events import Action
from workers.policy_problem import Problem, choice, word

Kind = Literal["url", "site", "post_id", "posted_at", "words", "part", "labels", "actions", "fixed", "blank"]
# What a body that takes addresses only may be told: none of these comes from the post's words, author or history.
URL_ONLY_KINDS: Final[tuple[Kind, ...]] = ("url", "labels", "fixed", "blank")
Basis = Literal["own_page", "authority", "document"]


class _Data(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Source(_Data, frozen=True):
    """Where a statement about a form comes from."""

    title: Annotated[str, Meta(min_length=1, description="what people call it")]
    verified_at: Annotated[date, Meta(description="day on which it was last read")]
    live: Annotated[bool, Meta(description="false: a stored copy was read, not the site itself")]
    url: Annotated[str | None, Meta(description="its address; none for a document of this project")] = None


class Note(_Data, frozen=True):
    """A sentence for the person at the form."""

    text: Annotated[str, Meta(min_length=1, description="one or two sentences")]
    sources: Annotated[list[str], Meta(min_length=1, description="keys under `sources`")]


class Field(_Data, frozen=True):
    """One field of the web form, as far as it is known."""

    id: Annotated[str, Meta(min_length=1, description="its name in JSON")]
    label: Annotated[str, Meta(min_length=1, description="what people call it")]
    value: Annotated[Kind, Meta(description="what of the record goes into it")]
    basis: Annotated[Basis, Meta(description="what kind of source says that it is asked for")]
    sources: Annotated[list[str], Meta(min_length=1, description="keys under `sources`")]
    hint: Annotated[str, Meta(description="what to mind when filling it in")] = ""
    fixed: Annotated[str, Meta(description="with value `fixed`: the words themselves")] = ""


class Form(_Data, frozen=True):
    """The form of one body."""

    name: Annotated[str, Meta(min_length=1, description="the body's Japanese name")]
    title: Annotated[str, Meta(min_length=1, description="what the rendering is")]
    url: Annotated[str, Meta(pattern="^https?://", description="where the form is reached")]
    form_seen: Annotated[bool, Meta(description="whether a person compared these fields with the live form")]
    verified_at: Annotated[date, Meta(description="day on which these fields were last checked")]
    url_only: Annotated[bool, Meta(description="true: nothing of the post but its address may be sent")]
    accepts: Annotated[dict[str, str], Meta(min_length=1, description="labels it takes, each in the form's words")]
    urgent_routes: Annotated[list[str], Meta(description="routes of a case beside which `urgent` is shown")]
    urgent: Annotated[Note, Meta(description="what goes before the form")]
    steps: Annotated[list[Note], Meta(min_length=1, description="what the person does, in order")]
    fields: Annotated[list[Field], Meta(min_length=1, description="in the order of the form")]


class Forms(_Data, frozen=True):
    """The file."""

    schema: Annotated[Literal["forms/1"], Meta(description="file type and its version")]
    sources: Annotated[dict[str, Source], Meta(description="where statements come from, by key")]
    actions: Annotated[dict[Action, str], Meta(description="every action in words")]
    forms: Annotated[dict[str, Form], Meta(description="by the body's id in the policy file")]


def load(path: Path | None = None) -> Forms:
    """The forms in a file (None: the packaged one); UsageError of one line names the first problem and its line."""
    if path is None:
        name, text = "forms.yml", resources.files("workers").joinpath("policies/forms.yml").read_text("utf-8")
    else:
        try:
            name, text = str(path), path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path}: cannot be read: {type(error).__name__}") from None
    found = policy_source.read(text)
    problems = found.problems or [*policy_source.typed(found.raw, Forms)]
    forms = None if problems else msgspec.convert(found.raw, Forms)
    problems = problems if forms is None else _check(forms)
    if forms is None or problems:
        first = min(problems, key=found.lines.line)
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise UsageError(found.lines.told(name, first) + more)
    return forms


def _check(forms: Forms) -> list[Problem]:
    """What the types cannot say."""
    problems = [
        Problem(("actions",), f"`{action.value}` is missing", "Add it in words.")
        for action in Action
        if action not in forms.actions
    ]
    for body, form in forms.forms.items():
        place = ("forms", body)
        problems += [  # distress above all: it is never sent anywhere
            Problem((*place, "accepts", label), f"`{word(label)}` is no violation", choice(label, VIOLATION_IDS))
            for label in form.accepts
            if label not in VIOLATION_IDS
        ]
        named: list[tuple[tuple[str | int, ...], Note | Field]] = [((*place, "urgent"), form.urgent)]
        named += [((*place, "steps", number), step) for number, step in enumerate(form.steps)]
        named += [((*place, "fields", number), one) for number, one in enumerate(form.fields)]
        problems += [
            Problem((*where, "sources"), f"unknown source `{word(key)}`", choice(key, forms.sources))
            for where, one in named
            for key in one.sources
            if key not in forms.sources
        ]
        problems += _check_fields(form, (*place, "fields"))
    return problems


def _check_fields(form: Form, place: tuple[str, ...]) -> list[Problem]:
    problems = []
    ids = [one.id for one in form.fields]
    for number, one in enumerate(form.fields):
        here = (*place, number)
        if one.id in ids[:number]:
            problems.append(Problem((*here, "id"), f"`{word(one.id)}` stands twice", "Give each field its own."))
        if (one.value == "fixed") != bool(one.fixed):
            problems.append(Problem(here, "`fixed` goes with value fixed", "Give both or neither."))
        if form.url_only and one.value not in URL_ONLY_KINDS:
            remedy = f"With url_only a value is one of {', '.join(URL_ONLY_KINDS)}."
            problems.append(Problem((*here, "value"), f"`{one.value}` tells of more than the address", remedy))
    return problems
