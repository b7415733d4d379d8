"""Strict decoding: what is wrong gives a BadRecord that names the field, and never what stood in it."""

import json
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from workers import codec
from workers.errors import BadRecord, Fault
from workers.events import RECORD_OF, DeadError, DeadLetter, DeadSource, Post, Review, Source, Topic, from_kafka_ms

Json = dict[str, Any]

NO_DEADLINE = settings(deadline=None)  # the machine may be busy

POST: Final[Json] = {
    "schema": "post/1",
    "event": "created",
    "post_id": "p1",
    "revision": 1,
    "author_id": "a1",
    "occurred_at": "2026-04-01T00:00:00Z",
    "text": "本文",
}
REVIEW: Final[Json] = {
    "schema": "review/1",
    "review_id": "r1",
    "post_id": "p1",
    "author_id": "a1",
    "verdict": "confirm",
    "reviewer_id": "staff-7",
    "reason": "",
    "occurred_at": "2026-04-01T00:00:00Z",
    "case_id": "c1",
}


def _bytes(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _post(raw: Json | bytes, key: bytes | None = b"a1") -> Post:
    return codec.decode_post(key, raw if isinstance(raw, bytes) else _bytes(raw))


def _review(value: Json, key: bytes | None = b"a1") -> Review:
    return codec.decode_review(key, _bytes(value))


def _refusal(raw: Json | bytes, key: bytes | None = b"a1") -> BadRecord:
    with pytest.raises(BadRecord) as caught:
        _post(raw, key)
    return caught.value


@pytest.mark.parametrize("schema", ["decision/1", "post/2", "POST/1", "", "never-sent/0", 1, None, ["post/1"], ...])
def test_wrong_schema(schema: Any) -> None:
    error = _refusal({key: item for key, item in (POST | {"schema": schema}).items() if item is not ...})
    assert error.fault is Fault.WRONG_SCHEMA
    assert "schema`" in error.message


def test_schema_may_stand_anywhere_but_only_once() -> None:
    assert _post({key: POST[key] for key in reversed(POST)}) == _post(POST)
    assert _refusal(_bytes(POST)[:-1] + b',"schema":"decision/1"}').fault is Fault.WRONG_SCHEMA


@pytest.mark.parametrize("key", [None, b"", b"a2", b"A1", b"a1 ", b"p1", b"\xff"])
def test_wrong_key(key: bytes | None) -> None:
    for topic, value in ((Topic.POSTS, POST), (Topic.STAFF_REVIEWS, REVIEW)):
        with pytest.raises(BadRecord) as caught:
            codec.DECODE_OF[topic](key, _bytes(value))
        assert caught.value.fault is Fault.WRONG_KEY
        assert "author_id" in caught.value.message
        assert topic.value in caught.value.message


def test_key_is_utf8() -> None:
    assert _post(POST | {"author_id": "利用者"}, "利用者".encode()).author_id == "利用者"
    assert _refusal(POST | {"author_id": "利用者"}, "利用者".encode("euc-jp")).fault is Fault.WRONG_KEY


@pytest.mark.parametrize(
    "time",
    [
        "2026-04-01T00:00:00",  # naive
        "2026-04-01",
        "2026-02-30T00:00:00Z",
        "2026-04-01T24:00:01Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",  # before year 1 in UTC
        "9999-12-31T23:59:59-14:00",
        "",
        "昨日",
        1_775_000_000,
    ],
)
def test_bad_times(time: Any) -> None:
    for decode, value in ((_post, POST), (_review, REVIEW)):
        with pytest.raises(BadRecord) as caught:
            decode(value | {"occurred_at": time})
        assert caught.value.fault is Fault.INVALID_FIELD
        assert caught.value.message.endswith("- at `$.occurred_at`")


def test_times_are_instants() -> None:
    tokyo = _post(POST | {"occurred_at": "2026-04-01T09:00:00+09:00"}).occurred_at
    assert tokyo == _post(POST).occurred_at
    assert codec.to_utc(tokyo).isoformat() == "2026-04-01T00:00:00+00:00"
    assert codec.to_utc(datetime(2026, 4, 1, 9, tzinfo=timezone(timedelta(hours=9)))) == tokyo


@pytest.mark.parametrize(
    ("field", "value", "accepted"),
    [
        ("text", "🍜" * 20_000, True),
        ("text", "🍜" * 20_001, False),
        ("text", "", True),
        ("author_id", "", False),
        ("post_id", "あ" * 256, True),
        ("post_id", "あ" * 257, False),
        ("url", "u" * 2_048, True),
        ("url", "u" * 2_049, False),
        ("platform", "p" * 257, False),
        ("lang", "l" * 36, False),
        ("thread_id", "t" * 257, False),
        ("revision", 2**53, True),
        ("revision", 2**53 + 1, False),
        ("revision", 2**64, False),
        ("revision", 10**400, False),
        ("revision", 0, False),
        ("revision", True, False),
        ("revision", "1", False),
        ("reports", -1, False),
        ("event", "Created", False),
    ],
)
def test_limits(field: str, value: Any, accepted: bool) -> None:
    if accepted:
        assert getattr(_post(POST | {field: value}), field) == value
        return
    error = _refusal(POST | {field: value})
    assert error.fault is Fault.INVALID_FIELD
    assert error.message.endswith(f"- at `$.{field}`")


@pytest.mark.parametrize("number", [b"1.0", b"1e2", b"1e400", b"-1e400", b"1" * 400, b"1" * 5_000])
def test_odd_numbers(number: bytes) -> None:
    error = _refusal(_bytes(POST).replace(b'"revision": 1', b'"revision": ' + number))
    assert error.fault is Fault.INVALID_FIELD
    assert error.message.endswith("- at `$.revision`")


def test_text_is_needed_unless_deleted() -> None:
    for event in ("created", "edited"):
        for value in (POST | {"event": event, "text": None}, {k: v for k, v in POST.items() if k != "text"}):
            error = _refusal(value | {"event": event})
            assert error.fault is Fault.INVALID_FIELD
            assert "`text`" in error.message
    assert _post({k: v for k, v in POST.items() if k != "text"} | {"event": "deleted"}).text is None


def test_reviews_name_a_subject_and_what_to_do() -> None:
    for change, field in (({"case_id": None}, "case_id"), ({"verdict": "change_action"}, "action")):
        with pytest.raises(BadRecord) as caught:
            _review(REVIEW | change)
        assert caught.value.fault is Fault.INVALID_FIELD
        assert f"`{field}`" in caught.value.message
    assert _review(REVIEW | {"case_id": None, "decision_id": "d1"}).requested_by == "staff"
    assert _review(REVIEW | {"verdict": "change_action", "action": "restore"}).action == "restore"


def test_truncation_at_every_byte() -> None:
    raw = _bytes(POST)
    for length in range(len(raw)):
        assert _refusal(raw[:length]).fault is Fault.NOT_JSON, length


BAD_BYTES: Final = {
    "not utf-8": (b"\xff\xfe", 0),
    "latin-1": (_bytes(POST).replace("本文".encode(), b"caf\xe9"), _bytes(POST).index("本文".encode()) + 3),
    "cut character": (_bytes(POST).replace("本文".encode(), b"\xe6\x9c"), _bytes(POST).index("本文".encode())),
    "overlong": (b'{"schema":"\xc0\xaf"}', 11),
    "surrogate in utf-8": (b'{"schema":"\xed\xa0\x80"}', 11),
    "in a field that is ignored": (_bytes(POST)[:-1] + b',"x":"\xff"}', len(_bytes(POST)) + 5),
    "in a name that is ignored": (_bytes(POST)[:-1] + b',"\xff":1}', len(_bytes(POST)) + 1),
}


@pytest.mark.parametrize("case", BAD_BYTES)
def test_wrong_utf8_says_where(case: str) -> None:
    raw, position = BAD_BYTES[case]
    error = _refusal(raw)
    assert error.fault is Fault.NOT_JSON
    assert error.message == f"not valid UTF-8 JSON at byte {position}"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"\xef\xbb\xbf" + _bytes(POST),
        _bytes(POST).decode().encode("utf-16"),
        _bytes(POST) + b"}",
        _bytes(POST) + _bytes(POST),
        _bytes(POST).replace(b'"revision": 1', b'"revision": NaN'),
        _bytes(POST).replace("本".encode(), b"\x01"),
        _bytes(POST).replace("本".encode(), b"\\x"),
        _bytes(POST).replace(b'"', b"'"),
    ],
)
def test_not_json(raw: bytes) -> None:
    assert _refusal(raw).fault is Fault.NOT_JSON


