"""One escalation record and the form of an outside body → what a person needs to fill that form in. Pure.

A person makes every hand-off; nothing is sent from here. What must not be sent is refused: what the record does not
route to the body, what the body does not take, and any case of distress. The author's id, history and scores are never
part of it. workers.handoff_view puts it on paper.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from models.labels import BY_ID, DISTRESS
from workers.codec import decode, encode
from workers.errors import BadRecord, Refused, UsageError
from workers.events import Dossier, Escalation, ModerationAction
from workers.evidence import own_fault
from workers.forms import Basis, Field, Form, Forms, Note, Source
from workers.policy import iso_minute
from workers.policy_problem import word


class Entry(Struct, frozen=True, kw_only=True):
    """One field as it is to be filled in."""

    id: Annotated[str, Meta(description="the field's name in the forms file")]
    label: Annotated[str, Meta(description="what people call it")]
    value: Annotated[str | None, Meta(description="what goes into it; null: the record does not say, a person does")]
    masked: Annotated[bool, Meta(description="the post's own words: shown on a screen only when asked for")]
    marks: Annotated[list[tuple[int, int]], Meta(description="[start, end]: characters of the value that stand out")]
    basis: Annotated[Basis, Meta(description="what kind of source says that it is asked for")]
    source: Annotated[list[str], Meta(description="keys under `sources`")]
    hint: Annotated[str, Meta(description="what to mind when filling it in")]


class Internal(Struct, frozen=True, kw_only=True):
    """Kept by the service, not written into the form."""

    case_id: Annotated[str, Meta(description="the case")]
    escalation_id: Annotated[str, Meta(description="the record rendered")]
    record_sha256: Annotated[str, Meta(description="hex SHA-256 of that record's value")]
    evidence_sha256: Annotated[str, Meta(description="hex SHA-256 of the evidence: docs/evidence.md")]
    revision: Annotated[int, Meta(description="the revision of the post collected")]
    collected_at: Annotated[str, Meta(description="when it was collected, Japan's clock")]


class Sheet(Struct, frozen=True, kw_only=True):
    """The whole rendering; --json writes it as it is."""

    schema: Annotated[str, Meta(description="record type and its version")] = "handoff/1"
    body: Annotated[str, Meta(description="the body's id in the policy and forms files")]
    name: Annotated[str, Meta(description="its Japanese name")]
    title: Annotated[str, Meta(description="what this is")]
    form_url: Annotated[str, Meta(description="where its form is reached")]
    form_seen: Annotated[bool, Meta(description="whether a person compared these fields with the live form")]
    verified_at: Annotated[str, Meta(description="day on which these fields were last checked")]
    url_only: Annotated[bool, Meta(description="true: nothing of the post but its address may be sent")]
    urgent: Annotated[Note | None, Meta(description="what goes before the form; null: nothing")]
    steps: Annotated[list[Note], Meta(description="what the person does, in order")]
    fields: Annotated[list[Entry], Meta(description="the form's fields in order")]
    left_out: Annotated[list[str], Meta(description="labels of the case that this body does not take")]
    internal: Annotated[Internal, Meta(description="for the service's own file")]
    sources: Annotated[dict[str, Source], Meta(description="where the statements come from")]


@dataclass(frozen=True, slots=True)
class Supplied:
    """What a person adds to the record: the post's address, and what the platform was told to do."""

    url: str | None = None
    actions: Sequence[ModerationAction] = ()


def read_record(name: str, raw: bytes) -> Escalation:
    """The one record of a file; Refused says which field is wrong."""
    raw = raw.strip()
    try:
        return decode(Escalation, raw)
    except BadRecord as error:
        fault = error
    try:
        decode(Escalation, raw.split(b"\n", 1)[0])
    except BadRecord:
        raise Refused(f"{name}: no record of escalation/1: {fault.message}") from None
    raise Refused(f"{name}: more than one record; give the one to hand over")


def read_actions(name: str, lines: Iterable[bytes]) -> list[ModerationAction]:
    """JSON lines of action/1; Refused names the first line that is none."""
    found = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                found.append(decode(ModerationAction, line.strip()))
            except BadRecord as error:
                raise Refused(f"{name}:{number}: no record of action/1: {error.message}") from None
    return found


def choose(forms: Forms, record: Escalation, to: str | None) -> tuple[str, Form]:
    """The form asked for, else that of the first body on the record's routes that has one."""
    if to is not None:
        if to not in forms.forms:
            raise UsageError(f"--to {word(to)}: no such form; there are {', '.join(forms.forms)}")
        return to, forms.forms[to]
    for route in record.routes:
        if route.body in forms.forms:
            return route.body, forms.forms[route.body]
    raise Refused(f"no body that this case is routed to has a form: its routes are {_routes(record)}")


