"""Every field of every record and nested part, found from the types: missing, null, mistyped."""

import json
from typing import Any

import pytest
from msgspec import inspect

from workers import codec
from workers.errors import BadRecord
from workers.events import RECORD_OF

Json = dict[str, Any]
Path = tuple[str, ...]


def _bytes(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _smallest(kind: inspect.Type) -> Any:
    """The least value of a type; for every field, so that each can be broken in turn."""
    match kind:
        case inspect.Metadata(type=inner):
            return _smallest(inner)
        case inspect.StructType(fields=fields, tag=tag):
            own = {"schema": tag} if tag is not None else {}
            return own | {field.encode_name: _smallest(field.type) for field in fields}
        case inspect.UnionType(types=types):
            return _smallest(next(each for each in types if not isinstance(each, inspect.NoneType)))
        case inspect.TupleType(item_types=types):
            return [_smallest(each) for each in types]
        case inspect.ListType(item_type=item):
            return [_smallest(item)]
        case inspect.DictType(value_type=item):
            return {"k": _smallest(item)}
        case inspect.LiteralType(values=values):
            return values[0]
        case inspect.EnumType(cls=members):
            return next(iter(members)).value
    least = {
        inspect.StrType: "x",
        inspect.IntType: 1,
        inspect.FloatType: 0.5,
        inspect.BoolType: False,
        inspect.DateTimeType: "2026-04-01T00:00:00Z",
    }
    return least[type(kind)]


def _paths(kind: inspect.Type, before: Path = ()) -> list[tuple[Path, bool, bool]]:
    """(path, required, nullable) of every field of a record and of its nested parts."""
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    if isinstance(kind, inspect.UnionType):
        return [found for each in kind.types for found in _paths(each, before)]
    if not isinstance(kind, inspect.StructType):
        return []
    found = []
    for field in kind.fields:
        path = (*before, field.encode_name)
        inner = field.type
        while isinstance(inner, inspect.Metadata):
            inner = inner.type
        options = inner.types if isinstance(inner, inspect.UnionType) else (inner,)
        nullable = any(isinstance(option, inspect.NoneType) for option in options)
        found.append((path, field.required, nullable))
        found += _paths(field.type, path)
    return found


def _parent(value: Json, path: Path) -> Json:
    for step in path[:-1]:
        value = value[step]
    return value


EVERY_FIELD = [
    pytest.param(record, path, required, nullable, id=f"{record.__name__}.{'.'.join(path)}")
    for record in RECORD_OF.values()
    for path, required, nullable in _paths(inspect.type_info(record))
]


@pytest.mark.parametrize("record", list(RECORD_OF.values()))
def test_least_record_is_accepted(record: type[Any]) -> None:
    value = _smallest(inspect.type_info(record))
    decoded = codec.decode(record, _bytes(value))
    again = codec.encode(decoded)
    assert codec.encode(codec.decode(record, again)) == again
    assert codec.encode(codec.decode(record, _bytes(value | {"added_later": [value]}))) == again, "unknown: ignored"


@pytest.mark.parametrize(("record", "path", "required", "nullable"), EVERY_FIELD)
def test_every_field_missing_null_or_mistyped(record: type[Any], path: Path, required: bool, nullable: bool) -> None:
    def attempt(change: Any) -> str | None:
        value = _smallest(inspect.type_info(record))
        if change is ...:
            del _parent(value, path)[path[-1]]
        else:
            _parent(value, path)[path[-1]] = change
        try:
            codec.decode(record, _bytes(value))
        except BadRecord as error:
            return str(error)
        return None

    at = f"`$.{'.'.join(path)}`"
    missing = attempt(...)
    if required:
        outside = f" - at `$.{'.'.join(path[:-1])}`" if path[:-1] else ""
        assert missing == f"invalid_field: Object missing required field `{path[-1]}`{outside}"
    else:
        assert missing is None
    null = attempt(None)
    assert null is None if nullable else null is not None and null.startswith("invalid_field") and null.endswith(at)
    # No field takes any of these: an array of numbers, a nested object without fields, a fraction as text.
    wrongs: list[Any] = [[1.5], [[]], {"": []}]
    for wrong in wrongs:
        message = attempt(wrong)
        assert message is not None
        assert message.startswith("invalid_field: ")
        assert (
            at in message
            or f"`$.{'.'.join(path)}[" in message
            or f"`$.{'.'.join(path)}." in message
            or (message.startswith("invalid_field: Object missing required field") and message.endswith(at))
        ), message
