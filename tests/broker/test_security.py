"""TLS, SASL and ACLs against a real broker that denies whatever docs/operations.md does not give."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, ResourcePatternType, ResourceType

from tests.broker.secured import KEY_PASSWORD, PASSWORD, Certificates, SecuredKafka, acls_of
from tests.harness import Outside, WorkerProcess, mimamori, post, wait_until
from workers import security
from workers.app import first_offset_from

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(420)]

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
Settings = dict[str, str]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def secured(certificates: Certificates) -> Iterator[SecuredKafka]:
    with SecuredKafka(certificates) as running:
        running.add_users()
        yield running


class Site:
    """One prefix and group; `by(user)` are the settings of a user that comes by SASL_SSL."""

    def __init__(self, kafka: SecuredKafka, unique: str) -> None:
        self.kafka, self.group, self.prefix = kafka, unique, f"{unique}-"
        self.outside = Outside(kafka.bootstrap, self.prefix)
        self.rights = acls_of(OPERATIONS.read_text("utf-8"), self.prefix, self.group)

    def by(self, user: str, **changes: str) -> Settings:
        return {
            "MIMAMORI_BOOTSTRAP_SERVERS": self.kafka.door("SASL_SSL"),
            "MIMAMORI_TOPIC_PREFIX": self.prefix,
            "MIMAMORI_GROUP": self.group,
            "MIMAMORI_SECURITY_PROTOCOL": "SASL_SSL",
            "MIMAMORI_SASL_USERNAME": user,
            "MIMAMORI_SASL_PASSWORD_FILE": self.kafka.certificates["password"],
            "MIMAMORI_SSL_CAFILE": self.kafka.certificates["ca.pem"],
            **changes,
        }

    def make_topics(self) -> None:
        """As the user of `topics apply`, with the documented rights."""
        self.kafka.allow(self.rights["topics"])
        done = mimamori("topics", "apply", settings=self.by("topics"))
        assert done.returncode == 0, done.stderr
        assert "done: 8 change(s)" in done.stdout
        wait_until(self._led, 30, lambda: "the topics have no leaders")

    def _led(self) -> bool:
        try:
            self.outside.counts("posts", "staff-reviews", "moderation-decisions", "dead-letters")
        except KafkaException:
            return False
        return True


@pytest.fixture
def site(secured: SecuredKafka, unique: str) -> Site:
    return Site(secured, unique)


def one_line(site: Site, command: tuple[str, ...], settings: Settings, *said: str, code: int = 2) -> None:
    """Ends with the code and one line for people that says it, without a secret or a traceback."""
    done = mimamori(*command, settings={"MIMAMORI_WEB_PORT": "0", **settings})
    lines = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert done.returncode == code, done.stderr
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("mimamori: ")
    for part in said:
        assert part in lines[0], lines[0]
    for secret in (PASSWORD, KEY_PASSWORD, "not-the-password"):
        assert secret not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_the_documented_rights_are_enough_and_needed(site: Site) -> None:
    """Topics are made, a post is decided, a dead letter is sent back, by users that may do nothing else."""
    kafka, outside = site.kafka, site.outside
    assert {user: len(acls) for user, acls in site.rights.items()} == {
        "worker": 10,
        "redrive": 7,
        "topics": 24,
        "report": 4,
    }
    site.make_topics()
    kafka.allow(site.rights["worker"] + site.rights["redrive"])
    with WorkerProcess(**{"bootstrap": "", **site.by("worker")}) as worker:
        outside.send([post("a", 1, "おはよう"), {"author_id": "b"}])
        outside.wait_for({"moderation-decisions": 1, "dead-letters": 1}, tail=worker.tail)
        wait_until(lambda: outside.committed(site.group, "posts") == 2, 60, worker.tail)
        assert look_for_a_gap(site) == 0, "the consumer that looks into the log where an offset is missing"
        done = mimamori("redrive", "--go", "--wait", "90", settings=site.by("redrive"))
        told = json.loads(done.stdout.splitlines()[-1])
        assert (told["sent"], told["sent_dead_again"]) == (1, 1), done.stderr

        # The same rights on a worker that runs: it ends rather than go on, and nothing that it owed is lost.
        decisions = of(site, "worker", ResourceType.TOPIC, "moderation-decisions", AclOperation.WRITE)
        kafka.withdraw(decisions)
        outside.send([post("a", 2, "こんばんは")])
        assert worker.process is not None
        assert worker.process.wait(120) == 4, worker.tail()
        log = worker.log.read_text("utf-8")
        assert "moderation-decisions took no record: TopicAuthorizationFailedError" in log
        assert PASSWORD not in log
        assert "Traceback" not in log
    assert outside.committed(site.group, "posts") == 3
    kafka.allow([decisions])

    for acl in site.rights["worker"]:
        kafka.withdraw(acl)
        what = acl.operation.name + (" group " if acl.restype == ResourceType.GROUP else " topic ") + acl.name
        missing = (acl.name,) if acl.restype == ResourceType.TOPIC else (f"user worker has no right to {what};",)
        one_line(site, ("worker",), site.by("worker"), *missing)
        kafka.allow([acl])
    kafka.withdraw(of(site, "redrive", ResourceType.TOPIC, "posts", AclOperation.WRITE))
    one_line(
        site, ("redrive", "--go"), site.by("redrive"), f"user redrive has no right to WRITE topic {site.prefix}posts;"
    )
    assert mimamori("redrive", settings=site.by("redrive")).returncode in (0, 1), "looking needs no Write"
    kafka.withdraw(of(site, "topics", ResourceType.TOPIC, "posts", AclOperation.ALTER_CONFIGS))
    one_line(site, ("topics", "plan"), site.by("topics"), f"{site.prefix}posts: reading its configuration")
    names = {acl.name for acl in site.rights["topics"]}
    for acl in site.rights["topics"]:
        if acl in kafka.acls():
            kafka.withdraw(acl)
    looking = (AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS)
    one = (ResourcePatternType.LITERAL, "User:topics", "*")
    kafka.allow(
        AclBinding(ResourceType.TOPIC, name, *one, operation, AclPermissionType.ALLOW)
        for name in names
        for operation in looking
    )
    assert "nothing to do" in mimamori("topics", "plan", settings=site.by("topics")).stdout


def look_for_a_gap(site: Site) -> int | None:
    _, partition, offset, *_ = site.outside.sent[0]
    way = security.Security(
        "SASL_SSL", username="worker", password=PASSWORD, cafile=Path(site.kafka.certificates["ca.pem"])
    )
    return asyncio.run(first_offset_from(site.kafka.door("SASL_SSL"), f"{site.prefix}posts", partition, offset, way))


def of(site: Site, user: str, kind: ResourceType, name: str, operation: AclOperation) -> AclBinding:
    """One of a user's documented rights."""
    (found,) = [
        acl
        for acl in site.rights[user]
        if (acl.restype, acl.name, acl.operation) == (kind, site.prefix + name, operation)
    ]
    return found


