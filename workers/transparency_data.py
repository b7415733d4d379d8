"""What a report is held against and the words of its page, read from workers/policies/transparency.yml. Pure but for
reading it.

The deadlines of the law stand there with their source; names of clauses and bodies come from the policy file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import resources
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from models.labels import BY_ID
from workers import forms, policy_source
from workers.errors import UsageError
from workers.policy_data import PolicyFile, Regime

Words = tuple[str, str]  # Japanese, English
OTHER: Final = "other"  # whoever is not known by a word


class _Data(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Law(_Data, frozen=True):
    """The deadlines of an answer to a request for removal."""

    name: Annotated[str, Meta(description="the law, as people call it")]
    answer_days: Annotated[int, Meta(ge=1, le=365, description="days in which a request is answered")]
    ceiling_days: Annotated[int, Meta(ge=1, le=365, description="the statute's ceiling")]
    source: Annotated[str, Meta(description="where the deadlines come from")]
    verified_at: Annotated[date, Meta(description="day on which a person last checked them")]


class TableText(_Data, frozen=True):
    """One table of the page."""

    title: str
    english: str
    asked_by: Annotated[Literal["law", "ministry", "educators"], Meta(description="who asks for the figure")]


class Data(_Data, frozen=True):
    """The file."""

    schema: Literal["transparency/1"]
    law: Law
    reoffence_days: Annotated[int, Meta(ge=1, le=400, description="days in which a next violation is a re-offence")]
    requesters: dict[str, str]
    regimes: dict[Regime, Words]
    notes: dict[Literal["report", "trend"], list[Words]]
    dimensions: dict[str, Words]
    columns: dict[str, Words]
    values: dict[str, dict[str, Words]]
    tables: dict[str, TableText]


@cache
def load() -> Data:
    """The packaged file. UsageError names the first line at fault: it is part of the package."""
    source = policy_source.read(resources.files("workers").joinpath("policies/transparency.yml").read_text("utf-8"))
    problems = source.problems or [*policy_source.typed(source.raw, Data)]
    if problems:
        raise UsageError(source.lines.told("transparency.yml", min(problems, key=source.lines.line)))
    return msgspec.convert(source.raw, Data)


@dataclass(frozen=True)
class Vocabulary:
    """Japanese and English for what stands in a table; `policy` names clauses and bodies, where there is one."""

    data: Data
    policy: PolicyFile | None = None

    def requester(self, requested_by: str) -> str:
        """`requested_by` of a review as one of the known words: anybody may have written anything there."""
        known = requested_by in self.data.requesters or (self.policy and requested_by in self.policy.bodies)
        return requested_by if known else OTHER

    def value(self, dimension: str, value: str) -> Words:
        """A value of a table's dimension; what has no words of its own stands for itself."""
        known: Mapping[str, Words] = self.data.values.get(dimension, {})
        if value in known:
            return known[value]
        if dimension in ("label", "ground") and value in BY_ID:
            return BY_ID[value].japanese, value
        if dimension == "action":
            return {action.value: words for action, words in forms.load().actions.items()}.get(value, value), value
        if dimension == "clause" and self.policy and value in self.policy.clauses:
            return self.policy.clauses[value].title, value
        if dimension == "requester":
            if value in self.data.requesters:
                return self.data.requesters[value], value
            if self.policy and value in self.policy.bodies:
                return self.policy.bodies[value].name, value
        return value, ""
