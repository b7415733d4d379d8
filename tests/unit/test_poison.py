"""Whatever comes is a decision or a dead letter, never an exception: every kind of poison through decode and decide."""

import asyncio
import base64
import json
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.labels import LABEL_IDS
from tests.chaos.malformed import MALFORMED
from tests.unit import memory
from tests.unit.builders import check
from tests.unit.memory import AT_MS, Json, MemoryRows, ScriptedClassifier, pipeline
from tests.unit.poison import POISON, Sent
from workers.events import Topic
from workers.pipeline import Incoming
from workers.state import Output

EACH = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
LABELS = st.sets(st.sampled_from(LABEL_IDS), max_size=2).map(sorted)


def fine(topic: Topic) -> Json:
    """A record with nothing wrong."""
    made = memory.post() if topic is Topic.POSTS else memory.review("confirm")
    return dict(json.loads(made.value or b""))


def incoming(sent: Sent, topic: Topic, offset: int = 1) -> Incoming:
    return Incoming(topic, f"test-{topic.value}", 0, offset, sent.at_ms, sent.key, sent.value, sent.headers)


def through(rows: MemoryRows, labels: list[str], record: Incoming) -> list[Output]:
    """Steps 2, 3 and 4, in a life of its own."""
    line = pipeline(rows, ScriptedClassifier(lambda _: labels))
    decoded = line.decode(record)
    (scored,) = asyncio.run(line.classify([decoded]))
    return line.apply(decoded, scored)


def test_there_are_twenty_kinds_and_more() -> None:
    assert len(POISON) >= 30


@pytest.mark.parametrize("topic", [Topic.POSTS, Topic.STAFF_REVIEWS])
@pytest.mark.parametrize("kind", POISON)
@EACH
@given(chance=st.randoms(use_true_random=False), labels=LABELS)
def test_poison_is_a_decision_or_a_dead_letter(kind: str, topic: Topic, chance: Random, labels: list[str]) -> None:
    rows = MemoryRows()
    through(rows, ["insult"], memory.post())  # the post that a review is about, and an earlier life of the author
    sent = POISON[kind](chance, fine(topic))
    record = incoming(sent, topic)
    outputs = through(rows, labels, record)
    assert outputs
    for output in outputs:
        check(output)
    dead = [output for output in outputs if output.topic is Topic.DEAD_LETTERS]
    if dead:
        assert outputs == dead
        assert len(dead) == 1
        letter = json.loads(dead[0].value)
        assert letter["error"]["type"] != "processing_failed", "refused by no rule: something broke"
        assert letter["value_b64"] == (None if sent.value is None else base64.b64encode(sent.value).decode())
        assert letter["key_b64"] == (None if sent.key is None else base64.b64encode(sent.key).decode())
    elif topic is Topic.POSTS:
        assert sum(output.topic is Topic.DECISIONS for output in outputs) == 1
    before = dict(rows.rows)
    assert through(rows, ["obscene"], record) == outputs, "a redelivery"
    assert rows.rows == before


@pytest.mark.parametrize("kind", MALFORMED)
@pytest.mark.parametrize("topic", [Topic.POSTS, Topic.STAFF_REVIEWS])
def test_what_chaos_sends_is_dead_here_too(kind: str, topic: Topic) -> None:
    key, value = MALFORMED[kind](fine(Topic.POSTS))
    (letter,) = through(MemoryRows(), [], incoming(Sent(key, value, AT_MS), topic))
    assert letter.topic is Topic.DEAD_LETTERS


@pytest.mark.parametrize("kind", POISON)
def test_each_kind_of_poison_is_one(kind: str) -> None:
    """Of 60 of a kind one at least is no longer the record that it was made of."""
    record = fine(Topic.POSTS)
    made = [POISON[kind](Random(seed), record) for seed in range(60)]
    assert any(sent != Sent(memory.post().key, memory.post().value) for sent in made)
