"""topics.yml and the plan, without Kafka; tests/broker/test_topics.py does it to a real cluster."""

import asyncio
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
import yaml

from workers import topics
from workers.errors import TopicsError, Unavailable
from workers.events import Topic
from workers.layout import DAY_MS, PACKAGED, Configure, Create, Grow
from workers.topics import CHANGELOG, CO_PARTITIONED, LOGICAL, ClusterView, FoundTopic, Plan, load, plan

ROOT = Path(__file__).parents[2]
WANTED = load()
THREE_BROKERS = 3


def found_as_wanted(copies: int = 3) -> dict[str, FoundTopic]:
    """A cluster that is as the file says."""
    return {
        WANTED.physical(topic): FoundTopic(spec.partitions, copies, spec.configs(WANTED.in_sync(copies)))
        for topic, spec in WANTED.topics.items()
    }


def plan_with(
    topic: str, configs: Mapping[str, str] = MappingProxyType({}), *, partitions: int | None = None, copies: int = 3
) -> Plan:
    """The plan for a cluster that differs from the file in one topic only."""
    found = found_as_wanted()
    name = WANTED.physical(topic)
    before = found[name]
    found[name] = FoundTopic(partitions or before.partitions, copies, {**before.configs, **configs})
    return plan(WANTED, ClusterView(THREE_BROKERS, found))


def test_packaged_copy_is_the_root_file() -> None:
    assert PACKAGED.read_bytes() == (ROOT / "topics.yml").read_bytes()
    assert not PACKAGED.is_symlink()


def test_file_keeps_the_contract() -> None:
    assert set(WANTED.topics) == {*Topic, CHANGELOG}
    assert (WANTED.replication, WANTED.min_insync) == (3, 2)
    assert len({WANTED.partitions(topic) for topic in CO_PARTITIONED}) == 1
    kept_400_days = {topic for topic, spec in WANTED.topics.items() if spec.retention_days == 400}
    assert kept_400_days == {Topic.DECISIONS, Topic.ACTIONS, Topic.ESCALATIONS, Topic.STAFF_REVIEWS}
    assert [topic for topic, spec in WANTED.topics.items() if spec.cleanup == "compact"] == [CHANGELOG]
    assert WANTED.topics[Topic.POSTS].max_message_bytes == 1 << 20
    assert WANTED.topics[Topic.DEAD_LETTERS].max_message_bytes == WANTED.producer_limit() == 2 << 20


def test_the_changelogs_acknowledgements_tell_the_brokers_time() -> None:
    """Workers time removals by it: of a topic without this they would go by their own host's clock."""
    told = {topic: spec.configs(2).get("message.timestamp.type") for topic, spec in WANTED.topics.items()}
    assert {topic for topic, kind in told.items() if kind == "LogAppendTime"} == {CHANGELOG}
    assert set(told.values()) == {None, "LogAppendTime"}, "of posts it is the producer's: due times count from it"


def test_physical_names() -> None:
    assert WANTED.physical(Topic.POSTS) == "posts"
    assert WANTED.physical(Topic.POSTS, prefix="eu.") == "eu.posts"
    assert WANTED.changelog() == "mimamori-authors-changelog"
    assert WANTED.changelog("eu.", "shadow") == "eu.shadow-authors-changelog"
    with pytest.raises(TopicsError, match=r"topics\.posts\.name.*'a/posts'"):
        WANTED.physical(Topic.POSTS, prefix="a/")


def edited(tmp_path: Path, change: Any) -> Path:
    """A copy of the file with one change."""
    raw = yaml.safe_load(PACKAGED.read_text("utf-8"))
    change(raw)
    path = tmp_path / "topics.yml"
    path.write_text(yaml.safe_dump(raw), "utf-8")
    return path


def put(topic: str, key: str, value: object) -> Any:
    """A change that sets one field of one topic."""
    return lambda raw: raw["topics"][topic].update({key: value})


