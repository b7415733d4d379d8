"""Why a broker does not let this process in, and which rights it lacks there; asked through aiokafka's admin client.

aiokafka tells "the password is wrong" and "nobody listens" apart in its log alone, so a refused connection is tried
once more here and its reason named. Rights are asked for (KIP-430) instead of found out by failing later: a worker
without one of them would join its group and stop in the middle. No message holds a secret.
"""

import ssl
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import create_conn
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    IncompatibleBrokerVersion,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
    for_code,
)
from aiokafka.protocol.admin import DescribeGroupsResponse_v3
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Schema, String

from workers.errors import AccessError, MimamoriError, Unavailable
from workers.security import Security

NOT_TOLD: Final = -(2**31)  # what a broker without an opinion says of rights


class Right(IntEnum):
    """Kafka's AclOperation codes, as far as they are asked for."""

    READ = 3
    WRITE = 4
    DESCRIBE = 8


class MetadataResponse_v8(Response):  # type: ignore[misc] # aiokafka has no types
    """KIP-430; see the request."""

    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", Array(("node_id", Int32), ("host", String()), ("port", Int32), ("rack", String()))),
        ("cluster_id", String()),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("topic", String()),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
        ("cluster_authorized_operations", Int32),
    )


class MetadataRequest_v8(RequestStruct):  # type: ignore[misc] # aiokafka has no types
    """KIP-430; see the request."""

    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = MetadataResponse_v8
    SCHEMA = Schema(
        ("topics", Array(String())),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
    )


class TopicRightsRequest(Request[MetadataRequest_v8]):  # type: ignore[misc] # aiokafka has no types
    """What this user may do with topics. aiokafka 0.14 ends at version 5, which cannot ask that."""

    API_KEY = 3

    def __init__(self, topics: list[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[Any]) -> Any:
        """The request as the negotiated version writes it."""
        return request_struct_class(self._topics, False, False, True)


class DescribeGroupsRequest_v3(RequestStruct):  # type: ignore[misc] # aiokafka has no types
    """KIP-430; see the request."""

    API_KEY = 15
    API_VERSION = 3
    RESPONSE_TYPE = DescribeGroupsResponse_v3
    SCHEMA = Schema(("groups", Array(String())), ("include_authorized_operations", Boolean))


class GroupRightsRequest(Request[DescribeGroupsRequest_v3]):  # type: ignore[misc] # aiokafka has no types
    """What this user may do with a group, and who is in it. aiokafka's own parses the answer as an older version's."""

    API_KEY = 15

    def __init__(self, group: str) -> None:
        self._group = group

    def build(self, request_struct_class: type[Any]) -> Any:
        """The request as the negotiated version writes it."""
        return request_struct_class([self._group], True)


async def refusal(server: str, security: Security, seconds: float) -> MimamoriError | None:
    """Why this broker does not talk to us, in words that name the setting: AccessError where it says so, Unavailable
    where it only hangs up (it may be starting). None: it talks, or nobody is there."""
    host, _, port = server.rpartition(":")
    try:
        connection = await create_conn(
            host.strip("[]"), int(port), request_timeout_ms=int(seconds * 1000), **security.aiokafka()
        )
        try:
            # A listener that wants a login first answers what it is, and then closes on the first real request.
            await connection.send(MetadataRequest([]))
        finally:
            connection.close()
    except (ssl.SSLError, KafkaError, OSError, EOFError, ValueError, AssertionError) as error:
        return _reason(error, security)
    return None


def _reason(error: BaseException, security: Security) -> MimamoriError | None:
    cause = error.__cause__ if isinstance(error, KafkaConnectionError) else error
    said = _refused(cause or error, security)
    if said is not None:
        return AccessError(f"refuses: {said}")
    if isinstance(cause, ConnectionResetError | ConnectionAbortedError | BrokenPipeError | EOFError):
        return Unavailable(f"hangs up on {security.protocol} (MIMAMORI_SECURITY_PROTOCOL)")
    return None


def _refused(error: BaseException, security: Security) -> str | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message.rstrip('.')} (MIMAMORI_SSL_CAFILE)"
    if isinstance(error, ssl.SSLError):
        if "CERTIFICATE" in (error.reason or ""):
            return "it does not accept this client's certificate, or misses one (MIMAMORI_SSL_CERTFILE)"
        return f"TLS fails ({error.reason or 'no reason given'}); is this its TLS port (MIMAMORI_SECURITY_PROTOCOL)?"
    if isinstance(error, SaslAuthenticationFailed):
        return f"{security.who} or the password is wrong (MIMAMORI_SASL_USERNAME, MIMAMORI_SASL_PASSWORD_FILE)"
    if isinstance(error, UnsupportedSaslMechanismError):
        return f"it does not offer {security.mechanism} (MIMAMORI_SASL_MECHANISM)"
    if isinstance(error, IllegalSaslStateError):
        return f"it wants no login here (MIMAMORI_SECURITY_PROTOCOL is {security.protocol})"
    if isinstance(error, ValueError | AssertionError):  # of aiokafka's SCRAM
        return "its answer does not prove that it knows the password: this may be no broker of yours"
    return None


async def check(
    admin: AIOKafkaAdminClient,
    bootstrap: str,
    security: Security,
    topics: Sequence[tuple[str, Right]],
    groups: Mapping[str, Right],
) -> None:
    """AccessError with every right that is missing, of those wanted for each topic and group.

    A broker that does not say what one may do is taken at its silence: no right is known to be missing.
    """
    try:
        answer = await admin._send_request(TopicRightsRequest(sorted({topic for topic, _ in topics})))
    except (IncompatibleBrokerVersion, NotImplementedError):
        return
    told = {topic: operations for *_, topic, _, _, operations in answer.topics}
    lacks = [
        f"{right.name} topic {topic}"
        for topic, right in topics
        if told.get(topic, NOT_TOLD) != NOT_TOLD and not told[topic] >> right & 1
    ]
    for group, right in groups.items():
        operations, _ = await look_at_group(admin, group)
        if operations != NOT_TOLD and not operations >> right & 1:
            lacks.append(f"{right.name} group {group}")
    if lacks:
        raise AccessError(
            f"{bootstrap}: {security.who} has no right to {', '.join(lacks)}; docs/operations.md lists what is needed"
        )


async def look_at_group(admin: AIOKafkaAdminClient, group: str) -> tuple[int, int]:
    """(what this user may do with a group, as bits; how many members it has). A refusal is no right at all."""
    try:
        coordinator = await admin.find_coordinator(group)
        ((code, *_, members, operations),) = (await admin._send_request(GroupRightsRequest(group), coordinator)).groups
        if code:
            raise for_code(code)(group)
    except GroupAuthorizationFailedError:
        return 0, 0
    except (IncompatibleBrokerVersion, NotImplementedError):
        return NOT_TOLD, 0
    return operations, len(members)