def test_no_value() -> None:
    with pytest.raises(BadRecord) as caught:
        codec.decode_post(b"a1", None)
    assert caught.value.fault is Fault.NOT_JSON


@pytest.mark.parametrize("raw", [b"null", b"[]", b"1", b'"post/1"', b"true"])
def test_not_an_object(raw: bytes) -> None:
    error = _refusal(raw)
    assert error.fault is Fault.INVALID_FIELD
    assert error.message.startswith("Expected `object`")


@pytest.mark.parametrize("escape", ["\\ud800", "\\udc00", "\\ud800\\ud800", "\\ude00\\ud83d"])
@pytest.mark.parametrize("field", ["text", "author_id", "post_id", "url", "event", "schema"])
def test_unpaired_surrogates(escape: str, field: str) -> None:
    raw = json.dumps(POST | {field: "@"}).replace('"@"', f'"{escape}"').encode()
    assert _refusal(raw).fault is Fault.NOT_JSON


def test_paired_surrogates_are_a_character() -> None:
    raw = json.dumps(POST | {"text": "🍜"}).encode()
    assert b"\\ud83c" in raw
    assert _post(raw).text == "🍜"


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"1}")])
def test_deep_nesting(opening: bytes, closing: bytes) -> None:
    for depth in (5_000, 100_000):
        deep = opening * depth + closing * min(depth, 1) + closing[-1:] * (depth - 1)
        ignored = _refusal(_bytes(POST)[:-1] + b',"x":' + deep + b"}")
        assert (ignored.fault, ignored.message) == (Fault.NOT_JSON, "nested too deeply")
        known = _refusal(_bytes(POST).replace(b'"p1"', deep))
        assert known.fault in (Fault.INVALID_FIELD, Fault.NOT_JSON)
        assert _refusal(deep).fault in (Fault.INVALID_FIELD, Fault.NOT_JSON, Fault.WRONG_SCHEMA)


