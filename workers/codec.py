"""Bytes ↔ records: strict decoding that says which field is wrong and never what stood in it; canonical encoding.

Same record in, same bytes out: keys in declaration order, maps sorted, times in UTC. Identifiers are hashes over an
unambiguous encoding of their parts.
"""

import hashlib
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final, TypeVar

import msgspec

from workers.errors import BadRecord, Fault
from workers.events import KEY_FIELD, DeadLetter, Post, Record, Review, Topic

T = TypeVar("T")

MAX_RECORD_BYTES: Final = 1 << 20  # posts takes messages up to 1 MiB
MAX_DEAD_LETTER_BYTES: Final = 2 << 20  # base64 of such a message is longer than the message
_ID_CHARACTERS: Final = 32  # 128 bits
_LAST_STAMP_MS: Final = 253_370_764_800_000  # 9999-01-01T00:00:00Z: what is due after it still has a date

_ENCODER: Final = msgspec.json.Encoder(order="deterministic")


class _NeverSent(msgspec.Struct, tag_field="schema", tag="never-sent/0"):
    """msgspec insists on the tag only where a union has to be told apart."""


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind | _NeverSent)


def encode(record: Record | msgspec.Struct) -> bytes:
    """Canonical UTF-8 JSON."""
    return _ENCODER.encode(record)


def decode(kind: type[T], raw: bytes | None) -> T:
    """`raw` as `kind`; BadRecord names the field at fault."""
    if raw is None:
        raise BadRecord(Fault.NOT_JSON, "the record has no value")
    limit = MAX_DEAD_LETTER_BYTES if kind is DeadLetter else MAX_RECORD_BYTES
    if len(raw) > limit:
        raise BadRecord(Fault.TOO_LARGE, f"{len(raw)} bytes, more than {limit}")
    try:
        raw.decode()  # msgspec does not look into the fields that it skips
    except UnicodeDecodeError as error:
        raise BadRecord(Fault.NOT_JSON, f"not valid UTF-8 JSON at byte {error.start}") from None
    try:
        record: T | _NeverSent = _decoder(kind).decode(raw)  # type: ignore[arg-type] # types are hashable
    except msgspec.ValidationError as error:
        text = _without_values(str(error))
        if text.endswith("`$.schema`") or "`schema`" in text:
            raise BadRecord(Fault.WRONG_SCHEMA, text) from None
        raise BadRecord(Fault.INVALID_FIELD, text) from None
    except msgspec.DecodeError as error:
        raise BadRecord(Fault.NOT_JSON, _json_position(error)) from None
    except RecursionError:
        raise BadRecord(Fault.NOT_JSON, "nested too deeply") from None
    if isinstance(record, _NeverSent):
        raise BadRecord(Fault.WRONG_SCHEMA, "Invalid value - at `$.schema`")
    return record


def _without_values(message: str) -> str:
    """msgspec quotes an unknown enum value or tag; everything before the path is reduced to its kind."""
    what, separator, path = message.rpartition(" - at ")
    if not separator:
        what, path = message, ""
    if what.startswith("Invalid enum value") or what.startswith("Invalid value"):
        what = "Invalid value"
    return f"{what}{separator}{path}"


def _json_position(error: Exception) -> str:
    found = re.search(r"byte (\d+)", str(error))
    return f"not valid UTF-8 JSON at byte {found[1]}" if found else "not valid UTF-8 JSON"


def decode_post(key: bytes | None, raw: bytes | None) -> Post:
    """A record of `posts`, whose key must be its author_id."""
    post = decode(Post, raw)
    _check_key(key, post.author_id, Topic.POSTS)
    _check_instant(post.occurred_at)
    if post.event == "deleted":
        return post
    if post.text is None:
        raise BadRecord(Fault.INVALID_FIELD, f"Object missing required field `text` for event {post.event}")
    _check_encodable(post.text)
    return post


def decode_review(key: bytes | None, raw: bytes | None) -> Review:
    """A record of `staff-reviews`, whose key must be its author_id."""
    review = decode(Review, raw)
    _check_key(key, review.author_id, Topic.STAFF_REVIEWS)
    _check_instant(review.occurred_at)
    if review.case_id is None and review.decision_id is None:
        raise BadRecord(Fault.INVALID_FIELD, "Object missing required field `case_id` or `decision_id`")
    if review.verdict == "change_action" and review.action is None:
        raise BadRecord(Fault.INVALID_FIELD, "Object missing required field `action` for verdict change_action")
    return review


def check_stamp(timestamp_ms: int) -> None:
    """Kafka's timestamp, from which all due times count: -1 and 0 say none, and what lies past 9998 has no year."""
    if not 0 < timestamp_ms < _LAST_STAMP_MS:
        raise BadRecord(Fault.INVALID_FIELD, "the record's Kafka timestamp is no time")


def _check_key(key: bytes | None, author_id: str, topic: Topic) -> None:
    if key != author_id.encode():
        raise BadRecord(
            Fault.WRONG_KEY, f"the record key of {topic} must be its {KEY_FIELD[topic]}; order per author rests on it"
        )


def _check_instant(moment: datetime) -> None:
    try:
        to_utc(moment)
    except OverflowError:  # the first and last hours of years 1 and 9999, seen from another zone
        raise BadRecord(Fault.INVALID_FIELD, "no such time in UTC - at `$.occurred_at`") from None


def _check_encodable(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadRecord(Fault.INVALID_FIELD, "unpaired surrogate - at `$.text`") from None


def make_id(*parts: str | int) -> str:
    """hash(parts), 32 hex characters; parts are encoded as a JSON array, so that ("a", "b") ≠ ("ab",)."""
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:_ID_CHARACTERS]


def decision_id(post_id: str, revision: int, *, shadow_policy: str | None = None) -> str:
    """The contract's id of a decision; in shadow it also depends on the policy tried."""
    if shadow_policy is not None:
        return make_id("shadow", shadow_policy, post_id, revision)
    return make_id(post_id, revision)


def output_id(topic: Topic, cause: str, kind: str) -> str:
    """The contract's id of every other output."""
    return make_id(topic.value, cause, kind)


def text_sha256(text: str) -> str:
    """Hex SHA-256 of the UTF-8 text."""
    return hashlib.sha256(text.encode()).hexdigest()


def to_utc(moment: datetime) -> datetime:
    """The same instant with UTC as its zone, so that it encodes with a Z."""
    return moment.astimezone(UTC)


DECODE_OF: Final[dict[Topic, Callable[[bytes | None, bytes | None], Post | Review]]] = {
    Topic.POSTS: decode_post,
    Topic.STAFF_REVIEWS: decode_review,
}
