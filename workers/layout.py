"""topics.yml as data, and what differs between it and a cluster, as a plan.

Reads one file; everything else here is pure. It does not talk to Kafka: workers.topics reads the cluster and carries
the plan out. It plans no deletion, no smaller number of anything, and moves no copies.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
import yaml
from msgspec import Meta, Struct

from workers.errors import TopicsError
from workers.events import Topic

CHANGELOG: Final = "authors-changelog"
CO_PARTITIONED: Final = (Topic.POSTS, Topic.STAFF_REVIEWS, CHANGELOG)
LOGICAL: Final = (*Topic, CHANGELOG)
PACKAGED: Final = Path(__file__).with_name("topics.yml")

DAY_MS: Final = 86_400_000
FOR_EVER: Final = -1  # Kafka's "no limit", for retention.ms and retention.bytes
DEAD_LETTER_ROOM_BYTES: Final = 64 << 10  # error, source and headers beside the base64

T = TypeVar("T")
Count = Annotated[int, Meta(ge=1, le=10_000)]


class TopicSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One topic of the file; the comments of topics.yml say what each field means to an operator."""

    name: str
    partitions: Count
    cleanup: Literal["delete", "compact"]
    max_message_bytes: Annotated[int, Meta(ge=64 << 10, le=64 << 20)]
    retention_days: Annotated[int, Meta(ge=1, le=36_500)] | None = None
    segment_bytes: Annotated[int, Meta(ge=1 << 20, le=2**31 - 1)] | None = None

    def configs(self, min_insync: int) -> dict[str, str]:
        """Kafka's configuration of this topic."""
        configs = {
            "cleanup.policy": self.cleanup,
            "max.message.bytes": str(self.max_message_bytes),
            "min.insync.replicas": str(min_insync),
            "retention.bytes": str(FOR_EVER),
            "unclean.leader.election.enable": "false",
        }
        if self.retention_days is not None:
            configs["retention.ms"] = str(self.retention_days * DAY_MS)
        if self.segment_bytes is not None:
            configs["segment.bytes"] = str(self.segment_bytes)
        if self.cleanup == "compact":  # the changelog: its acknowledgements tell workers the brokers' time
            configs["message.timestamp.type"] = "LogAppendTime"
        return configs


class TopicsFile(Struct, frozen=True, kw_only=True):
    """A whole, checked topics.yml."""

    path: Path
    replication: int
    min_insync: int
    topics: dict[str, TopicSpec]

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has, by logical name."""
        return self.topics[topic].partitions

    def physical(self, topic: str, *, prefix: str = "", group: str = "mimamori") -> str:
        """The name in the cluster, by logical name."""
        name = prefix + self.topics[topic].name.replace("{group}", group)
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", name) or name in (".", ".."):
            raise TopicsError(f"{self.path}: topics.{topic}.name: Kafka takes no topic named {name!r}")
        return name

    def changelog(self, prefix: str = "", group: str = "mimamori") -> str:
        """The name in the cluster of the authors' changelog."""
        return self.physical(CHANGELOG, prefix=prefix, group=group)

    def producer_limit(self) -> int:
        """max_request_size of a producer that writes the outputs and the changelog."""
        return max(spec.max_message_bytes for name, spec in self.topics.items() if name not in CO_PARTITIONED[:2])

    def in_sync(self, copies: int) -> int:
        """min.insync.replicas of a topic that has so many copies."""
        return self.min_insync if copies >= self.replication else min(self.min_insync, max(1, copies - 1))


class _Head(Struct, forbid_unknown_fields=True):
    replication: Annotated[int, Meta(ge=1, le=100)]
    min_insync: Annotated[int, Meta(ge=1, le=100)]
    topics: dict[str, Any]