def test_too_large() -> None:
    padded = _bytes(POST)[:-1] + b',"x":"' + b"y" * codec.MAX_RECORD_BYTES + b'"}'
    error = _refusal(padded)
    assert error.fault is Fault.TOO_LARGE
    assert str(len(padded)) in error.message


def test_dead_letter_holds_the_largest_record() -> None:
    letter = DeadLetter(
        source=DeadSource(topic="posts", partition=0, offset=0, timestamp=0),
        key_b64=None,
        value_b64="A" * (codec.MAX_RECORD_BYTES * 4 // 3),
        headers=[],
        error=DeadError(type="not_json", message=""),
    )
    assert codec.decode(DeadLetter, codec.encode(letter)) == letter
    with pytest.raises(BadRecord) as caught:
        codec.decode(DeadLetter, codec.encode(letter) + b" " * codec.MAX_RECORD_BYTES)
    assert caught.value.fault is Fault.TOO_LARGE


# Post text is Japanese here, so that no run of it can stand in an English message by chance; the joints imitate the
# messages' own syntax, to lure the part of the code that takes values out of them.
JAPANESE = st.text(st.characters(min_codepoint=0x3041, max_codepoint=0x9FFF), min_size=6, max_size=40)
JOINTS = st.sampled_from(
    ["", " - at `$.text`", "' - at `$.event`", "`schema`", "Invalid value '", "\n", '"', "\\", "$."]
)
FIELDS: Final = [*POST, "url", "lang", "reply_to", "reports", "minor_suspected"]


@NO_DEADLINE
@given(words=JAPANESE, joint=JOINTS, field=st.sampled_from(FIELDS), shape=st.integers(0, 7), cut=st.integers(1, 60))
@example(words="今から死ぬつもり", joint="' - at `$.event`", field="event", shape=0, cut=1)
@example(words="今から死ぬつもり", joint=" - at `$.text`", field="schema", shape=0, cut=1)
def test_no_post_text_in_messages(words: str, joint: str, field: str, shape: int, cut: int) -> None:
    text = words + joint + words
    shaped: list[Any] = [text, [text], {text: text}, {"post_id": text}, {"author_id": [text], "post_id": 1}]
    value: Json = {**POST, "text": text}
    key = b"a1"
    if shape < len(shaped):
        value[field] = shaped[shape]
    elif shape == 5:
        value = {text: value, "schema": text}
    elif shape == 6:
        key = text.encode()
    raw = _bytes(value)[:-cut] if shape == 7 else _bytes(value)
    attempts: list[tuple[Any, ...]] = [(codec.decode_post, key, raw), (codec.decode_review, key, raw)]
    attempts += [(codec.decode, kind, raw) for kind in RECORD_OF.values()]
    for decode, *arguments in attempts:
        shown = _shown(decode, *arguments)
        assert not any(words[i : i + 6] in shown for i in range(len(words) - 5)), shown


def _shown(decode: Callable[..., object], *arguments: Any) -> str:
    """All that a log could show of the refusal, its traceback included."""
    try:
        decode(*arguments)
    except BadRecord as error:
        return "".join((repr(error), error.message, *traceback.format_exception(error)))
    return ""


@NO_DEADLINE
@given(st.binary(max_size=200))
def test_arbitrary_bytes_never_crash(raw: bytes) -> None:
    for kind in RECORD_OF.values():
        with pytest.raises(BadRecord):
            codec.decode(kind, raw)


PARTS = st.lists(st.text(max_size=6) | st.integers(-(2**60), 2**60), max_size=4).map(tuple)


@NO_DEADLINE
@given(PARTS, PARTS)
def test_ids_are_equal_only_for_equal_parts(left: tuple[str | int, ...], right: tuple[str | int, ...]) -> None:
    assert (codec.make_id(*left) == codec.make_id(*right)) is (left == right)


def test_ids_are_fixed() -> None:
    # printf '["p1",1]' | sha256sum | cut -c1-32
    assert codec.decision_id("p1", 1) == "c1d8d49364c3d15474b07d41fd170cae"
    assert codec.decision_id("p1", 1, shadow_policy="v2") == "a87b7fd1158e1c5e185c4a5a377c8712"
    assert codec.output_id(Topic.ACTIONS, "d1", "warn") == "9ca1b106676ba265c50c175ed868f58f"
    pairs: list[tuple[tuple[str | int, ...], tuple[str | int, ...]]] = [
        (("a", "b"), ("ab", "")),
        (("a", "b"), ("ab",)),
        (("a", "b"), ('a","b',)),
        (("a", 1), ("a", "1")),
        ((), ("",)),
        (("か\u3099",), ("が",)),
    ]
    for left, right in pairs:
        assert codec.make_id(*left) != codec.make_id(*right)
    assert codec.decision_id("p1", 1) != codec.decision_id("p1", 2)
    assert codec.decision_id("p1", 1) != codec.decision_id("p1", 1, shadow_policy="v2")
    assert codec.decision_id("p1", 1, shadow_policy="v1") != codec.decision_id("p1", 1, shadow_policy="v2")
    assert codec.output_id(Topic.ACTIONS, "d1", "warn") != codec.output_id(Topic.CARE, "d1", "warn")


def test_encoding_is_canonical() -> None:
    one = codec.encode(Source(topic="posts", partition=3, offset=41))
    assert one == b'{"topic":"posts","partition":3,"offset":41}'

    class Holder(msgspec.Struct):
        b: dict[str, float]
        a: datetime

    at = from_kafka_ms(1_775_000_000_123)
    assert codec.encode(Holder({"z": 1.0, "あ": 0.5}, at)) == codec.encode(Holder({"あ": 0.5, "z": 1.0}, at))
    assert codec.encode(Holder({}, at)) == b'{"b":{},"a":"2026-03-31T23:33:20.123000Z"}'
    assert at.tzinfo is UTC
    assert codec.encode(_post(POST)).startswith(b'{"schema":"post/1","event":"created",')
    assert "本文".encode() in codec.encode(_post(POST))


def test_text_hash_is_of_utf8() -> None:
    # printf 死 | sha256sum
    assert codec.text_sha256("死") == "586af0c5092c7ad8c8372a9493731f602c94e3f3cd7c8eaa9985db02e43b2c8a"
