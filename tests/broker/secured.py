"""A real broker that lets nobody in unknown: TLS, SASL and ACLs, with certificates made here by openssl.

It listens four times on one set of topics:

    PLAINTEXT        the tests' own way in, as a super user
    SASL_SSL         SCRAM and PLAIN over TLS
    SASL_PLAINTEXT   the same without TLS
    SSL              a client certificate instead of a password
"""

import shlex
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from tests.harness import wait_until
from tests.kafka.cluster import KafkaCluster, _free_ports

PASSWORD: Final = "p4ssw0rd-that-nobody-may-see"  # noqa: S105 # of a broker that lives for a minute
KEY_PASSWORD: Final = "k3y-p4ssw0rd-that-nobody-may-see"  # noqa: S105
USERS: Final = ("worker", "redrive", "topics")
_SCRAM: Final = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
_PLAIN: Final = "org.apache.kafka.common.security.plain.PlainLoginModule required"


@dataclass(frozen=True)
class Certificates:
    """PEM files: an authority, the broker's key and certificate, a client's with its key encrypted, a stranger's."""

    home: Path

    @classmethod
    def make(cls, home: Path) -> "Certificates":
        """Everything is valid for two days and for 127.0.0.1 only."""

        def openssl(arguments: str) -> None:
            subprocess.run(["openssl", *shlex.split(arguments)], cwd=home, check=True, capture_output=True)

        for name in ("ca", "stranger"):
            openssl(
                f"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={name} -keyout {name}.key -out {name}.pem"
                " -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign"
            )
        (home / "names").write_text("subjectAltName=IP:127.0.0.1\nauthorityKeyIdentifier=keyid\n", "utf-8")
        for name in ("broker", "client"):
            openssl(f"req -newkey rsa:2048 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr")
            openssl(
                f"x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names"
                f" -out {name}.pem"
            )
        openssl(f"rsa -aes256 -in client.key -out client.key.encrypted -passout pass:{KEY_PASSWORD}")
        (home / "broker.both.pem").write_text(
            (home / "broker.key").read_text("utf-8") + (home / "broker.pem").read_text("utf-8"), "utf-8"
        )
        for name, secret in (("password", PASSWORD), ("key-password", KEY_PASSWORD)):
            (home / name).write_text(secret + "\n", "utf-8")
        return cls(home)

    def __getitem__(self, name: str) -> str:
        return str(self.home / name)


class SecuredKafka(KafkaCluster):
    """One broker with four doors; `door(protocol)` is host:port of one."""

    def __init__(self, certificates: Certificates) -> None:
        super().__init__(1)
        self.certificates = certificates
        doors = dict(zip(("SASL_SSL", "SASL_PLAINTEXT", "SSL"), _free_ports(3), strict=True))
        self._doors = {"PLAINTEXT": self._ports[1], **doors}
        listeners = [f"{name}://127.0.0.1:{port}" for name, port in self._doors.items()]
        plain = " ".join(f'user_{user}="{PASSWORD}"' for user in USERS)
        self._properties = {
            "listeners": ",".join([*listeners, f"CONTROLLER://127.0.0.1:{self._controllers[1]}"]),
            "advertised.listeners": ",".join(listeners),
            "listener.security.protocol.map": ",".join(f"{name}:{name}" for name in self._doors)
            + ",CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",  # who comes by PLAINTEXT: the broker itself, and the tests
            "sasl.enabled.mechanisms": "SCRAM-SHA-512,SCRAM-SHA-256",
            "listener.name.sasl_plaintext.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": certificates["broker.both.pem"],
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": certificates["ca.pem"],
            "listener.name.ssl.ssl.client.auth": "required",
        }
        for door in ("sasl_ssl", "sasl_plaintext"):
            for mechanism in ("scram-sha-512", "scram-sha-256"):
                self._properties[f"listener.name.{door}.{mechanism}.sasl.jaas.config"] = _SCRAM
        self._properties["listener.name.sasl_plaintext.plain.sasl.jaas.config"] = f"{_PLAIN} {plain};"

    def __enter__(self) -> "SecuredKafka":
        self.start()
        return self

    def door(self, protocol: str) -> str:
        """Address of one listener."""
        return f"127.0.0.1:{self._doors[protocol]}"

    def add_users(self) -> None:
        """USERS with PASSWORD, by both SCRAM mechanisms."""
        for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
            wanted = [
                UserScramCredentialUpsertion(user, ScramCredentialInfo(mechanism, 4096), PASSWORD.encode())
                for user in USERS
            ]
            for done in self.admin.alter_user_scram_credentials(wanted).values():
                done.result(30)

    @cached_property
    def admin(self) -> AdminClient:
        """As the super user."""
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})

    def allow(self, acls: Iterable[AclBinding]) -> None:
        """Add, and wait until the broker shows them."""
        acls = list(acls)
        for done in self.admin.create_acls(acls).values():
            done.result(30)
        wait_until(lambda: set(acls) <= self.acls(), 30, lambda: "the rights did not come")

    def withdraw(self, acl: AclBinding) -> None:
        """Delete one, and wait until the broker shows it no more."""
        one = AclBindingFilter(
            acl.restype,
            acl.name,
            acl.resource_pattern_type,
            acl.principal,
            acl.host,
            acl.operation,
            acl.permission_type,
        )
        for done in self.admin.delete_acls([one]).values():
            done.result(30)
        wait_until(lambda: acl not in self.acls(), 30, lambda: "the right did not go")

    def acls(self) -> set[AclBinding]:
        """All that there are."""
        any_of = AclBindingFilter(
            ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY
        )
        return set(self.admin.describe_acls(any_of).result(30))


def acls_of(commands: str, prefix: str, group: str) -> dict[str, list[AclBinding]]:
    """User → what the `acls …` lines of a document give to that user, with a test's names for topics and groups."""
    found: dict[str, list[AclBinding]] = {}
    for line in commands.replace("\\\n", " ").splitlines():
        if not line.startswith("acls --"):
            continue
        flags: dict[str, list[str]] = {}
        words = shlex.split(line)[1:]
        for flag, value in zip(words[::2], words[1::2], strict=True):
            flags.setdefault(flag, []).append(value)
        (principal,) = flags.pop("--allow-principal")
        operations = flags.pop("--operation")
        resources = [(ResourceType.TOPIC, prefix, name) for name in flags.pop("--topic", [])]
        resources += [(ResourceType.GROUP, "", name) for name in flags.pop("--group", [])]
        assert not flags, f"{line}: {flags}"
        for operation in operations:
            for kind, before, name in resources:
                real = before + name.replace("mimamori", group)
                if name == "dead-letters-redrive":
                    real = prefix + name
                found.setdefault(principal.removeprefix("User:"), []).append(
                    AclBinding(
                        kind,
                        real,
                        ResourcePatternType.LITERAL,
                        principal,
                        "*",
                        _OPERATIONS[operation],
                        AclPermissionType.ALLOW,
                    )
                )
    return found


_OPERATIONS: Final = {
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
    "Create": AclOperation.CREATE,
    "Alter": AclOperation.ALTER,
    "Describe": AclOperation.DESCRIBE,
    "AlterConfigs": AclOperation.ALTER_CONFIGS,
}
