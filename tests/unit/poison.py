"""Records as nobody should send them: kinds of damage, each a function of a random source and a record that was fine.

Some of what comes out is allowed by the contract (an unknown field, another order); none may do more than become a
decision or a dead letter. tests/chaos/malformed.py has fixed ones, each sure to be a dead letter, for a real broker.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from tests.unit.memory import AT_MS, Json

Headers = tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True)
class Sent:
    """One record as a broker hands it out."""

    key: bytes | None
    value: bytes | None
    at_ms: int = AT_MS
    headers: Headers = ()


Kind = Callable[[Random, Json], Sent]

NASTY_TEXT: Final = (
    "",
    "\x00",
    "\x00\x01\x7f",
    "\u202e\u2066\u2069",
    "\u200b\u200d\ufeff",
    "\U000e0041\U000e0042",  # tags
    "\ufffe\uffff",
    "a\u0301" * 50,
    "\u0301" * 300,  # marks on nothing
    "ﷺ" * 200,  # NFKC makes 18 of each
    "ｼﾈ𠮟ﾀﾋ㋛㋧",
    "👨‍👩‍👧‍👦🏳️‍🌈",
    "$." + "` - at `$.text`",
    '","event":"deleted","x":"',
    "' OR 1=1; --",
    "${jndi:ldap://x}",
    "../../etc/passwd",
    "\r\n\r\n{}",
    "死ね" * 2_000,
    "𠀋" * 20_000,
    "あ" * 20_001,
)
NUMBERS: Final = (
    b"0", b"-0", b"-1", b"1.0", b"1.5", b"1e2", b"1e-2", b"1e400", b"-1e400", b"9" * 400,
    b"9007199254740992", b"9007199254740993", b"9223372036854775807", b"9223372036854775808", b"-9223372036854775809",
    b"18446744073709551616", b"NaN", b"Infinity", b"-Infinity", b"nan", b"+1", b"01", b"0x10", b".5", b"5.", b"1_000",
)  # fmt: skip
TIMES: Final = (
    "", "now", "2026-11-01", "2026-11-01T00:00:00", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z",
    "2026-11-01T24:00:00Z", "2026-11-01T23:59:60Z", "2026-11-01T00:00:00+24:00", "2026-11-01T00:00:00-23:59",
    "0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999Z",
    "9999-12-31T23:59:59-14:00", "10000-01-01T00:00:00Z", "-0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z",
    "1969-12-31T23:59:59Z", "2026-11-01T00:00:00.1234567891Z", "２０２６-11-01T00:00:00Z", "2026-11-01 00:00:00Z",
)  # fmt: skip
KAFKA_TIMES: Final = (
    -(1 << 63), -1, 0, 1, 999, AT_MS, AT_MS + 3_600_000, 253_370_764_799_999, 253_370_764_800_000,
    253_402_300_800_000, 1 << 53, (1 << 63) - 1,
)  # fmt: skip
SCHEMAS: Final = (
    "",
    "post",
    "post/0",
    "post/2",
    "post/1 ",
    "POST/1",
    "review/1",
    "decision/1",
    "never-sent/0",
    "x" * 999,
)
ANY: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1.5, 2**70, "", "x", "あ", [], [None], {}, {"": None}, {"schema": "post/1"}, [[[[]]]],
    "created", "1", {"post_id": 1, "author_id": None},
)  # fmt: skip


def encoded(record: Any) -> bytes:
    """As a platform writes it."""
    return json.dumps(record, ensure_ascii=False).encode("utf-8", "surrogatepass")


def key_of(record: Json) -> bytes:
    """The record's key where it is right."""
    return str(record.get("author_id")).encode("utf-8", "surrogatepass")


def _raw(change: Callable[[Random, bytes], bytes | None]) -> Kind:
    return lambda chance, record: Sent(key_of(record), change(chance, encoded(record)))


def _fields(change: Callable[[Random, Json], Json]) -> Kind:
    def made(chance: Random, record: Json) -> Sent:
        changed = change(chance, dict(record))
        return Sent(key_of(changed), encoded(changed))

    return made