COMMANDS = (("worker",), ("topics", "plan"), ("redrive", "--go"))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_what_is_wrong_is_said_in_one_line(site: Site, command: tuple[str, ...]) -> None:
    files, tls_door = site.kafka.certificates, site.kafka.door("SASL_SSL")

    def says(*said: str, code: int = 2, **changes: str) -> None:
        settings = {name: value for name, value in site.by("worker", **changes).items() if value}
        one_line(site, command, settings, *said, code=code)

    says("user worker or the password is wrong", tls_door, **password("not-the-password"))
    says("user nobody or the password is wrong", tls_door, MIMAMORI_SASL_USERNAME="nobody")
    says("its certificate is not accepted", "MIMAMORI_SSL_CAFILE", MIMAMORI_SSL_CAFILE=files["stranger.pem"])
    says("its certificate is not accepted", "MIMAMORI_SSL_CAFILE", MIMAMORI_SSL_CAFILE="")
    says(
        "its certificate is not accepted",
        "ostname mismatch",
        MIMAMORI_BOOTSTRAP_SERVERS=tls_door.replace("127.0.0.1", "localhost"),
    )
    says("it does not offer PLAIN (MIMAMORI_SASL_MECHANISM)", MIMAMORI_SASL_MECHANISM="PLAIN")
    open_door = site.kafka.door("SASL_PLAINTEXT")
    says(f"{open_door} hangs up on SASL_SSL (MIMAMORI_SECURITY_PROTOCOL)", code=3, MIMAMORI_BOOTSTRAP_SERVERS=open_door)
    says("MIMAMORI_SSL_CAFILE", files["password"], MIMAMORI_SSL_CAFILE=files["password"])


