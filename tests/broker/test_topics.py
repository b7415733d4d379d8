"""`topics plan` and `apply` on a real Kafka, looked at from outside through librdkafka's admin client."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic

from tests.kafka.cluster import KafkaCluster
from workers import topics
from workers.errors import TopicsError
from workers.events import Topic
from workers.layout import CHANGELOG, DAY_MS, LOGICAL, PACKAGED

pytestmark = pytest.mark.kafka

WANTED = topics.load()
SHOWN = (
    "cleanup.policy",
    "retention.ms",
    "max.message.bytes",
    "min.insync.replicas",
    "segment.bytes",
    "flush.messages",
)


class Operator:
    """Runs the command under one prefix and looks at, or meddles with, what is in the cluster."""

    def __init__(self, bootstrap: str, unique: str) -> None:
        self.bootstrap = bootstrap
        self.prefix = f"{unique}-"
        self.group = unique
        self.admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})

    def run(self, verb: Literal["plan", "apply"], file: Path | None = None) -> int:
        """`mimamori topics plan|apply`."""
        return asyncio.run(
            topics.command(verb, bootstrap=self.bootstrap, topics_file=file, prefix=self.prefix, group=self.group)
        )

    def verify(self, file: Path | None = None) -> None:
        """A worker's check."""
        asyncio.run(topics.verify(topics.load(file), self.bootstrap, self.prefix, self.group))

    def name(self, topic: str) -> str:
        """Physical name."""
        return WANTED.physical(topic, prefix=self.prefix, group=self.group)

    def state(self) -> dict[str, dict[str, Any]]:
        """Everything under the prefix, by physical name."""
        metadata = self.admin.list_topics(timeout=10).topics
        names = [name for name in metadata if name.startswith(self.prefix)]
        shown: dict[str, dict[str, Any]] = {}
        if not names:
            return shown
        described = self.admin.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, name) for name in names])
        for resource, future in described.items():
            configs = {key: entry.value for key, entry in future.result(10).items() if key in SHOWN}
            partitions = metadata[resource.name].partitions.values()
            copies = {len(partition.replicas) for partition in partitions}
            shown[resource.name] = {"partitions": len(partitions), "copies": copies, **configs}
        return shown

    def create(self, topic: str, partitions: int, **configs: str) -> None:
        """A topic made by hand before."""
        config = {key.replace("_", "."): value for key, value in configs.items()}
        new = NewTopic(self.name(topic), num_partitions=partitions, replication_factor=1, config=config)
        self.admin.create_topics([new])[new.topic].result(10)
        # The answer comes before the broker's metadata show the topic.
        until = time.monotonic() + 10
        while new.topic not in self.state():
            assert time.monotonic() < until
            time.sleep(0.02)

    def put(self, topic: str, key: str, value: str) -> None:
        """A configuration set by hand."""
        entry = ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ConfigResource.Type.TOPIC, self.name(topic), incremental_configs=[entry])
        self.admin.incremental_alter_configs([resource])[resource].result(10)


@pytest.fixture
def operator(kafka: KafkaCluster, unique: str) -> Operator:
    """On the shared broker."""
    return Operator(kafka.bootstrap, unique)


def edited(tmp_path: Path, topic: str, **values: object) -> Path:
    """A topics.yml that differs in one topic."""
    raw = yaml.safe_load(PACKAGED.read_text("utf-8"))
    raw["topics"][topic].update(values)
    path = tmp_path / "topics.yml"
    path.write_text(yaml.safe_dump(raw), "utf-8")
    return path


def test_plan_changes_nothing(operator: Operator, capsys: pytest.CaptureFixture[str]) -> None:
    assert operator.run("plan") == 0
    assert capsys.readouterr().out.count("create ") == len(LOGICAL)
    assert operator.state() == {}


def test_apply_creates_all_and_a_second_one_nothing(operator: Operator, capsys: pytest.CaptureFixture[str]) -> None:
    assert operator.run("apply") == 0
    said = capsys.readouterr()
    assert said.out.count("create ") == 8
    assert "1 broker(s) answer and the file asks for 3 copies" in said.err
    state = operator.state()
    assert set(state) == {operator.name(topic) for topic in (*Topic, CHANGELOG)}
    for topic, spec in WANTED.topics.items():
        there = state[operator.name(topic)]
        assert there["partitions"] == spec.partitions, topic
        assert there["copies"] == {1}, topic
        assert there["min.insync.replicas"] == "1", topic
        assert there["cleanup.policy"] == spec.cleanup, topic
        assert there["max.message.bytes"] == str(spec.max_message_bytes), topic
        if spec.retention_days is not None:
            assert there["retention.ms"] == str(spec.retention_days * DAY_MS), topic
    assert state[operator.name(CHANGELOG)]["segment.bytes"] == "67108864"
    operator.verify()

    assert operator.run("apply") == 0
    assert "nothing to do" in capsys.readouterr().out
    assert operator.state() == state


