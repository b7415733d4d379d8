"""Records that must each become one dead letter: what a broken, older or careless producer sends.

Each is made from a post that would be fine, so that nothing but the named fault is wrong with it. What the contract
allows (unknown fields, another order of fields) is not here.
"""

import json
from collections.abc import Callable
from typing import Any, Final

Made = tuple[bytes | None, bytes | None]  # key, value
Post = dict[str, Any]


def _json(post: Post) -> bytes:
    return json.dumps(post, ensure_ascii=False).encode()


def _key(post: Post) -> bytes:
    return str(post["author_id"]).encode()


def _raw(change: Callable[[bytes], bytes | None]) -> Callable[[Post], Made]:
    return lambda post: (_key(post), change(_json(post)))


def _fields(**fields: Any) -> Callable[[Post], Made]:
    return lambda post: (_key(post), _json({**post, **fields}))


def _without(name: str) -> Callable[[Post], Made]:
    return lambda post: (_key(post), _json({field: value for field, value in post.items() if field != name}))


MALFORMED: Final[dict[str, Callable[[Post], Made]]] = {
    "truncated": _raw(lambda raw: raw[: len(raw) // 2]),
    "no-json": _raw(lambda raw: b"post " + raw),
    "trailing": _raw(lambda raw: raw + b" }"),
    "invalid-utf8": _raw(lambda raw: raw[:-1] + b',"note":"\xff\xfe"}'),
    "utf16": _raw(lambda raw: raw.decode().encode("utf-16")),
    "empty": _raw(lambda raw: b""),
    "no-value": _raw(lambda raw: None),
    "null": _raw(lambda raw: b"null"),
    "array": _raw(lambda raw: b"[" + raw + b"]"),
    "nested": _raw(lambda raw: raw[:-1] + b',"note":' + b"[" * 20_000 + b"]" * 20_000 + b"}"),
    "huge": _raw(lambda raw: raw[:-1] + b',"url":"' + b"a" * 600_000 + b'"}'),
    "no-text": _without("text"),
    "no-post-id": _without("post_id"),
    "no-time": _without("occurred_at"),
    "no-schema": _without("schema"),
    "null-text": _fields(text=None),
    "long-text": _fields(text="あ" * 20_001),
    "text-number": _fields(text=7),
    "revision-text": _fields(revision="1"),
    "revision-zero": _fields(revision=0),
    "revision-fraction": _fields(revision=1.5),
    "event-unknown": _fields(event="liked"),
    "schema-later": _fields(schema="post/2"),
    "time-without-zone": _fields(occurred_at="2026-11-24T09:00:00"),
    "time-nonsense": _fields(occurred_at="yesterday"),
    "reports-negative": _fields(reports=-1),
    "surrogate": _raw(lambda raw: raw[:-1].replace(b'"text": "', b'"text": "\\ud800', 1) + b"}"),
    "key-of-another": lambda post: (b"somebody-else", _json(post)),
    "key-missing": lambda post: (None, _json(post)),
}
