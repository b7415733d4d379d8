"""`mimamori topics plan` and `apply`, and the check a worker makes at its start.

Reads the cluster and carries out what workers.layout plans, through aiokafka's admin client. It deletes nothing,
prompts for nothing, and with one refusal in the plan it changes nothing at all.
"""

import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import BrokerResponseError, IncompatibleBrokerVersion, KafkaError, for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int8, Int16, Int32, Schema, String

from workers import access
from workers.errors import AccessError, MimamoriError, TopicsError, Unavailable
from workers.events import Topic
from workers.layout import (
    CHANGELOG,
    CO_PARTITIONED,
    LOGICAL,
    ClusterView,
    Configure,
    Create,
    FoundTopic,
    Grow,
    Plan,
    TopicsFile,
    TopicSpec,
    load,
    plan,
)
from workers.security import PLAINTEXT, Security

__all__ = [
    "CHANGELOG", "CO_PARTITIONED", "LOGICAL", "ClusterView", "FoundTopic", "Plan", "TopicSpec", "TopicsFile",
    "apply", "command", "connect", "load", "plan", "read_cluster", "verify",
]  # fmt: skip

ANSWER_SECONDS: Final = 10.0  # an operator waits no longer for a broker that is not there
SETTLE_SECONDS: Final = 30.0  # brokers learn of a change one after the other
POLL_SECONDS: Final = 0.2
INCREMENTAL_SET: Final = 0


class IncrementalAlterConfigsResponse_v0(Response):  # type: ignore[misc] # aiokafka has no types
    """KIP-339; see the request."""

    API_KEY = 44
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "resources",
            Array(
                ("error_code", Int16),
                ("error_message", String("utf-8")),
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
            ),
        ),
    )


class IncrementalAlterConfigsRequest_v0(RequestStruct):  # type: ignore[misc] # aiokafka has no types
    """KIP-339; see the request."""

    API_KEY = 44
    API_VERSION = 0
    RESPONSE_TYPE = IncrementalAlterConfigsResponse_v0
    SCHEMA = Schema(
        (
            "resources",
            Array(
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
                ("configs", Array(("name", String("utf-8")), ("operation", Int8), ("value", String("utf-8")))),
            ),
        ),
        ("validate_only", Boolean),
    )


class IncrementalAlterConfigsRequest(Request[IncrementalAlterConfigsRequest_v0]):  # type: ignore[misc] # no types
    """Sets some configurations of a topic and leaves the others alone.

    aiokafka 0.14 only has AlterConfigs, which puts every configuration it does not name back to the brokers' default:
    reading them first and sending them all would undo what another operator sets in between (a throttle, say).
    """

    API_KEY = 44

    def __init__(self, resources: list[Any]) -> None:
        self._resources = resources

    def build(self, request_struct_class: type[Any]) -> Any:
        """The request as the negotiated version writes it."""
        return request_struct_class(self._resources, False)


@contextlib.contextmanager
def _answered(bootstrap: str, seconds: float) -> Iterator[None]:
    """aiokafka's errors in our words: Unavailable where waiting can help, TopicsError where a person has to look."""
    try:
        yield
    except TimeoutError as error:
        raise Unavailable(f"{bootstrap}: Kafka did not answer within {seconds:g} s") from error
    except (BrokerResponseError, IncompatibleBrokerVersion) as error:
        if error.retriable:
            raise Unavailable(f"{bootstrap}: Kafka cannot do it now: {error}") from error
        raise TopicsError(f"{bootstrap}: the cluster refuses: {error}") from error
    except (KafkaError, OSError) as error:
        raise Unavailable(f"{bootstrap}: Kafka does not answer: {error}") from error