def _field(chance: Random, record: Json) -> str:
    return chance.choice([*record, "reply_to", "reports", "minor_suspected", "url", "lang", "platform"])


def _flipped(chance: Random, raw: bytes) -> bytes:
    changed = bytearray(raw)
    for _ in range(chance.randint(1, 8)):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _shifted(chance: Random, raw: bytes) -> bytes:
    at = chance.randrange(len(raw))
    return raw[:at] + (chance.randbytes(chance.randint(1, 4)) if chance.random() < 0.5 else b"") + raw[at + 1 :]


def _not_utf8(chance: Random, raw: bytes) -> bytes:
    at = chance.randrange(len(raw))
    bad = chance.choice([b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe3\x81", b"\x80", b"\xfe\xff"])
    return raw[:at] + bad + raw[at:]


def _other_encoding(chance: Random, raw: bytes) -> bytes:
    names = ("utf-16", "utf-32", "utf-7", "euc_jp", "shift_jis", "utf-8-sig", "iso2022_jp")
    return raw.decode().encode(chance.choice(names), "replace")


def _put(chance: Random, raw: bytes, value: bytes) -> bytes:
    """One more field, of a name that is known or not."""
    name = chance.choice(["x", "text", "post_id", "reply_to", "schema", "revision", "reports", ""])
    return raw[:-1] + b',"' + name.encode() + b'":' + value + b"}"


def _deep(chance: Random, raw: bytes) -> bytes:
    depth = chance.choice([50, 500, 999, 1_000, 5_000, 40_000])
    opening, closing = chance.choice([(b"[", b"]"), (b'{"a":', b"}")])
    middle = b"1" if closing == b"}" else b""
    return _put(chance, raw, opening * depth + middle + closing * (depth if chance.random() < 0.7 else 0))


def _huge(chance: Random, raw: bytes) -> bytes:
    size = chance.choice([2_049, 20_001, 200_000])
    unit = chance.choice([b"a", "あ".encode(), b"\\u0000", b"\\n"])
    return _put(chance, raw, b'"' + unit * (size // len(unit)) + b'"')


def _too_large(chance: Random, raw: bytes) -> bytes:
    return raw[:-1] + b',"x":"' + b"y" * (1 << 20) + b'"}'


def _number(chance: Random, raw: bytes) -> bytes:
    number = chance.choice(NUMBERS)
    if chance.random() < 0.5:
        return raw.replace(b'"revision": 1', b'"revision": ' + number)
    return raw[:-1] + b',"' + chance.choice([b"reports", b"revision", b"x", b"text"]) + b'":' + number + b"}"


def _surrogate(chance: Random, raw: bytes) -> bytes:
    bad = chance.choice([b"\\ud800", b"\\udfff", b"\\ud83d", b"\\ude00\\ud83d", b"\\ud800\\ud800", b"\\uDBFF x"])
    quotes = [at for at in range(len(raw)) if raw[at : at + 1] == b'"']
    at = chance.choice(quotes) + 1
    return raw[:at] + bad + raw[at:]


def _spliced(chance: Random, raw: bytes) -> bytes:
    return raw[: chance.randrange(len(raw))] + raw[chance.randrange(len(raw)) :]


def _wrapped(chance: Random, raw: bytes) -> bytes:
    before, after = chance.choice(
        [
            (b"[", b"]"),
            (b"", b"}"),
            (b"", raw),
            (b"/* */", b""),
            (b"\xef\xbb\xbf", b""),
            (b"\x00", b""),
            (b" \n\t", b"\n "),
        ]
    )
    return before + raw + after


def _any_json(chance: Random, depth: int = 0) -> Any:
    kind = chance.randrange(8 if depth < 4 else 6)
    if kind == 6:
        return [_any_json(chance, depth + 1) for _ in range(chance.randrange(4))]
    if kind == 7:
        names = ["schema", "text", "post_id", "author_id", "a", "", "\x00"]
        return {chance.choice(names): _any_json(chance, depth + 1) for _ in range(chance.randrange(4))}
    return chance.choice(ANY)


def _keyed(chance: Random, record: Json) -> Sent:
    right = key_of(record)
    keys = [None, b"", b"\xff", right + b" ", right[:-1], right.upper() + b"x", b"x" * 70_000, encoded(record)]
    return Sent(chance.choice(keys), encoded(record))


def _headers(chance: Random, record: Json) -> Sent:
    names = ["mimamori-attempts", "mimamori-redrive", "failed_at", "", "あ", "x" * 300]
    values = [None, b"", b"1", b"-1", b"999999999999", b"\xff", "７".encode(), b"posts/0/1", b"x" * 5_000]
    headers = tuple((chance.choice(names), chance.choice(values)) for _ in range(chance.randint(1, 5)))
    value = encoded(record) if chance.random() < 0.5 else b"{"
    return Sent(key_of(record), value, headers=headers)


def _late(chance: Random, record: Json) -> Sent:
    return Sent(key_of(record), encoded(record), at_ms=chance.choice(KAFKA_TIMES))


def _in_two(chance: Random, record: Json) -> Sent:
    """Two kinds in one record."""
    first = POISON[chance.choice(_SINGLE)](chance, record)
    if not first.value:
        return first
    change = chance.choice([_flipped, _shifted, _not_utf8, _spliced, _wrapped])
    return Sent(first.key, change(chance, first.value), first.at_ms, first.headers)


POISON: Final[dict[str, Kind]] = {
    "truncated": _raw(lambda chance, raw: raw[: chance.randrange(len(raw))]),
    "spliced": _raw(_spliced),
    "bits flipped": _raw(_flipped),
    "bytes shifted": _raw(_shifted),
    "wrong utf-8": _raw(_not_utf8),
    "another encoding": _raw(_other_encoding),
    "wrapped": _raw(_wrapped),
    "no value": _raw(lambda chance, raw: chance.choice([None, b"", b" ", b"null", b"0", b'""', b"[]", b"{}"])),
    "arbitrary bytes": _raw(lambda chance, raw: chance.randbytes(chance.randrange(300))),
    "arbitrary json": lambda chance, record: Sent(key_of(record), encoded(_any_json(chance))),
    "huge value": _raw(_huge),
    "more than 1 MiB": _raw(_too_large),
    "deep nesting": _raw(_deep),
    "duplicate key": _raw(lambda chance, raw: _put(chance, raw, encoded(chance.choice(ANY)))),
    "odd number": _raw(_number),
    "lone surrogate": _raw(_surrogate),
    "null": _fields(lambda chance, record: {**record, _field(chance, record): None}),
    "missing key": _fields(lambda chance, record: _without(record, _field(chance, record))),
    "wrong type": _fields(lambda chance, record: {**record, _field(chance, record): _any_json(chance)}),
    "other schema": _fields(lambda chance, record: {**record, "schema": chance.choice(SCHEMAS)}),
    "odd time": _fields(lambda chance, record: {**record, "occurred_at": chance.choice(TIMES)}),
    "odd text": _fields(lambda chance, record: {**record, "text": chance.choice(NASTY_TEXT)}),
    "odd id": _fields(
        lambda chance, record: {**record, chance.choice(["post_id", "author_id"]): chance.choice(NASTY_TEXT)[:300]}
    ),
    "odd event": _fields(
        lambda chance, record: {**record, "event": chance.choice(["Created", "deleted", "edited", "", "\x00", "liked"])}
    ),
    "unknown field": _fields(lambda chance, record: {**record, chance.choice(NASTY_TEXT)[:99]: _any_json(chance)}),
    "names in capitals": _fields(lambda chance, record: {name.title(): value for name, value in record.items()}),
    "odd revision": _fields(
        lambda chance, record: {**record, "revision": chance.choice([0, -1, 1.0, "1", True, 2**53, 2**53 + 1, 2**64])}
    ),
    "wrong key": _keyed,
    "odd headers": _headers,
    "odd kafka time": _late,
    "in two": _in_two,
}
_SINGLE: Final = tuple(name for name in POISON if name not in ("in two", "more than 1 MiB"))


def _without(record: Json, name: str) -> Json:
    return {field: value for field, value in record.items() if field != name}