class _Loader(yaml.SafeLoader):
    """YAML allows a key twice and keeps the last; here that is a mistake nobody would see."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def load(path: Path | None = None) -> TopicsFile:
    """Read and check a topics.yml; None: the packaged copy. TopicsError names the file and the field."""
    path = path or PACKAGED
    try:
        raw = yaml.load(path.read_text("utf-8"), _Loader)  # noqa: S506 # a SafeLoader
    except (OSError, UnicodeDecodeError) as error:
        raise TopicsError(f"{path}: cannot be read: {error}") from error
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise TopicsError(f"{path}: {line}{error.problem}") from error
    except yaml.YAMLError as error:
        raise TopicsError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error
    head = _convert(raw, _Head, path, "")
    topics = {}
    for name in LOGICAL:
        if name not in head.topics:
            raise TopicsError(f"{path}: topics.{name}: is missing")
        topics[str(name)] = _convert(head.topics[name], TopicSpec, path, f"topics.{name}")
    for name in head.topics:
        if name not in topics:
            raise TopicsError(f"{path}: topics.{name}: no such topic; these are known: {', '.join(LOGICAL)}")
    file = TopicsFile(path=path, replication=head.replication, min_insync=head.min_insync, topics=topics)
    _check(file)
    return file


def _convert(raw: Any, kind: type[T], path: Path, where: str) -> T:
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        message, _, inner = str(error).partition(" - at `$")
        field_path = (where + inner.rstrip("`")).lstrip(".")
        raise TopicsError(f"{path}: {field_path + ': ' if field_path else ''}{message}") from error


def _check(file: TopicsFile) -> None:
    """What no single field can tell."""

    def wrong(where: str, message: str) -> TopicsError:
        return TopicsError(f"{file.path}: {where}: {message}")

    if file.min_insync > file.replication:
        raise wrong("min_insync", f"{file.min_insync} copies in sync of {file.replication} can never be")
    names: dict[str, str] = {}
    for topic, spec in file.topics.items():
        changelog = topic == CHANGELOG
        if spec.name.count("{group}") != int(changelog):
            # Two groups that share a changelog would overwrite each other's authors.
            raise wrong(f"topics.{topic}.name", "must hold {group} once" if changelog else "cannot hold {group}")
        if (spec.cleanup == "compact") != changelog:
            raise wrong(f"topics.{topic}.cleanup", "must be compact" if changelog else "must be delete")
        if (spec.retention_days is None) != changelog:
            raise wrong(f"topics.{topic}.retention_days", "has no use here" if changelog else "is missing")
        if (physical := file.physical(topic)) in names:
            raise wrong(f"topics.{topic}.name", f"is the name of {names[physical]} too")
        names[physical] = topic
    if len({file.partitions(topic) for topic in CO_PARTITIONED}) > 1:
        counts = ", ".join(f"{topic} {file.partitions(topic)}" for topic in CO_PARTITIONED)
        raise wrong(f"topics.{CO_PARTITIONED[-1]}.partitions", f"these three must be equal: {counts}")
    largest = max(file.topics[topic].max_message_bytes for topic in (Topic.POSTS, Topic.STAFF_REVIEWS))
    needed = (largest + 2) // 3 * 4 + DEAD_LETTER_ROOM_BYTES
    if file.topics[Topic.DEAD_LETTERS].max_message_bytes < needed:
        raise wrong(
            f"topics.{Topic.DEAD_LETTERS}.max_message_bytes", f"must be {needed} or more to hold any input as base64"
        )


@dataclass(frozen=True, slots=True)
class FoundTopic:
    """A topic as the cluster has it; `configs` holds the values in force, the brokers' defaults included."""

    partitions: int
    copies: int
    configs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ClusterView:
    """What a plan needs to know of a cluster: how many brokers answer, and the topics by physical name."""

    brokers: int
    topics: Mapping[str, FoundTopic]
    id: str = ""


@dataclass(frozen=True, slots=True)
class Create:
    """A topic that is not there."""

    topic: str
    partitions: int
    copies: int
    configs: Mapping[str, str]

    def __str__(self) -> str:
        configs = " ".join(f"{key}={value}" for key, value in sorted(self.configs.items()))
        return f"create {self.topic}: partitions={self.partitions} copies={self.copies} {configs}"


@dataclass(frozen=True, slots=True)
class Grow:
    """An output that gets more partitions."""

    topic: str
    before: int
    after: int

    def __str__(self) -> str:
        return f"grow   {self.topic}: {self.before} to {self.after} partitions"


@dataclass(frozen=True, slots=True)
class Configure:
    """Configurations that change, {key: (before, after)}; the topic's other ones stay as they are."""

    topic: str
    values: Mapping[str, tuple[str, str]]

    def __str__(self) -> str:
        values = ", ".join(f"{key} {before} to {after}" for key, (before, after) in sorted(self.values.items()))
        return f"set    {self.topic}: {values}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Where the cluster contradicts the file, and what a person can do."""

    topic: str
    why: str
    remedy: str

    def __str__(self) -> str:
        return f"REFUSE {self.topic}: {self.why}\n       remedy: {self.remedy}"


Change = Create | Grow | Configure


