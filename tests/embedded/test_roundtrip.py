"""The same round trip on the embedded broker: a worker that cannot tell it from any other Kafka."""

import base64
import json
from pathlib import Path

import pytest
import yaml

from tests.harness import OUTPUTS, Outside, WorkerProcess, post
from workers.embedded import PARTITIONS, EmbeddedKafka
from workers.layout import PACKAGED

TOPICS = ("posts", "staff-reviews", "mimamori-authors-changelog", *OUTPUTS)


@pytest.fixture
def embedded() -> EmbeddedKafka:
    kafka = EmbeddedKafka()
    kafka.make(TOPICS)
    return kafka


@pytest.fixture
def topics_file(tmp_path: Path) -> Path:
    """The packaged topics with the partitions that the embedded broker makes."""
    raw = yaml.safe_load(PACKAGED.read_text("utf-8"))
    for entry in raw["topics"].values():
        entry["partitions"] = PARTITIONS
    path = tmp_path / "topics.yml"
    path.write_text(yaml.safe_dump(raw), "utf-8")
    return path


def test_posts_come_out_decided_and_a_malformed_one_as_a_dead_letter(
    embedded: EmbeddedKafka, topics_file: Path
) -> None:
    outside = Outside(embedded.bootstrap)
    with WorkerProcess(embedded.bootstrap, MIMAMORI_TOPICS_FILE=str(topics_file)) as worker:
        outside.send(post(f"e{i % 5}", i, f"今日の天気は{i}") for i in range(100))
        outside.send_raw("posts", b"bad", b"{broken")
        outside.flush()
        outside.wait_for({"moderation-decisions": 100, "dead-letters": 1}, tail=worker.tail)
        assert worker.terminate() == 0, worker.tail()
    decisions = outside.records("moderation-decisions")
    assert len({d["decision_id"] for d in decisions}) == 100
    (letter,) = outside.records("dead-letters")
    assert base64.b64decode(letter["value_b64"]) == b"{broken"
    assert json.loads(json.dumps(letter["error"]))["type"] == "not_json"
