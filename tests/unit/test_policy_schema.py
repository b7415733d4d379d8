"""docs/schemas/policy.json, which editors use: it takes what the check takes, and refuses what a type alone can see."""

import json
from typing import Any, Final

import jsonschema
import pytest

from tests.unit.policies import POINTS, TEXT
from workers import policy, policy_source, schemas

SCHEMA: Final = json.loads((schemas.DOCS / "schemas/policy.json").read_text("utf-8"))
VALIDATOR: Final = jsonschema.Draft202012Validator(SCHEMA)


def valid(text: str) -> bool:
    """YAML's dates are strings to an editor."""
    return VALIDATOR.is_valid(json.loads(json.dumps(policy_source.read(text).raw, default=str)))


def test_the_default_is_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert valid(TEXT)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("schema: policy/1", "schema: policy/2"),
        ("title: mimamori", "titel: mimamori"),
        ("strike_days: 90", "strike_days: 0"),
        ("strike_days: 90", "strike_dayz: 90"),
        ("held_as: limit_visibility", "held_as: limit"),
        ("urgent_above: 0.9", "urgent_above: 1.0"),
        ("urgent_priority: P1", "urgent_priority: P4"),
        ('contact: "110"', "contact: 110"),
        ("\nlabels:\n  defamation", "\nlabels:\n  defamatoin"),
        ("  benign: 違反", "  bening: 違反"),
        ("  warn:\n    title: ご", "  warm:\n    title: ご"),
        ("\n  insult:\n    - {body: ihaho", "\n  insultt:\n    - {body: ihaho"),
        ('\n  threat: ["https://no', '\n  threats: ["https://no'),
        ("escalate: human, priority", "priority"),
    ],
)
def test_what_a_type_can_see_is_refused_by_schema_and_check_alike(before: str, after: str) -> None:
    assert TEXT.count(before) == 1
    text = TEXT.replace(before, after)
    assert not valid(text)
    assert policy.examine(text, "mine.yml", POINTS).policy is None


def test_every_field_and_part_is_described() -> None:
    parts: dict[str, Any] = {"PolicyFile": SCHEMA, **SCHEMA["$defs"]}
    for name, part in parts.items():
        assert part["description"], name
        for key, value in part.get("properties", {}).items():
            assert value["description"], f"{name}.{key}"