@dataclass(frozen=True, slots=True)
class Plan:
    """All that differs. With a refusal in it nothing is carried out."""

    changes: tuple[Change, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(slots=True)
class _Draft:
    changes: list[Change] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def plan(wanted: TopicsFile, found: ClusterView, *, prefix: str = "", group: str = "mimamori") -> Plan:
    """What apply would do to the cluster, what it refuses to do, and what an operator should know."""
    draft = _Draft()
    copies = min(wanted.replication, found.brokers)
    if copies < wanted.replication:
        draft.warnings.append(
            f"{found.brokers} broker(s) answer and the file asks for {wanted.replication} copies: new topics get "
            f"copies={copies} min.insync.replicas={wanted.in_sync(copies)}, and later brokers do not add to them"
        )
    names = {topic: wanted.physical(topic, prefix=prefix, group=group) for topic in LOGICAL}
    for topic, name in names.items():
        spec = wanted.topics[topic]
        there = found.topics.get(name)
        if there is None:
            draft.changes.append(Create(name, spec.partitions, copies, spec.configs(wanted.in_sync(copies))))
            continue
        if there.copies < copies:
            draft.warnings.append(
                f"{name} has copies={there.copies} and could have {copies}: kafka-reassign-partitions.sh adds them"
            )
        _compare_partitions(draft, name, topic in CO_PARTITIONED, spec.partitions, there.partitions)
        _compare_configs(draft, name, spec.configs(wanted.in_sync(there.copies)), there.configs)
    return Plan(tuple(draft.changes), tuple(draft.refusals), tuple(draft.warnings))


def _compare_partitions(draft: _Draft, name: str, fixed: bool, wanted: int, found: int) -> None:
    if found == wanted:
        return
    if fixed:
        why = (
            f"has {found} partitions and the file says {wanted}; another count would part authors from their state, "
            f"so {', '.join(CO_PARTITIONED)} are never repartitioned"
        )
        remedy = (
            f"set partitions: {found} for all three in the file; if the three differ in the cluster, or need more, "
            "start anew under another MIMAMORI_TOPIC_PREFIX and MIMAMORI_GROUP"
        )
        draft.refusals.append(Refusal(name, why, remedy))
    elif found > wanted:
        why = f"has {found} partitions and the file says {wanted}; Kafka cannot take partitions away"
        draft.refusals.append(Refusal(name, why, f"set partitions: {found} in the file"))
    else:
        draft.changes.append(Grow(name, found, wanted))


def _compare_configs(draft: _Draft, name: str, wanted: Mapping[str, str], found: Mapping[str, str]) -> None:
    values = {}
    for key, value in wanted.items():
        before = found.get(key, "")
        if before == value:
            continue
        if key == "cleanup.policy" and value not in before.split(","):
            draft.refusals.append(_other_cleanup(name, before, value))
        elif key == "retention.ms" and _limit(value) < _limit(before):
            draft.refusals.append(_shorter(name, before, value))
        elif key in ("max.message.bytes", "min.insync.replicas") and _limit(value) < _limit(before):
            draft.warnings.append(f"{name} keeps {key}={before}, which is more than the {value} of the file")
        else:
            values[key] = (before, value)
    if values:
        draft.changes.append(Configure(name, values))


def _limit(value: str) -> float:
    """A limit as a number; none at all is the largest. A value the cluster did not tell is the smallest."""
    if value == "":
        return float("-inf")
    return float("inf") if int(value) == FOR_EVER else int(value)


def _by_hand(name: str, config: str) -> str:
    return f"kafka-configs.sh --alter --entity-type topics --entity-name {name} --add-config {config}"


def _other_cleanup(name: str, before: str, value: str) -> Refusal:
    loss = (
        "turning to compact deletes all but the newest record of each key"
        if value == "compact"
        else "turning to delete deletes every record past the retention, the newest of a key too"
    )
    why = f"has cleanup.policy={before} and the file says {value}; {loss}"
    return Refusal(name, why, f"if that is meant, by hand: {_by_hand(name, f'cleanup.policy={value}')}")


def _shorter(name: str, before: str, value: str) -> Refusal:
    kept = "for ever" if int(before) == FOR_EVER else f"{int(before) / DAY_MS:g} days"
    why = f"keeps records {kept} and the file says {int(value) / DAY_MS:g} days; records would be deleted"
    by_hand = _by_hand(name, f"retention.ms={value}")
    if int(before) == FOR_EVER:
        return Refusal(name, why, f"if that is meant, by hand: {by_hand}")
    return Refusal(name, why, f"raise retention_days in the file, or, if that is meant, by hand: {by_hand}")