def password(secret: str) -> dict[str, Any]:
    return {"MIMAMORI_SASL_PASSWORD_FILE": "", "MIMAMORI_SASL_PASSWORD": secret}


def without_tls(site: Site, protocol: str, **changes: str) -> Settings:
    settings = site.by(
        "topics", MIMAMORI_SECURITY_PROTOCOL=protocol, MIMAMORI_BOOTSTRAP_SERVERS=site.kafka.door(protocol)
    )
    del settings["MIMAMORI_SSL_CAFILE"]
    return {**settings, **changes}


def test_doors_that_want_something_else(site: Site) -> None:
    plain = {name: value for name, value in without_tls(site, "PLAINTEXT").items() if "SASL" not in name}
    plain["MIMAMORI_BOOTSTRAP_SERVERS"] = site.kafka.door("SASL_PLAINTEXT")
    one_line(site, ("topics", "plan"), plain, "hangs up on PLAINTEXT (MIMAMORI_SECURITY_PROTOCOL)", code=3)
    tls = {name: value for name, value in site.by("x", MIMAMORI_SECURITY_PROTOCOL="SSL").items() if "SASL_" not in name}
    tls["MIMAMORI_BOOTSTRAP_SERVERS"] = site.kafka.door("SSL")
    one_line(site, ("topics", "plan"), tls, "MIMAMORI_SSL_CERTFILE")
    files = site.kafka.certificates
    one_line(
        site,
        ("topics", "plan"),
        {**tls, "MIMAMORI_SSL_CERTFILE": files["client.pem"], "MIMAMORI_SSL_KEYFILE": files["client.key.encrypted"]},
        files["client.key.encrypted"],
        "MIMAMORI_SSL_KEY_PASSWORD_FILE",
    )


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
def test_passwords_without_tls(site: Site, mechanism: str) -> None:
    settings = without_tls(site, "SASL_PLAINTEXT", MIMAMORI_SASL_MECHANISM=mechanism)
    wrong = {**settings, **password("not-the-password")}
    del wrong["MIMAMORI_SASL_PASSWORD_FILE"]
    one_line(site, ("topics", "plan"), wrong, "user topics or the password is wrong")
    done = mimamori("topics", "plan", settings=settings)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("\n") == 1, "the warning about one broker, and none about the password"


def test_a_certificate_in_the_place_of_a_password(site: Site) -> None:
    """Its key is encrypted; worker and redrive, thus both client libraries, come in with it."""
    files = site.kafka.certificates
    site.make_topics()
    by_certificate = {
        **{name: value for name, value in site.by("x").items() if "SASL" not in name},
        "MIMAMORI_BOOTSTRAP_SERVERS": site.kafka.door("SSL"),
        "MIMAMORI_SECURITY_PROTOCOL": "SSL",
        "MIMAMORI_SSL_CERTFILE": files["client.pem"],
        "MIMAMORI_SSL_KEYFILE": files["client.key.encrypted"],
        "MIMAMORI_SSL_KEY_PASSWORD_FILE": files["key-password"],
    }
    one_line(site, ("worker",), by_certificate, "no topic")
    for user in ("worker", "redrive"):
        commands = OPERATIONS.read_text("utf-8").replace(f"User:{user} ", "User:CN=client ")
        site.kafka.allow(acls_of(commands, site.prefix, site.group)["CN=client"])
    with WorkerProcess(**{"bootstrap": "", **by_certificate}) as worker:
        site.outside.send([post("a", 1, "おはよう")])
        site.outside.wait_for({"moderation-decisions": 1}, tail=worker.tail)
        assert mimamori("redrive", settings=by_certificate).returncode == 0
        assert KEY_PASSWORD not in worker.log.read_text("utf-8")
        assert worker.terminate() == 0
