"""The generated schemas: current, documented, and in agreement with what workers.codec accepts."""

import copy
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from workers import codec, schemas
from workers.errors import BadRecord
from workers.events import (
    KEY_FIELD,
    RECORD_OF,
    Action,
    Care,
    CareContact,
    CareMessage,
    DeadError,
    DeadLetter,
    DeadSource,
    Decision,
    Dossier,
    DossierPost,
    Escalation,
    History,
    ModerationAction,
    Notice,
    Post,
    PostContext,
    Priority,
    Record,
    ReplyTo,
    Review,
    Route,
    Source,
    Topic,
    Verdict,
)

AT = datetime(2026, 4, 1, 3, 4, 5, 678000, tzinfo=UTC)
PAST = History(posts=12, strikes=1, strikes_by_label={"insult": 1}, confirmed=0, suspended=False)
VERSIONS = {"policy_version": "2026-04", "model_version": "m1"}

SAMPLES: dict[Topic, Record] = {
    Topic.POSTS: Post(
        event="edited",
        post_id="p1",
        revision=2,
        author_id="a1",
        occurred_at=AT,
        text="この店は最悪だ 🍜",
        platform="demo",
        url="https://sns.example/p1",
        lang="ja",
        thread_id="t1",
        reply_to=ReplyTo(post_id="p0", author_id="a0"),
        reports=3,
        minor_suspected=True,
    ),
    Topic.STAFF_REVIEWS: Review(
        review_id="r1",
        post_id="p1",
        author_id="a1",
        verdict=Verdict.CHANGE_ACTION,
        reviewer_id="staff-7",
        reason="批評の範囲",
        occurred_at=AT,
        case_id="c1",
        action=Action.RESTORE,
    ),
    Topic.DECISIONS: Decision(
        decision_id="d1",
        post_id="p1",
        revision=2,
        event="edited",
        author_id="a1",
        platform=None,
        occurred_at=AT,
        source=Source(topic="posts", partition=3, offset=41),
        context=PostContext(
            reply_to=None, reports=0, minor_suspected=False, lang="ja", text_sha256=codec.text_sha256("x"), length=1
        ),
        history=PAST,
        scores={"insult": 0.93, "distress": 0.01},
        flagged=["insult"],
        spans=[(0, 7, "insult")],
        severity="serious",
        action=Action.WARN,
        clauses=["1-2"],
        reasons=["侮辱"],
        automated=True,
        shadow=False,
        decided_at=AT,
        **VERSIONS,
    ),
    Topic.ACTIONS: ModerationAction(
        action_id="x1",
        cause="d1",
        automated=True,
        decision_id="d1",
        post_id="p1",
        author_id="a1",
        action=Action.REQUEST_REMOVAL,
        clause="1-2",
        reasons=["侮辱"],
        notice=Notice(title="警告", body="…", resources=["https://learn.example"]),
        due_at=AT,
        reversible=True,
        appeal_until=None,
        supersedes=[],
        **VERSIONS,
    ),
    Topic.ESCALATIONS: Escalation(
        escalation_id="e1",
        case_id="c1",
        status="open",
        decision_id="d1",
        post_id="p1",
        author_id="a1",
        priority=Priority.P1,
        due_at=AT,
        routes=[Route(body="ihaho", name="違法・有害情報相談センター", contact="https://ihaho.example", why="助言")],
        categories=["defamation"],
        dossier=Dossier(
            post=DossierPost(post_id="p1", revision=2, text="…", occurred_at=AT),
            url=None,
            spans=[(0, 1, "defamation")],
            scores={"defamation": 0.9},
            author_history=PAST,
            sha256="0" * 64,
            collected_at=AT,
        ),
        human_required=True,
        reasons=[],
        **VERSIONS,
    ),
    Topic.CARE: Care(
        care_id="k1",
        decision_id="d1",
        post_id="p1",
        author_id="a1",
        priority=Priority.P0,
        message=CareMessage(
            title="心配しています", body="…", contacts=[CareContact(name="いのちSOS", contact="0120", hours="24時間")]
        ),
        due_at=AT,
        reasons=[],
        **VERSIONS,
    ),
    Topic.DEAD_LETTERS: DeadLetter(
        source=DeadSource(topic="posts", partition=0, offset=9, timestamp=1_775_012_645_678),
        key_b64=None,
        value_b64="eA==",
        headers=[("trace", "eA=="), ("empty", None)],
        error=DeadError(type="not_json", message="not valid UTF-8 JSON"),
    ),
}

FORMATS = jsonschema.FormatChecker(formats=())


@FORMATS.checks("date-time", raises=ValueError)
def _is_date_time(value: object) -> bool:
    # jsonschema checks date-time only where rfc3339-validator is installed, and is silent where it is not.
    return not isinstance(value, str) or ("T" in value and datetime.fromisoformat(value).tzinfo is not None)