def sheet(forms: Forms, record: Escalation, supplied: Supplied = Supplied(), to: str | None = None) -> Sheet:
    """The rendering, or Refused."""
    body, form = choose(forms, record, to)
    dossier = _refuse(forms, body, form, record)
    url = supplied.url or dossier.url
    if supplied.url is not None and _host(supplied.url) is None:
        raise UsageError("--url: must be a web address, such as https://sns.example/posts/1")
    if form.url_only and _host(url) is None:
        raise Refused(f"not for {body}: it takes web addresses only; look the post up, and give its own with --url")
    entries = [_entry(forms, form, one, record, dossier, url, supplied.actions) for one in form.fields]
    urgent = form.urgent if any(route.body in form.urgent_routes for route in record.routes) else None
    notes = [*form.steps, *([urgent] if urgent else [])]
    used = {key for note in notes for key in note.sources} | {key for entry in entries for key in entry.source}
    return Sheet(
        body=body,
        name=form.name,
        title=form.title,
        form_url=form.url,
        form_seen=form.form_seen,
        verified_at=form.verified_at.isoformat(),
        url_only=form.url_only,
        urgent=urgent,
        steps=form.steps,
        fields=entries,
        left_out=[_japanese(label) for label in record.categories if label not in form.accepts],
        internal=Internal(
            case_id=record.case_id,
            escalation_id=record.escalation_id,
            record_sha256=hashlib.sha256(encode(record)).hexdigest(),
            evidence_sha256=dossier.sha256,
            revision=dossier.post.revision,
            collected_at=iso_minute(dossier.collected_at),
        ),
        sources={key: source for key, source in forms.sources.items() if key in used},
    )


def _refuse(forms: Forms, body: str, form: Form, record: Escalation) -> Dossier:
    """The record's dossier, unless the record must not be handed over."""
    if DISTRESS in record.categories:
        raise Refused(f"not for {body}: a case of distress is never sent to an outside body; staff see to it")
    taken = [label for label in record.categories if label in form.accepts]
    if not taken:
        labels = ", ".join(map(word, record.categories))
        others = [f"--to {other}" for other, one in forms.forms.items() if set(record.categories) & set(one.accepts)]
        instead = " or ".join(others) if others else f"its routes are {_routes(record)}"
        raise Refused(f"not for {body}: it does not take {labels or 'a case without a violation'}; {instead}")
    if body not in [route.body for route in record.routes]:  # such as a violation by somebody in distress
        raise Refused(f"not for {body}: the case is not routed there; its routes are {_routes(record)}")
    if record.status == "closed":
        raise Refused(f"not for {body}: the case is closed; reopen it by a review first")
    if record.dossier is None:
        raise Refused(f"not for {body}: this record has no dossier; take another one of the case")
    fault = own_fault(record.dossier)
    if fault:
        raise Refused(f"not for {body}: {fault}; see mimamori evidence verify")
    return record.dossier


def _entry(
    forms: Forms,
    form: Form,
    one: Field,
    record: Escalation,
    dossier: Dossier,
    url: str | None,
    actions: Iterable[ModerationAction],
) -> Entry:
    value: str | None = None
    marks: list[tuple[int, int]] = []
    match one.value:
        case "url":
            value = url
        case "site":
            value = _host(url)
        case "post_id":
            value = record.post_id
        case "posted_at":
            value = iso_minute(dossier.post.occurred_at)
        case "words":
            value = dossier.post.text
            marks = [(start, end) for start, end, _ in _spans(form, dossier)]
        case "part":
            parts = [f"{start + 1}〜{end}文字目: {_japanese(label)}" for start, end, label in _spans(form, dossier)]
            value = "\n".join(parts) or None
        case "labels":
            value = "\n".join(form.accepts[label] for label in record.categories if label in form.accepts)
        case "actions":
            value = "\n".join(_done(forms, record, actions)) or None
        case "fixed":
            value = one.fixed
        case "blank":
            value = None
    return Entry(
        id=one.id,
        label=one.label,
        value=value or None,
        masked=one.value == "words",
        marks=marks,
        basis=one.basis,
        source=one.sources,
        hint=one.hint,
    )


def _spans(form: Form, dossier: Dossier) -> list[tuple[int, int, str]]:
    """Of what the body takes, and inside the text."""
    length = len(dossier.post.text or "")
    found = {(max(0, start), min(end, length), label) for start, end, label in dossier.spans if label in form.accepts}
    return sorted((start, end, label) for start, end, label in found if start < end)


def _done(forms: Forms, record: Escalation, actions: Iterable[ModerationAction]) -> list[str]:
    """What was done about this post, each action once."""
    mine = {action.action_id: action for action in actions if action.post_id == record.post_id}
    return [
        f"{forms.actions[one.action]}（{'自動' if one.automated else '担当者'}"
        f"{f'、期限 {iso_minute(one.due_at)}' if one.due_at else ''}）"
        for one in mine.values()
    ]


def _host(url: str | None) -> str | None:
    """The host of a web address; None for anything else."""
    try:
        parts = urlsplit(url or "")
    except ValueError:  # such as http://[
        return None
    return parts.hostname if parts.scheme in ("http", "https") else None


def _japanese(label: str) -> str:
    return BY_ID[label].japanese if label in BY_ID else word(label)


def _routes(record: Escalation) -> str:
    """As a refusal names them: where to turn instead."""
    named = [f"{word(route.body)} ({word(route.contact)})" for route in record.routes]
    return ", ".join(named) or "none"