def test_output_grows(operator: Operator, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    operator.run("apply")
    before = operator.state()
    assert operator.run("apply", edited(tmp_path, "dead-letters", partitions=5)) == 0
    assert f"grow   {operator.name('dead-letters')}: 3 to 5 partitions" in capsys.readouterr().out
    before[operator.name("dead-letters")]["partitions"] = 5
    assert operator.state() == before
    # And back again: Kafka cannot, so the file has to follow.
    assert operator.run("apply") == 2
    assert operator.state() == before


@pytest.mark.parametrize("topic", ["posts", "staff-reviews", CHANGELOG])
def test_repartitioning_is_refused_and_nothing_changes(
    operator: Operator, topic: str, capsys: pytest.CaptureFixture[str]
) -> None:
    operator.create(topic, 4)
    before = operator.state()
    for verb in ("plan", "apply"):
        assert operator.run(verb) == 2
        said = capsys.readouterr()
        assert f"REFUSE {operator.name(topic)}: has 4 partitions and the file says 12" in said.out
        assert said.out.count("create ") == 7, "the whole plan is still printed"
        assert "nothing was changed" in said.err
        assert operator.state() == before


def test_lower_retention_is_refused(operator: Operator, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    operator.run("apply")
    before = operator.state()
    assert operator.run("apply", edited(tmp_path, "moderation-decisions", retention_days=30)) == 2
    assert "keeps records 400 days and the file says 30 days" in capsys.readouterr().out
    assert operator.state() == before


def test_cleanup_of_an_existing_topic_is_refused(operator: Operator, capsys: pytest.CaptureFixture[str]) -> None:
    operator.create(CHANGELOG, 12, cleanup_policy="delete")
    assert operator.run("apply") == 2
    assert "cleanup.policy=compact" in capsys.readouterr().out


@pytest.mark.parametrize(("partitions", "code"), [(12, 0), (4, 2)])
def test_somebody_else_was_faster(
    operator: Operator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], partitions: int, code: int
) -> None:
    operator.create("posts", partitions, retention_ms=str(30 * DAY_MS), max_message_bytes="1048576")
    real, looks = topics.read_cluster, iter([topics.ClusterView(1, {})])

    async def read_cluster(*args: Any, **kwargs: Any) -> topics.ClusterView:
        return next(looks, None) or await real(*args, **kwargs)

    monkeypatch.setattr(topics, "read_cluster", read_cluster)
    assert operator.run("apply") == code
    assert ("has 4 partitions" in capsys.readouterr().out) == (code == 2)
    assert len(operator.state()) == 8


def test_raising_sets_only_what_differs(operator: Operator, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    operator.run("apply")
    operator.put("dead-letters", "flush.messages", "7")  # not in the file: somebody's own choice, to be left alone
    file = edited(tmp_path, "dead-letters", retention_days=120, max_message_bytes=4 << 20)
    assert operator.run("apply", file) == 0
    assert capsys.readouterr().out.count("set    ") == 1
    there = operator.state()[operator.name("dead-letters")]
    assert there["retention.ms"] == str(120 * DAY_MS)
    assert there["max.message.bytes"] == str(4 << 20)
    assert there["flush.messages"] == "7"
    assert there["min.insync.replicas"] == "1"


def test_verify_names_what_is_wrong(operator: Operator, tmp_path: Path) -> None:
    operator.create("posts", 12)
    with pytest.raises(TopicsError, match=f"no topic {operator.name('staff-reviews')}, .*topics apply"):
        operator.verify()
    operator.run("apply")
    operator.verify()
    grown = NewPartitions(operator.name("posts"), 13)
    operator.admin.create_partitions([grown])[grown.topic].result(10)
    with pytest.raises(TopicsError, match=f"{operator.name('posts')} has 13 partitions and .* says 12"):
        operator.verify()


def test_a_dead_broker_named_first_is_passed_over(operator: Operator) -> None:
    operator.run("apply")
    operator.bootstrap = f"127.0.0.1:1,{operator.bootstrap}"
    operator.verify()


@pytest.fixture(scope="module")
def three() -> Iterator[KafkaCluster]:
    """Three brokers, one of which a test kills."""
    with KafkaCluster(3) as running:
        yield running


def test_three_brokers(three: KafkaCluster, unique: str, capsys: pytest.CaptureFixture[str]) -> None:
    operator = Operator(three.bootstrap, unique)
    assert operator.run("apply") == 0
    assert capsys.readouterr().err == ""
    state = operator.state()
    assert {(*there["copies"], there["min.insync.replicas"]) for there in state.values()} == {(3, "2")}

    # A broker that dies must neither stop the command nor talk it into asking for fewer copies in sync. The others go
    # on naming it for some seconds, so some of these requests go to it.
    three.kill(2)
    for _ in range(5):
        assert operator.run("apply") == 0
        assert "nothing to do" in capsys.readouterr().out
    three.start(2)
    assert operator.state() == state