def _validator(topic: Topic) -> jsonschema.Draft202012Validator:
    schema = json.loads((schemas.DOCS / "schemas" / schemas.file_name(RECORD_OF[topic])).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema, format_checker=FORMATS)


def _value(topic: Topic) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(codec.encode(SAMPLES[topic]))
    return value


def test_committed_files_are_current() -> None:
    assert schemas.stale(schemas.DOCS) == []
    on_disk = {path.name for path in (schemas.DOCS / "schemas").iterdir()}
    assert on_disk == {
        *(f"{name}-1.json" for name in ("post", "review", "decision", "action", "escalation", "care", "dead-letter")),
        "policy.json",
    }


def test_check_names_each_stale_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert schemas.main(["--docs", str(tmp_path)]) == 0
    assert schemas.main(["--docs", str(tmp_path), "--check"]) == 0
    assert capsys.readouterr().err == ""
    (tmp_path / "schemas" / "care-1.json").write_text("{}")
    (tmp_path / "asyncapi.yml").unlink()
    assert schemas.main(["--docs", str(tmp_path), "--check"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": stale")[0] for line in lines] == [
        str(tmp_path / "schemas" / "care-1.json"),
        str(tmp_path / "asyncapi.yml"),
    ]
    assert not (tmp_path / "asyncapi.yml").exists(), "--check must not write"


@pytest.mark.parametrize("topic", list(Topic))
def test_every_field_is_described(topic: Topic) -> None:
    schema = schemas.json_schema(RECORD_OF[topic])
    for part in (schema, *schema.get("$defs", {}).values()):
        assert part.get("description"), part["title"]
        for name, field in part.get("properties", {}).items():
            assert field.get("description"), f"{part['title']}.{name}"


@pytest.mark.parametrize("topic", list(Topic))
def test_schema_field_is_a_required_constant_and_times_are_date_times(topic: Topic) -> None:
    schema = schemas.json_schema(RECORD_OF[topic])
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["properties"]["schema"]["const"] == schemas.tag_of(RECORD_OF[topic])
    assert "schema" in schema["required"]
    times = [
        field
        for part in (schema, *schema.get("$defs", {}).values())
        for name, field in part.get("properties", {}).items()
        if name.endswith(("_at", "_until"))
    ]
    assert times or topic is Topic.DEAD_LETTERS
    for field in times:
        assert "date-time" in [branch.get("format") for branch in field.get("anyOf", [field])]


def test_only_inputs_and_what_came_later_are_optional() -> None:
    optional = {
        topic: set(schema["properties"]) - set(schema["required"])
        for topic, schema in ((topic, schemas.json_schema(record)) for topic, record in RECORD_OF.items())
    }
    assert optional.pop(Topic.POSTS) == {
        *("text", "platform", "url", "lang", "thread_id", "reply_to", "reports", "minor_suspected")
    }
    assert optional.pop(Topic.STAFF_REVIEWS) == {"case_id", "decision_id", "action", "clause", "requested_by"}
    assert optional.pop(Topic.ESCALATIONS) == {"previous_sha256"}  # records from before the chain lack it
    assert not any(optional.values()), optional


@pytest.mark.parametrize("topic", list(Topic))
def test_sample_is_valid_and_round_trips(topic: Topic) -> None:
    value = _value(topic)
    _validator(topic).validate(value)
    assert codec.decode(RECORD_OF[topic], codec.encode(SAMPLES[topic])) == SAMPLES[topic]
    # AsyncAPI 3 reads a schema as draft-07; it must not refuse there what it takes here.
    jsonschema.Draft7Validator(_validator(topic).schema).validate(value)
    _validator(topic).validate(value | {"added_later": 1})


@pytest.mark.parametrize("topic", list(Topic))
def test_broken_samples_are_refused_by_schema_and_codec_alike(topic: Topic) -> None:
    sample = _value(topic)
    validator = _validator(topic)
    broken = [{**sample, "schema": "post/2"}, {**sample, "schema": None}]
    for name in set(sample) & set(schemas.json_schema(RECORD_OF[topic])["required"]):
        broken.append({key: value for key, value in sample.items() if key != name})
        broken.append({**sample, name: 1.5})
    for name in (name for name in sample if name.endswith("_at")):
        broken += [{**sample, name: "2026-04-01T00:00:00"}, {**sample, name: "yesterday"}]
    for value in broken:
        assert not validator.is_valid(value), value
        with pytest.raises(BadRecord):
            codec.decode(RECORD_OF[topic], json.dumps(value).encode())


def _broken_tuples() -> list[tuple[Topic, list[Any]]]:
    return [
        (Topic.DECISIONS, [0, 7]),
        (Topic.DECISIONS, [0, 7, "insult", 1]),
        (Topic.DECISIONS, ["0", 7, "insult"]),
        (Topic.DEAD_LETTERS, ["trace"]),
        (Topic.DEAD_LETTERS, ["trace", "eA==", "eA=="]),
    ]