@contextlib.asynccontextmanager
async def connect(bootstrap: str, security: Security = PLAINTEXT) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client of the cluster, closed at the end. Unavailable if no broker answers, AccessError if one does and
    refuses us."""
    admin = await _start(bootstrap, security)
    try:
        yield admin
    finally:
        await admin.close()


async def _start(bootstrap: str, security: Security) -> AIOKafkaAdminClient:
    servers = bootstrap.split(",")
    seconds = ANSWER_SECONDS / len(servers)
    credentials = security.aiokafka()
    reasons: list[str] = []
    kind: type[MimamoriError] = Unavailable
    # One at a time, since aiokafka would spend its whole patience on a first one whose machine is off.
    for server in servers:
        admin = AIOKafkaAdminClient(
            bootstrap_servers=server,
            client_id="mimamori-topics",
            request_timeout_ms=int(ANSWER_SECONDS * 1000),
            **credentials,
        )
        try:
            async with asyncio.timeout(seconds):
                await admin.start()
        except TimeoutError:
            reasons.append(f"{server} says nothing for {seconds:.2g} s")
        except (KafkaError, OSError, ValueError, AssertionError):  # the last two: a broker that fails SCRAM's proof
            why = await access.refusal(server, security, seconds)
            kind = AccessError if isinstance(why, AccessError) else kind
            reasons.append(f"{server} {why or 'is no Kafka that can be reached'}")
        else:
            return admin
        await admin.close()
    if kind is AccessError:
        raise AccessError(", ".join(reasons))
    raise Unavailable(f"Kafka does not answer: {', '.join(reasons)}")


async def read_cluster(
    admin: AIOKafkaAdminClient, names: Collection[str], *, bootstrap: str, configs: bool = True
) -> ClusterView:
    """The cluster as far as these physical names go; retried while a broker is just going, Unavailable after that."""
    with _answered(bootstrap, ANSWER_SECONDS):
        async with asyncio.timeout(ANSWER_SECONDS):
            while True:
                try:
                    return await _read(admin, names, configs)
                except KafkaError as error:
                    if not error.retriable:
                        raise
                await asyncio.sleep(POLL_SECONDS)


async def _read(admin: AIOKafkaAdminClient, names: Collection[str], configs: bool) -> ClusterView:
    cluster = await admin.describe_cluster()
    # All topics are listed: to ask for one by name creates it where brokers create topics on demand.
    topics = {topic["topic"]: topic["partitions"] for topic in await admin.describe_topics() if topic["topic"] in names}
    values: dict[str, dict[str, str]] = {name: {} for name in topics}
    if configs and topics:
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in topics]
        for response in await admin.describe_configs(resources):
            for code, message, _, name, entries in response.resources:
                _raise_for(code, message, name, "reading its configuration")
                values[name] = {entry[0]: entry[1] for entry in entries if entry[1] is not None}
    return ClusterView(
        len(cluster["brokers"]),
        {
            name: FoundTopic(
                len(found), min((len(partition["replicas"]) for partition in found), default=0), values[name]
            )
            for name, found in topics.items()
        },
        cluster.get("cluster_id") or "",
    )


def _raise_for(code: int, message: str | None, name: str, doing: str) -> None:
    """An error code in a response: waiting helps (KafkaError), or a person has to look (TopicsError)."""
    if code == 0:
        return
    kind = for_code(code)
    if kind.retriable:
        raise kind(f"{name}: {message or kind.description}")
    raise TopicsError(f"{name}: {doing}: the cluster says {kind.__name__}: {message or kind.description}")


async def apply(admin: AIOKafkaAdminClient, todo: Plan, *, bootstrap: str) -> None:
    """Carry a plan out. TopicsError, before anything is done, if it holds a refusal."""
    # Step 1  refuse as a whole: half an applied plan is harder to understand than none
    if todo.refusals:
        raise TopicsError(f"the cluster contradicts the file in {len(todo.refusals)} place(s); nothing was changed")
    with _answered(bootstrap, ANSWER_SECONDS):
        # Step 2  new topics, in one request
        new = [
            NewTopic(change.topic, change.partitions, change.copies, topic_configs=dict(change.configs))
            for change in todo.changes
            if isinstance(change, Create)
        ]
        if new:
            for name, code, message in (await admin.create_topics(new)).topic_errors:
                # Somebody was faster; command() looks again at the end and sees whether that topic is as wanted.
                if for_code(code).__name__ != "TopicAlreadyExistsError":
                    _raise_for(code, message, name, "creating it")
        # Step 3  partitions; aiokafka raises for errors itself
        grown = {c.topic: NewPartitions(c.after) for c in todo.changes if isinstance(c, Grow)}
        if grown:
            await admin.create_partitions(grown)
        # Step 4  configurations last: they loosen limits only, so nothing above waits for them
        resources = [
            (ConfigResourceType.TOPIC, c.topic, [(key, INCREMENTAL_SET, after) for key, (_, after) in c.values.items()])
            for c in todo.changes
            if isinstance(c, Configure)
        ]
        if resources:
            response = await admin._send_request(IncrementalAlterConfigsRequest(resources))
            for code, message, _, name in response.resources:
                _raise_for(code, message, name, "setting its configuration")


async def command(
    verb: Literal["plan", "apply"],
    *,
    bootstrap: str,
    topics_file: Path | None,
    prefix: str,
    group: str,
    security: Security = PLAINTEXT,
) -> int:
    """Print the plan and, with `apply`, carry it out. Returns 0, or 2 where the cluster contradicts the file.

    TopicsError (the file is wrong) and Unavailable (Kafka does not answer) are raised, for the command line to print.
    """
    wanted = load(topics_file)
    names = [wanted.physical(topic, prefix=prefix, group=group) for topic in LOGICAL]
    with without_client_logs():
        async with connect(bootstrap, security) as admin:

            async def look() -> Plan:
                found = await read_cluster(admin, names, bootstrap=bootstrap)
                return plan(wanted, found, prefix=prefix, group=group)

            todo = await look()
            for warning in todo.warnings:
                print(f"warning: {warning}", file=sys.stderr)
            for line in (*todo.changes, *todo.refusals):
                print(line, flush=True)
            if todo.refusals:
                return _contradicted(wanted, todo, "nothing was changed")
            if not todo.changes:
                print(f"nothing to do: {len(names)} topics are as {wanted.path} says")
            elif verb == "apply":
                await apply(admin, todo, bootstrap=bootstrap)
                left = await _settled(look, bootstrap)
                if left.refusals:
                    print(*left.refusals, sep="\n")
                    return _contradicted(wanted, left, "somebody else made them while this ran; the rest is done")
                print(f"done: {len(todo.changes)} change(s)")
    return 0


def _contradicted(wanted: TopicsFile, made: Plan, outcome: str) -> int:
    places = f"in {len(made.refusals)} place(s)"
    print(f"mimamori: the cluster contradicts {wanted.path} {places}, see above; {outcome}", file=sys.stderr)
    return TopicsError.exit_code


async def _settled(look: Callable[[], Awaitable[Plan]], bootstrap: str) -> Plan:
    """The plan once the cluster shows what was done, so that a worker started next finds it."""
    loop = asyncio.get_running_loop()
    until = loop.time() + SETTLE_SECONDS
    while (left := await look()).changes and not left.refusals:
        if loop.time() > until:
            shown = "; ".join(str(line) for line in left.changes)
            raise Unavailable(f"{bootstrap}: took all changes but does not show these (no right to describe?): {shown}")
        await asyncio.sleep(POLL_SECONDS)
    return left


async def verify(wanted: TopicsFile, bootstrap: str, prefix: str, group: str, security: Security = PLAINTEXT) -> str:
    """A worker's check: every topic exists, the three that belong together have the file's partition count, and this
    user may do with each what a worker does. Returns the cluster's id.

    Asks for metadata only, which a worker's rights and the embedded Kafka of the demo allow.
    """
    names = {topic: wanted.physical(topic, prefix=prefix, group=group) for topic in LOGICAL}
    async with connect(bootstrap, security) as admin:
        cluster = await read_cluster(admin, set(names.values()), bootstrap=bootstrap, configs=False)
        found = cluster.topics
        missing = [name for name in names.values() if name not in found]
        if missing:
            raise TopicsError(
                f"{bootstrap}: no topic {', '.join(missing)}; `mimamori topics apply` creates them"
                + (f", unless they are there and {security.who} may not see them" if security != PLAINTEXT else "")
            )
        for topic in CO_PARTITIONED:
            there, said = found[names[topic]].partitions, wanted.partitions(topic)
            if there != said:
                raise TopicsError(f"{names[topic]} has {there} partitions and {wanted.path} says {said}")
        await check_rights(admin, bootstrap, security, worker_rights(names), {group: access.Right.READ})
    return cluster.id


def worker_rights(names: Mapping[str, str]) -> list[tuple[str, access.Right]]:
    """(physical topic, right) of all that a worker does; `names` by logical name."""
    sources = (Topic.POSTS, Topic.STAFF_REVIEWS)
    return [
        *((names[topic], access.Right.READ) for topic in (*sources, CHANGELOG)),
        *((name, access.Right.WRITE) for topic, name in names.items() if topic not in sources),
    ]


async def check_rights(
    admin: AIOKafkaAdminClient,
    bootstrap: str,
    security: Security,
    topics: Sequence[tuple[str, access.Right]],
    groups: Mapping[str, access.Right],
) -> None:
    """AccessError if one is missing; retried while a broker is just coming, Unavailable after that."""
    with _answered(bootstrap, ANSWER_SECONDS):
        async with asyncio.timeout(ANSWER_SECONDS):
            while True:
                try:
                    return await access.check(admin, bootstrap, security, topics, groups)
                except KafkaError as error:
                    if not error.retriable:
                        raise
                await asyncio.sleep(POLL_SECONDS)


@contextlib.contextmanager
def without_client_logs() -> Iterator[None]:
    """aiokafka logs each failed connection; the command's own error line says it once."""
    logger = logging.getLogger("aiokafka")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
