"""The record types as JSON Schemas (2020-12) and one AsyncAPI 3 document, for those who read and write the topics; and
the policy file's schema, for editors.

`python -m workers.schemas` writes docs/schemas/*.json and docs/asyncapi.yml; `--check` writes nothing, names each
file that differs and exits 1. The schemas say what workers.codec accepts, its rules between fields included. They
cannot say that a record's key must equal one of its fields, that a dead letter's `value_b64` may be anything, or
that an unknown field is ignored rather than kept. Of a policy they say what one place may hold; `mimamori policy check`
says the rest.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from workers.events import KEY_FIELD, RECORD_OF, Post, Review, Topic
from workers.policy_data import PolicyFile

Json = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
DOCS: Final = Path(__file__).resolve().parent.parent / "docs"
_DEFINITION: Final = "#/$defs/{name}"
_INPUTS: Final = frozenset((Topic.POSTS, Topic.STAFF_REVIEWS))

# What workers.codec asks of several fields at once, which no field's type can say.
_BETWEEN_FIELDS: Final[dict[type[Any], list[Json]]] = {
    Post: [
        {
            "if": {"properties": {"event": {"enum": ["created", "edited"]}}},
            "then": {"required": ["text"], "properties": {"text": {"type": "string"}}},
        }
    ],
    Review: [
        {
            "anyOf": [
                {"required": ["case_id"], "properties": {"case_id": {"type": "string"}}},
                {"required": ["decision_id"], "properties": {"decision_id": {"type": "string"}}},
            ]
        },
        {
            "if": {"properties": {"verdict": {"const": "change_action"}}},
            "then": {"required": ["action"], "properties": {"action": {"type": "string"}}},
        },
    ],
}

# One line for each topic: (message name, operation, what the operation does from the worker's point of view).
_TRAFFIC: Final[dict[Topic, tuple[str, str, str]]] = {
    Topic.POSTS: ("post", "receivePost", "Takes every post created, edited or deleted, in order per author."),
    Topic.STAFF_REVIEWS: (
        "review",
        "receiveReview",
        "Takes what staff decided, appeals, and requests by outside bodies, in order per author.",
    ),
    Topic.DECISIONS: ("decision", "sendDecision", "Writes one decision for every post revision, benign ones included."),
    Topic.ACTIONS: ("action", "sendAction", "Writes what the platform must do, only where something is to be done."),
    Topic.ESCALATIONS: ("escalation", "sendEscalation", "Writes each step of a case in the consultation queue."),
    Topic.CARE: ("care", "sendCare", "Writes that someone may want to die. Readers are restricted."),
    Topic.DEAD_LETTERS: (
        "deadLetter",
        "sendDeadLetter",
        "Writes every record that could not be processed, its bytes unchanged.",
    ),
}

_HEADERS: Final[dict[Topic, Json]] = {
    Topic.DEAD_LETTERS: {
        "type": "object",
        "description": "What differs between redeliveries of one dead letter, kept out of its value.",
        "required": ["failed_at", "attempts"],
        "properties": {
            "failed_at": {
                "type": "string",
                "pattern": "^[0-9]+$",
                "description": "when the worker gave up, ms since the epoch, in decimal",
            },
            "attempts": {"type": "string", "pattern": "^[0-9]+$", "description": "how often it tried, in decimal"},
        },
    }
}

_DESCRIPTION: Final = """\
mimamori (見守り) reads posts and staff reviews and writes decisions, actions, cases for the consultation queue and
care records. Values are UTF-8 JSON; times are RFC 3339; unknown fields are ignored; a record with a missing or
mistyped field, or with another key than the one named, becomes a dead letter. Delivery is at least once: drop what
repeats by its id. Addresses are the defaults of topics.yml; MIMAMORI_TOPIC_PREFIX goes before each.
"""


def tag_of(record: type[Any]) -> str:
    """The value of the record's `schema` field, such as post/1."""
    tag = record.__struct_config__.tag
    if not isinstance(tag, str):
        raise TypeError(f"{record.__name__} has no string tag")
    return tag


def file_name(record: type[Any]) -> str:
    """post/1 → post-1.json."""
    return tag_of(record).replace("/", "-") + ".json"


def json_schema(record: type[Any]) -> Json:
    """The record's schema, each nested part under `$defs`."""
    schema, definitions = _schema_and_parts(record)
    schema["properties"]["schema"] = {"description": "record type and its version", "const": tag_of(record)}
    if record in _BETWEEN_FIELDS:
        schema["allOf"] = _BETWEEN_FIELDS[record]
    return _whole(schema, definitions)


def policy_schema() -> Json:
    """The schema of a policy file."""
    return _whole(*_schema_and_parts(PolicyFile))


def _whole(schema: Json, definitions: Json) -> Json:
    return {"$schema": DIALECT, **schema} | ({"$defs": dict(sorted(definitions.items()))} if definitions else {})