@pytest.mark.parametrize(("topic", "item"), _broken_tuples())
def test_tuples_keep_their_length(topic: Topic, item: list[Any]) -> None:
    value = _value(topic) | {"spans" if topic is Topic.DECISIONS else "headers": [item]}
    assert not _validator(topic).is_valid(value)


RULES_BETWEEN_FIELDS: list[tuple[Topic, dict[str, Any], bool]] = [
    (Topic.POSTS, {"event": "deleted", "text": None}, True),
    (Topic.POSTS, {"event": "created", "text": None}, False),
    (Topic.POSTS, {"event": "edited", "text": ...}, False),
    (Topic.POSTS, {"event": "deleted", "text": ...}, True),
    (Topic.POSTS, {"text": "あ" * 20_000}, True),
    (Topic.POSTS, {"text": "あ" * 20_001}, False),
    (Topic.POSTS, {"author_id": ""}, False),
    (Topic.POSTS, {"revision": 0}, False),
    (Topic.POSTS, {"reports": -1}, False),
    (Topic.POSTS, {"reply_to": {"post_id": "p0"}}, False),
    (Topic.STAFF_REVIEWS, {"case_id": None}, False),
    (Topic.STAFF_REVIEWS, {"case_id": ...}, False),
    (Topic.STAFF_REVIEWS, {"case_id": None, "decision_id": "d1"}, True),
    (Topic.STAFF_REVIEWS, {"action": None}, False),
    (Topic.STAFF_REVIEWS, {"action": ...}, False),
    (Topic.STAFF_REVIEWS, {"action": None, "verdict": "confirm"}, True),
    (Topic.STAFF_REVIEWS, {"verdict": "shrug"}, False),
]


@pytest.mark.parametrize(("topic", "change", "accepted"), RULES_BETWEEN_FIELDS)
def test_schema_and_codec_agree(topic: Topic, change: dict[str, Any], accepted: bool) -> None:
    value = _value(topic) | change
    value = {key: item for key, item in value.items() if item is not ...}
    assert _validator(topic).is_valid(value) is accepted
    key = str(value["author_id"]).encode()
    if accepted:
        codec.DECODE_OF[topic](key, json.dumps(value).encode())
    else:
        with pytest.raises(BadRecord):
            codec.DECODE_OF[topic](key, json.dumps(value).encode())


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for item in value.values() for found in _references(item)]
    return [found for item in value for found in _references(item)] if isinstance(value, list) else []


def _resolve(document: Any, reference: str, directory: Path) -> Any:
    path, _, pointer = reference.partition("#")
    if path:
        document = json.loads((directory / path).read_text(encoding="utf-8"))
    for step in pointer.split("/")[1:]:
        document = document[step]
    return document


def test_asyncapi_is_sound() -> None:
    document = yaml.safe_load((schemas.DOCS / "asyncapi.yml").read_text(encoding="utf-8"))
    assert document["asyncapi"] == "3.0.0"
    assert {*document["info"]} >= {"title", "version", "description"}
    assert all({*server} >= {"host", "protocol"} for server in document["servers"].values())
    for reference in _references(document):
        assert isinstance(_resolve(document, reference, schemas.DOCS), dict), reference

    assert {channel["address"] for channel in document["channels"].values()} == {topic.value for topic in Topic}
    actions: dict[str, str] = {}
    for operation in document["operations"].values():
        channel = _resolve(document, operation["channel"]["$ref"], schemas.DOCS)
        actions[channel["address"]] = operation["action"]
        topic = Topic(channel["address"])
        (message,) = (
            _resolve(document, _resolve(document, each["$ref"], schemas.DOCS)["$ref"], schemas.DOCS)
            for each in operation["messages"]
        )
        payload = _resolve(document, message["payload"]["$ref"], schemas.DOCS)
        assert payload["properties"]["schema"]["const"] == message["title"] == schemas.tag_of(RECORD_OF[topic])
        key = message["bindings"]["kafka"]["key"]
        assert (KEY_FIELD[topic] or "source record") in key["description"]
        assert KEY_FIELD[topic] is None or KEY_FIELD[topic] in payload["required"]
        assert channel["description"]
        assert operation["summary"]
    inputs = {Topic.POSTS, Topic.STAFF_REVIEWS}
    assert actions == {topic.value: "receive" if topic in inputs else "send" for topic in Topic}
    dead_letter = document["components"]["messages"]["deadLetter"]
    assert set(dead_letter["headers"]["required"]) == {"failed_at", "attempts"}


def test_generation_is_repeatable() -> None:
    first = copy.deepcopy(schemas.documents())
    assert schemas.documents() == first
