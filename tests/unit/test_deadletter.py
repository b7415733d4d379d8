"""Dead letters: every byte of the source, and nothing but the source."""

import base64
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit import memory
from workers.codec import decode
from workers.deadletter import dead_letter
from workers.errors import BadRecord, Fault
from workers.events import DeadLetter, Topic

RAW = st.none() | st.binary(max_size=80)


@settings(deadline=None)
@given(key=RAW, value=RAW, headers=st.lists(st.tuples(st.text(max_size=8), RAW), max_size=3))
def test_key_value_and_headers_are_kept_byte_for_byte(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes | None]]
) -> None:
    error = BadRecord(Fault.NOT_JSON, "not valid UTF-8 JSON at byte 0")
    letter = dead_letter("posts", 3, 17, 1_793_491_200_123, key, value, headers, error)
    assert letter.topic is Topic.DEAD_LETTERS
    assert letter.key == (key or b"")
    record = decode(DeadLetter, letter.value)
    assert (record.source.topic, record.source.partition, record.source.offset) == ("posts", 3, 17)
    assert record.source.timestamp == 1_793_491_200_123
    assert (record.key_b64, record.value_b64) == (_b64(key), _b64(value))
    assert record.headers == [(name, _b64(content)) for name, content in headers]
    assert (record.error.type, record.error.message) == ("not_json", "not valid UTF-8 JSON at byte 0")


def test_absent_and_empty_are_told_apart() -> None:
    error = BadRecord(Fault.NOT_JSON, "")
    absent = json.loads(dead_letter("t", 0, 0, 0, None, None, [("h", None)], error).value)
    empty = json.loads(dead_letter("t", 0, 0, 0, b"", b"", [("h", b"")], error).value)
    assert (absent["key_b64"], absent["value_b64"], absent["headers"]) == (None, None, [["h", None]])
    assert (empty["key_b64"], empty["value_b64"], empty["headers"]) == ("", "", [["h", ""]])


def test_the_value_holds_nothing_that_differs_between_redeliveries() -> None:
    broken = memory.incoming(b"{", offset=5, key=b"ann", headers=[("trace", b"1")])
    letters = [memory.apply(memory.pipeline(memory.MemoryRows()), broken) for _ in range(2)]
    assert letters[0] == letters[1]
    assert not {"failed_at", "attempts"} & set(memory.only(letters[0], Topic.DEAD_LETTERS))


def test_another_source_makes_another_letter() -> None:
    line = memory.pipeline(memory.MemoryRows())
    one, other = (memory.apply(line, memory.incoming(b"{", offset=offset, key=b"ann"))[0] for offset in (5, 6))
    assert one.value != other.value


def test_the_message_never_carries_what_stood_in_the_record() -> None:
    record = memory.post(text="ひみつの本文", reports=-1)
    error = memory.only(memory.apply(memory.pipeline(memory.MemoryRows()), record), Topic.DEAD_LETTERS)["error"]
    assert error["type"] == "invalid_field"
    assert "reports" in error["message"]
    assert "ひみつ" not in json.dumps(error, ensure_ascii=False)


def _b64(raw: bytes | None) -> str | None:
    return None if raw is None else base64.b64encode(raw).decode()
