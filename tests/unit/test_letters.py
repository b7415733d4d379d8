"""Dead letters as redrive sees them: what a filter takes, and the one state that each letter is in."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers import letters
from workers.deadletter import attempts, dead_letter, origin, tried
from workers.errors import BadRecord, Fault
from workers.events import DeadError, DeadLetter, DeadSource
from workers.letters import Filter, Letter, Seen, Span, State, states
from workers.redrive_kafka import partition_of


def one(offset: int = 1, **more: Any) -> Letter:
    given = {
        "topic": "posts",
        "partition": 0,
        "offset": offset,
        "timestamp_ms": 1_000,
        "error": "not_json",
        "failed_at_ms": 2_000,
        "attempts": 1,
        "origin": None,
        "target": 0,
        "place": (0, offset),
    }
    return Letter(**{**given, **more})


def record(error: str = "not_json", headers: list[tuple[str, str | None]] | None = None) -> DeadLetter:
    return DeadLetter(
        source=DeadSource(topic="posts", partition=3, offset=17, timestamp=5),
        key_b64=None,
        value_b64=None,
        headers=headers or [],
        error=DeadError(type=error, message=""),
    )


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def test_a_letter_is_known_by_its_source() -> None:
    made = letters.letter(record(), [("failed_at", b"1793491200123"), ("attempts", b"1")], 7, (1, 40))
    assert made.id == "posts/3/17"
    assert (made.failed_at_ms, made.target, made.place, made.attempts) == (1_793_491_200_123, 7, (1, 40), 1)


@pytest.mark.parametrize("header", [None, b"", b"soon", b"-1", "１２".encode(), b"\xff", b"1" * 16])
def test_a_time_that_is_none_is_unknown(header: bytes | None) -> None:
    assert letters.letter(record(), [("failed_at", header)], 0, (0, 0)).failed_at_ms is None


def test_what_is_shown_of_a_forged_error_is_not_what_stands_in_it() -> None:
    assert letters.letter(record("ひみつの本文"), [], 0, (0, 0)).error == "other"


@pytest.mark.parametrize(
    ("header", "before"),
    [(b"1", 1), (b"41", 41), (b"", 0), (b"x", 0), (b"-3", 0), (b"1234567", 0), (b"\xff", 0), ("３".encode(), 0)],
)
def test_attempts_grow_by_what_the_record_carries(header: bytes, before: int) -> None:
    headers = [("trace", b"x"), ("mimamori-attempts", header), ("mimamori-redrive", b"posts/3/17")]
    output = dead_letter("posts", 0, 0, 0, None, b"{", headers, BadRecord(Fault.NOT_JSON, ""))
    assert attempts(output.value) == before + 1


def test_a_header_without_a_value_says_nothing() -> None:
    headers = [("mimamori-attempts", None), ("mimamori-redrive", None)]
    assert (tried(headers), origin(headers)) == (0, None)
    assert (tried([]), origin([])) == (0, None)
    assert origin([("mimamori-redrive", "not base64!")]) is None
    assert origin([("mimamori-redrive", b64(b"posts/3/17"))]) == "posts/3/17"


def test_the_last_header_of_a_name_counts() -> None:
    assert tried([("mimamori-attempts", b64(b"5")), ("mimamori-attempts", b64(b"2"))]) == 2


def test_spans() -> None:
    assert 5 in Span()
    assert None in Span(), "what has no time passes where none is asked for"
    assert None not in Span(1)
    assert (5 in Span(5), 5 in Span(6), 5 in Span(None, 5), 5 in Span(5, 6)) == (True, False, False, True)
    assert 5 not in Span(0, 0)


@pytest.mark.parametrize(
    ("chosen", "taken"),
    [
        (Filter(), True),
        (Filter(errors=["not_json"]), True),
        (Filter(errors=["wrong_key"]), False),
        (Filter(topics=["posts"]), True),
        (Filter(topics=["staff-reviews"]), False),
        (Filter(failed_at=Span(2_000)), True),
        (Filter(failed_at=Span(None, 2_000)), False),
        (Filter(sent_at=Span(1_001)), False),
        (Filter(partition=0), True),
        (Filter(partition=1), False),
        (Filter(partition=0, offsets=Span(1, 2)), True),
        (Filter(offsets=Span(2, 3)), False),
        (Filter(errors=["not_json"], failed_at=Span(3_000)), False),
    ],
)
def test_filter(chosen: Filter, taken: bool) -> None:
    assert chosen.takes(one()) is taken


def test_each_letter_is_in_one_state() -> None:
    all_of = [one(i) for i in range(1, 6)]
    held = one(6, attempts=2, origin="posts/0/5")
    seen = Seen(
        copies={"posts/0/1": (0, 10), "posts/0/2": (0, 11), "posts/0/5": (0, 9)},
        unreached={"posts/0/1", "posts/0/3"},
        committed={("posts", 0): 11},
    )
    back = {"posts/0/5": held}
    known = states([*all_of, held], back, seen, again=False)
    assert list(known.values()) == [
        State.DONE,
        State.WAITING,
        State.UNSURE,
        State.READY,
        State.DEAD_AGAIN,
        State.HELD,
    ]
    assert states([held], back, seen, again=True)["posts/0/6"] is State.READY


def test_a_letter_whose_copy_died_was_sent_even_if_the_log_forgot_it() -> None:
    known = states([one(5)], {"posts/0/5": one(9)}, Seen({}, {"posts/0/5"}, {}), again=True)
    assert known == {"posts/0/5": State.DEAD_AGAIN}


def test_a_group_that_never_committed_has_finished_nothing() -> None:
    assert states([one()], {}, Seen({"posts/0/1": (0, 2)}, (), {}), again=False) == {"posts/0/1": State.WAITING}


def test_table() -> None:
    shown = letters.table(
        [one(1), one(2), one(3, error="wrong_key")],
        {"posts/0/1": State.READY, "posts/0/2": State.DONE, "posts/0/3": State.HELD},
    ).splitlines()
    assert shown[0].split() == "error topic letters done dead again waiting held unsure ready".split()
    assert shown[1].split() == "not_json posts 2 1 0 0 0 0 1".split()
    assert shown[2].split() == "wrong_key posts 1 0 0 0 1 0 0".split()
    assert len({len(line) for line in shown}) == 1


# Of Kafka's own UtilsTest, testMurmur2.
JAVAS = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536, b"abc": 479470107}


@pytest.mark.parametrize(("key", "java"), JAVAS.items())
def test_partitions_are_javas(key: bytes, java: int) -> None:
    assert partition_of(key, 12) == (java & 0x7FFFFFFF) % 12


@given(st.binary(max_size=40), st.integers(1, 50))
def test_every_key_has_a_partition(key: bytes, partitions: int) -> None:
    assert 0 <= partition_of(key, partitions) < partitions
