"""Topics read from their beginning to the ends as they are at the start, by commands that look at the past.

Commits nothing, joins no group and writes nothing. What the records mean is their reader's affair.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from confluent_kafka import KafkaError, Message, TopicPartition
from tqdm import tqdm

from workers import security, topics
from workers.access import Right
from workers.errors import TopicsError, Unavailable
from workers.events import Source, Topic
from workers.redrive_kafka import ANSWER_SECONDS, ends, failed, reader
from workers.settings import Settings, topics_file

_LOOK: Final = 1_000  # records taken from the client at once


class Cluster:
    """The topics of one prefix, read once; `client` is what the brokers' logs call it.

    AccessError, TopicsError and Unavailable come from `check` already.
    """

    def __init__(self, settings: Settings, client: str) -> None:
        wanted = topics.load(topics_file(settings))
        self._settings, self._way = settings, security.of(settings)
        self.names = {topic: wanted.physical(topic, prefix=settings.topic_prefix) for topic in Topic}
        self._config = {
            "bootstrap.servers": settings.bootstrap_servers,
            "client.id": client,
            **self._way.librdkafka(),
        }
        self._partitions: Mapping[str, int] = {}

    async def check(self, *used: Topic) -> None:
        """Every reason not to start: the topics are there, and this user may read them."""
        bootstrap, names = self._settings.bootstrap_servers, [self.names[topic] for topic in used]
        with topics.without_client_logs():
            async with topics.connect(bootstrap, self._way) as admin:
                found = (await topics.read_cluster(admin, names, bootstrap=bootstrap, configs=False)).topics
                missing = [name for name in names if name not in found]
                if missing:
                    raise TopicsError(
                        f"{bootstrap}: no topic {', '.join(missing)}, or {self._way.who} may not see it"
                        " (MIMAMORI_TOPIC_PREFIX, MIMAMORI_TOPICS_FILE)"
                    )
                await topics.check_rights(admin, bootstrap, self._way, [(name, Right.READ) for name in names], {})
        self._partitions = {name: found[name].partitions for name in names}

    def records(self, topic: Topic, starts: Mapping[int, int] | None = None) -> Iterator[Message]:
        """Every record of a topic up to its end as it is now; `starts`: of these partitions, from these offsets on."""
        name = self.names[topic]
        consumer = reader(self._config, self._config["client.id"])
        try:
            yield from _records(consumer, name, starts or dict.fromkeys(range(self._partitions[name]), 0))
        finally:
            consumer.close()


def _records(consumer: Any, name: str, starts: Mapping[int, int]) -> Iterator[Message]:
    marks = ends(consumer, name, starts)
    left = {p: high for p, (low, high) in marks.items() if max(low, starts[p]) < high}
    first = {p: max(marks[p][0], starts[p]) for p in left}
    consumer.assign([TopicPartition(name, p, first[p]) for p in left])
    until = time.monotonic() + ANSWER_SECONDS
    with progress(f"reading {name}", sum(left[p] - first[p] for p in left)) as advance:
        while left:
            for message in consumer.consume(_LOOK, 0.5):
                error, partition = message.error(), message.partition()
                # librdkafka looks for the coordinator of a group that nobody here joins. That tells of no partition,
                # though it can carry the number of one, and it has no offset.
                if error is not None and error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
                    continue
                if error is not None and error.code() != KafkaError._PARTITION_EOF:
                    raise failed(error, f"reading {name}")
                if partition not in left:  # beyond the end as it was, or of no partition
                    continue
                until = time.monotonic() + ANSWER_SECONDS
                if error is None:
                    advance()
                    yield message
                if message.offset() + (error is None) >= left[partition]:
                    del left[partition]
            if time.monotonic() > until:
                raise Unavailable(f"{name}: no record came for {ANSWER_SECONDS:g} s")


class progress:  # reads as a statement
    """A bar on a terminal, nothing elsewhere; gives what to call for each record."""

    def __init__(self, what: str, total: int | None = None) -> None:
        self._bar = tqdm(total=total, desc=what, unit=" records", disable=None, leave=False)

    def __enter__(self) -> Callable[[], object]:
        return self._bar.update

    def __exit__(self, *_: object) -> None:
        self._bar.close()


def batches(messages: Iterable[Message], size: int) -> Iterator[list[Message]]:
    """In the order they come, `size` at a time."""
    batch: list[Message] = []
    for message in messages:
        batch.append(message)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def place_of(message: Message) -> str:
    """Where a record stands, as errors say it."""
    return f"{message.topic()}/{message.partition()}/{message.offset()}"


def source_of(message: Message) -> Source:
    """Where a record stands."""
    return Source(topic=str(message.topic()), partition=int(message.partition()), offset=int(message.offset()))