def _schema_and_parts(record: type[Any]) -> tuple[Json, Json]:
    _, definitions = msgspec.json.schema_components([record], ref_template=_DEFINITION)
    for definition in definitions.values():
        for name, field in definition.get("properties", {}).items():
            definition["properties"][name] = _loose_tuples(_described(field))
    return definitions.pop(record.__name__), definitions


def _described(field: Json) -> Json:
    """The field with its description at the top: msgspec leaves that of `Annotated[str, …] | None` in the branch."""
    branches = [branch for branch in field.get("anyOf", ()) if "description" in branch]
    if not branches:
        return field
    description = field.get("description", branches[0]["description"])
    for branch in branches:
        del branch["description"]
    return {"description": description} | field


def _loose_tuples(value: Any) -> Any:
    """Without `items: false` beside `maxItems`: 2020-12 needs it no more, and AsyncAPI's draft-07 would forbid all."""
    if isinstance(value, dict):
        return {
            key: _loose_tuples(item)
            for key, item in value.items()
            if not (key == "items" and item is False and "maxItems" in value)
        }
    return [_loose_tuples(item) for item in value] if isinstance(value, list) else value


def asyncapi() -> Json:
    """The AsyncAPI document: channels, messages and operations of the worker."""
    channels, operations, messages = {}, {}, {}
    for topic, record in RECORD_OF.items():
        name, operation, what = _TRAFFIC[topic]
        channels[topic.value] = _channel(topic, name)
        operations[operation] = {
            "action": "receive" if topic in _INPUTS else "send",
            "channel": {"$ref": f"#/channels/{topic.value}"},
            "summary": what,
            "messages": [{"$ref": f"#/channels/{topic.value}/messages/{name}"}],
        }
        messages[name] = _message(topic, record, name)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "mimamori worker",
            "version": "1.0.0",
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "cluster": {
                "host": "{bootstrap}",
                "protocol": "kafka",
                "description": "The operator's Kafka cluster.",
                "variables": {
                    "bootstrap": {
                        "default": "localhost:9092",
                        "description": "One host:port of MIMAMORI_BOOTSTRAP_SERVERS.",
                    }
                },
            }
        },
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages},
    }


def _channel(topic: Topic, message: str) -> Json:
    return {
        "address": topic.value,
        "title": topic.value,
        "description": f"{_TRAFFIC[topic][2]} {_key_sentence(topic)}",
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
        "bindings": {"kafka": {"topic": topic.value, "bindingVersion": "0.5.0"}},
    }


def _message(topic: Topic, record: type[Any], name: str) -> Json:
    message: Json = {
        "name": name,
        "title": tag_of(record),
        "summary": (record.__doc__ or "").split("\n")[0],
        "contentType": "application/json",
        "payload": {"$ref": f"schemas/{file_name(record)}"},
        "bindings": {
            "kafka": {"key": {"type": "string", "description": _key_sentence(topic)}, "bindingVersion": "0.5.0"}
        },
    }
    if topic in _HEADERS:
        message["headers"] = _HEADERS[topic]
    return message


def _key_sentence(topic: Topic) -> str:
    field = KEY_FIELD[topic]
    return f"Record key: {field}." if field else "Record key: that of the source record; it may be missing."


def documents() -> dict[str, str]:
    """Every generated file: path under docs/ → content."""
    files = {
        f"schemas/{file_name(record)}": json.dumps(json_schema(record), ensure_ascii=False, indent=2) + "\n"
        for record in RECORD_OF.values()
    }
    files["schemas/policy.json"] = json.dumps(policy_schema(), ensure_ascii=False, indent=2) + "\n"
    body = yaml.dump(asyncapi(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    files["asyncapi.yml"] = f"# Written by `python -m workers.schemas`; change workers/events.py instead.\n{body}"
    return files


class _Dumper(yaml.SafeDumper):
    """Writes repeated parts in full, since few readers of AsyncAPI know YAML's anchors, and long texts as blocks."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def lines(self, text: str) -> yaml.Node:
        return self.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _Dumper.lines)


def stale(docs: Path) -> list[Path]:
    """The files that differ from what the record types say, or are missing."""
    wanted = {docs / path: content.encode() for path, content in documents().items()}
    return [path for path, content in wanted.items() if not path.is_file() or path.read_bytes() != content]


def write(docs: Path) -> None:
    """Write every file."""
    for path, content in documents().items():
        (docs / path).parent.mkdir(parents=True, exist_ok=True)
        (docs / path).write_bytes(content.encode())


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 where --check found a stale file."""
    parser = argparse.ArgumentParser(prog="python -m workers.schemas", description="Write docs/ from the record types.")
    parser.add_argument("--check", action="store_true", help="write nothing; name each stale file and exit 1")
    parser.add_argument("--docs", type=Path, default=DOCS, help="the directory to write to (default: %(default)s)")
    options = parser.parse_args(arguments)
    if not options.check:
        write(options.docs)
        return 0
    found = stale(options.docs)
    for path in found:
        print(f"{path}: stale; run python -m workers.schemas", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