def drop(topic: str, key: str) -> Any:
    """A change that leaves one field out."""
    return lambda raw: raw["topics"][topic].pop(key)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw.update(replicas=3), "unknown field `replicas`"),
        (lambda raw: raw.pop("min_insync"), "missing required field `min_insync`"),
        (lambda raw: raw.update(replication="3"), "replication: Expected `int`, got `str`"),
        (lambda raw: raw.update(min_insync=4), "min_insync: 4 copies in sync of 3"),
        (lambda raw: raw.update(topics=[]), "topics: Expected `object`, got `array`"),
        (lambda raw: raw["topics"].pop("care-outreach"), "topics.care-outreach: is missing"),
        (lambda raw: raw["topics"].update(audit={}), "topics.audit: no such topic"),
        (put("posts", "partition", 3), "topics.posts: Object contains unknown field `partition`"),
        (put("posts", "partitions", "12"), "topics.posts.partitions: Expected `int`, got `str`"),
        (put("posts", "partitions", True), "topics.posts.partitions: Expected `int`, got `bool`"),
        (put("dead-letters", "partitions", 0), "topics.dead-letters.partitions: Expected `int` >= 1"),
        (drop("posts", "partitions"), "topics.posts: Object missing required field `partitions`"),
        (put("staff-reviews", "partitions", 6), "posts 12, staff-reviews 6, authors-changelog 12"),
        (put(CHANGELOG, "partitions", 6), "posts 12, staff-reviews 12, authors-changelog 6"),
        (put("posts", "cleanup", "compact"), "topics.posts.cleanup: must be delete"),
        (put(CHANGELOG, "cleanup", "delete"), "topics.authors-changelog.cleanup: must be compact"),
        (put("posts", "cleanup", "compact,delete"), "topics.posts.cleanup: Invalid enum value"),
        (drop("posts", "retention_days"), "topics.posts.retention_days: is missing"),
        (put(CHANGELOG, "retention_days", 30), "topics.authors-changelog.retention_days: has no use"),
        (put(CHANGELOG, "name", "authors"), "topics.authors-changelog.name: must hold {group} once"),
        (put("posts", "name", "{group}-posts"), "topics.posts.name: cannot hold {group}"),
        (put("posts", "name", "投稿"), "topics.posts.name: Kafka takes no topic named '投稿'"),
        (put("posts", "name", "care-outreach"), "topics.care-outreach.name: is the name of posts too"),
        (put("dead-letters", "max_message_bytes", 1 << 20), "topics.dead-letters.max_message_bytes: must be 1463640"),
    ],
)
def test_wrong_file_is_refused(tmp_path: Path, change: Any, message: str) -> None:
    path = edited(tmp_path, change)
    with pytest.raises(TopicsError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"topics: {", "line 1: "),
        (b"replication: 3\nreplication: 2\n", "'replication' stands twice"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"a: \x07", "is not YAML"),
        (b"", "Expected `object`, got `null`"),
        (b"? [a, b]\n: 1\n", "line 1: found unhashable key"),
    ],
)
def test_no_readable_file(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "topics.yml"
    path.write_bytes(content)
    with pytest.raises(TopicsError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_absent_file() -> None:
    with pytest.raises(TopicsError, match=r"nowhere\.yml: cannot be read"):
        load(Path("nowhere.yml"))


def test_empty_cluster_gets_all_topics() -> None:
    made = plan(WANTED, ClusterView(THREE_BROKERS, {}), prefix="p-", group="g")
    assert [change.topic for change in made.changes] == [
        WANTED.physical(topic, prefix="p-", group="g") for topic in LOGICAL
    ]
    assert (made.refusals, made.warnings) == ((), ())
    posts = made.changes[0]
    assert isinstance(posts, Create)
    assert (posts.partitions, posts.copies, posts.configs["min.insync.replicas"]) == (12, 3, "2")
    assert posts.configs["retention.ms"] == str(30 * DAY_MS)


def test_nothing_to_do() -> None:
    assert plan(WANTED, ClusterView(THREE_BROKERS, found_as_wanted())) == Plan()


@pytest.mark.parametrize(("brokers", "copies", "in_sync"), [(1, 1, "1"), (2, 2, "1"), (3, 3, "2"), (5, 3, "2")])
def test_few_brokers(brokers: int, copies: int, in_sync: str) -> None:
    made = plan(WANTED, ClusterView(brokers, {}))
    for change in made.changes:
        assert isinstance(change, Create)
        assert (change.copies, change.configs["min.insync.replicas"]) == (copies, in_sync)
    assert len(made.warnings) == (brokers < 3)
    for warning in made.warnings:
        assert f"{brokers} broker(s)" in warning
    # And once they are there, nothing is left to do with the same brokers.
    again = plan(WANTED, ClusterView(brokers, found_as_wanted(copies)))
    assert (again.changes, again.refusals) == ((), ())


@pytest.mark.parametrize("topic", CO_PARTITIONED)
@pytest.mark.parametrize("partitions", [4, 24])
def test_repartitioning_is_refused(topic: str, partitions: int) -> None:
    made = plan_with(topic, partitions=partitions)
    assert made.changes == ()
    (refusal,) = made.refusals
    assert refusal.topic == WANTED.physical(topic)
    assert f"has {partitions} partitions and the file says 12" in refusal.why
    assert f"set partitions: {partitions}" in refusal.remedy


def test_outputs_grow_and_never_shrink() -> None:
    for topic in set(Topic) - set(CO_PARTITIONED):
        wanted = WANTED.partitions(topic)
        assert plan_with(topic, partitions=wanted - 1).changes == (Grow(topic.value, wanted - 1, wanted),)
        made = plan_with(topic, partitions=wanted + 1)
        assert made.changes == ()
        assert f"set partitions: {wanted + 1} in the file" in made.refusals[0].remedy


@pytest.mark.parametrize(
    ("topic", "key", "before", "after"),
    [
        ("moderation-decisions", "retention.ms", str(7 * DAY_MS), str(400 * DAY_MS)),
        ("moderation-decisions", "retention.bytes", "1073741824", "-1"),
        ("dead-letters", "max.message.bytes", "1048588", "2097152"),
        ("posts", "min.insync.replicas", "1", "2"),
        ("posts", "unclean.leader.election.enable", "true", "false"),
        ("posts", "cleanup.policy", "compact,delete", "delete"),
        (CHANGELOG, "cleanup.policy", "delete,compact", "compact"),
        (CHANGELOG, "segment.bytes", "1073741824", "67108864"),
    ],
)
def test_config_is_altered(topic: str, key: str, before: str, after: str) -> None:
    made = plan_with(topic, {key: before})
    assert made == Plan((Configure(WANTED.physical(topic), {key: (before, after)}),))


@pytest.mark.parametrize(
    ("topic", "key", "before", "why", "remedy"),
    [
        ("posts", "retention.ms", str(90 * DAY_MS), "records 90 days and the file says 30", "raise retention_days"),
        ("posts", "retention.ms", "-1", "keeps records for ever", "by hand: kafka-configs.sh"),
        (CHANGELOG, "cleanup.policy", "delete", "all but the newest record", "cleanup.policy=compact"),
        ("posts", "cleanup.policy", "compact", "every record past the retention", "cleanup.policy=delete"),
    ],
)  # fmt: skip
def test_config_is_refused(topic: str, key: str, before: str, why: str, remedy: str) -> None:
    made = plan_with(topic, {key: before})
    assert made.changes == ()
    (refusal,) = made.refusals
    assert why in refusal.why
    assert remedy in refusal.remedy


@pytest.mark.parametrize(("key", "before"), [("max.message.bytes", "8388608"), ("min.insync.replicas", "3")])
def test_more_than_the_file_asks_is_kept(key: str, before: str) -> None:
    made = plan_with("posts", {key: before})
    assert (made.changes, made.refusals) == ((), ())
    assert f"posts keeps {key}={before}" in made.warnings[0]


def test_min_insync_follows_the_copies_a_topic_has() -> None:
    # min.insync.replicas=2 on a topic with one copy would stop every write to it.
    made = plan_with("posts", {"min.insync.replicas": "1"}, copies=1)
    assert (made.changes, made.refusals) == ((), ())
    assert "posts has copies=1" in made.warnings[0]


@pytest.mark.parametrize(("copies", "in_sync"), [(4, 3), (3, 3), (2, 1), (1, 1)])
def test_min_insync_is_as_written_with_all_copies(copies: int, in_sync: int) -> None:
    assert msgspec.structs.replace(WANTED, replication=3, min_insync=3).in_sync(copies) == in_sync


def test_a_refusal_does_not_hide_the_rest() -> None:
    found = found_as_wanted()
    del found["dead-letters"]
    found["posts"] = FoundTopic(3, 3, {**found["posts"].configs, "retention.ms": "-1"})
    made = plan(WANTED, ClusterView(THREE_BROKERS, found))
    assert [change.topic for change in made.changes] == ["dead-letters"]
    assert len(made.refusals) == 2


def test_apply_does_nothing_with_a_refusal() -> None:
    made = plan_with("posts", partitions=3)
    with pytest.raises(TopicsError, match="nothing was changed"):
        asyncio.run(topics.apply(None, made, bootstrap="nowhere:1"))


def command(bootstrap: str) -> int:
    """`mimamori topics plan`."""
    return asyncio.run(topics.command("plan", bootstrap=bootstrap, topics_file=None, prefix="", group="mimamori"))


def test_closed_port_is_unavailable(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(Unavailable, match=address) as caught:
            command(address)
    assert "\n" not in str(caught.value)
    assert (capfd.readouterr(), caplog.records) == (("", ""), []), "the error line alone says it"


@pytest.fixture
def silent() -> Iterator[str]:
    """Takes connections and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def test_silent_port_is_unavailable(
    silent: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(topics, "ANSWER_SECONDS", 0.6)
    with pytest.raises(Unavailable) as caught:
        command(f"{silent},127.0.0.1:1")
    assert f"{silent} says nothing for 0.3 s" in str(caught.value)
    assert "127.0.0.1:1 is no Kafka that can be reached" in str(caught.value)
    assert capfd.readouterr() == ("", "")
