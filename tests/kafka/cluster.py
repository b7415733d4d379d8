"""A real Apache Kafka (KRaft) for tests: one or three nodes, each broker and controller, as subprocesses.

Needs Java and the jars that tests/kafka/fetch.sh puts into .cache/kafka; `missing()` says what is not there. Nodes keep
their ports and data from `start` to `stop`, so a killed one comes back as itself. No TLS, no SASL, nothing outlives
`stop`, and only processes started here are ended.
"""

import atexit
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

JARS: Final = Path(__file__).parents[2] / ".cache" / "kafka"
JAVA_AT_LEAST: Final = 17
START_SECONDS: Final = 60.0  # about 3 s alone; two busy cores and three nodes take far longer
STOP_SECONDS: Final = 10.0
LOG_TAIL_LINES: Final = 30
CLUSTER_ID: Final = "bWltYW1vcmktdGVzdHMtMQ"
# Serial collector and first compiler only: a test broker lives for seconds.
JAVA_OPTIONS: Final = ("-Xmx512m", "-Xms128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


def missing(jars: Path = JARS) -> str | None:
    """What this machine lacks to run Kafka, or None."""
    java = shutil.which("java")
    if java is None:
        return "no java on PATH (Kafka needs Java 17); install it, then `make kafka-test`"
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) < JAVA_AT_LEAST:
        return f"Java {version[1] if version else '?'} is too old, Kafka needs {JAVA_AT_LEAST}"
    if not any(jars.glob("kafka_2.13-*.jar")):
        return "Kafka's jars are not in .cache/kafka; `make kafka-test` fetches them"
    return None


class KafkaCluster:
    """`start()`, use `bootstrap`, `stop()`; or as a context manager. Nodes count from 1."""

    def __init__(self, nodes: int = 1, *, jars: Path = JARS, properties: dict[str, str] | None = None) -> None:
        self.nodes = nodes
        self._jars = jars
        self._properties = properties or {}
        self._home = Path(tempfile.mkdtemp(prefix="mimamori-kafka-"))
        ports = _free_ports(2 * nodes)
        self._ports = dict(zip(range(1, nodes + 1), ports[:nodes], strict=True))
        self._controllers = dict(zip(range(1, nodes + 1), ports[nodes:], strict=True))
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        atexit.register(self.stop)

    @property
    def bootstrap(self) -> str:
        """All nodes as host:port,…; dead ones too, as a client's configuration would have them."""
        return ",".join(self.address(node) for node in self._ports)

    def address(self, node: int = 1) -> str:
        """One node as host:port."""
        return f"127.0.0.1:{self._ports[node]}"

    def __enter__(self) -> "KafkaCluster":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def pid(self, node: int = 1) -> int:
        """Of a running node's Java process."""
        return self._running[node].pid

    def start(self, node: int | None = None) -> None:
        """Start all nodes, or one again after `kill`; returns when every running broker is in the metadata."""
        wanted = [node] if node is not None else list(self._ports)
        try:
            self._format([each for each in wanted if not self._data(each).exists()])
            for each in wanted:
                if each not in self._running:
                    self._running[each] = self._java(each, "kafka.Kafka", str(self._write_properties(each)))
            self._wait()
        except BaseException:
            if node is None:
                self.stop()
            raise

    def kill(self, node: int = 1) -> None:
        """kill -9, and wait until the process is gone; its data stay for `start(node)`."""
        process = self._running.pop(node)
        _end(process, signal.SIGKILL)
        process.wait(STOP_SECONDS)

    def stop(self) -> None:
        """End all nodes at once and remove their data."""
        for node in list(self._running):
            self.kill(node)
        shutil.rmtree(self._home, ignore_errors=True)
        atexit.unregister(self.stop)

    def log(self, node: int = 1) -> str:
        """The last lines of a node's log."""
        path = self._home / f"node-{node}.log"
        lines = path.read_text("utf-8", "replace").splitlines() if path.exists() else ["(no log)"]
        return "\n".join(lines[-LOG_TAIL_LINES:])

    def _data(self, node: int) -> Path:
        return self._home / f"node-{node}"

    def _write_properties(self, node: int) -> Path:
        copies = str(min(3, self.nodes))
        in_sync = str(max(1, min(3, self.nodes) - 1))
        voters = ",".join(f"{each}@127.0.0.1:{port}" for each, port in self._controllers.items())
        broker, controller = self._ports[node], self._controllers[node]
        properties = {
            "process.roles": "broker,controller",
            "node.id": str(node),
            "controller.quorum.voters": voters,
            "listeners": f"PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{broker}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(self._data(node)),
            "auto.create.topics.enable": "false",
            "default.replication.factor": copies,
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "1000",
            # A dead broker's partitions should find a new leader within a test's patience (default 9 s).
            "broker.session.timeout.ms": "4000",
            "broker.heartbeat.interval.ms": "500",
            # Internal topics: as many copies as there are nodes, and few partitions, which open faster.
            "offsets.topic.replication.factor": copies,
            "offsets.topic.num.partitions": "5",
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": in_sync,
            "transaction.state.log.num.partitions": "5",
            "share.coordinator.state.topic.replication.factor": copies,
            "share.coordinator.state.topic.min.isr": in_sync,
            "log.cleaner.dedupe.buffer.size": str(16 << 20),
            **self._properties,
        }
        path = self._home / f"node-{node}.properties"
        path.write_text("".join(f"{key}={value}\n" for key, value in properties.items()), "utf-8")
        return path

    def _java(self, node: int, *arguments: str) -> subprocess.Popen[bytes]:
        command = ["java", *JAVA_OPTIONS, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{self._jars}/*"]
        with (self._home / f"node-{node}.log").open("ab") as log:
            return subprocess.Popen(
                [*command, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def _format(self, nodes: list[int]) -> None:
        tools = {
            node: self._java(
                node, "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(self._write_properties(node))
            )
            for node in nodes
        }
        try:
            for node, tool in tools.items():
                if tool.wait(START_SECONDS) != 0:
                    raise RuntimeError(f"Kafka node {node}: format failed\n{self.log(node)}")
        finally:
            for tool in tools.values():
                _end(tool, signal.SIGKILL)

    def _wait(self) -> None:
        """Until each running broker itself tells a client of all the others."""
        until = time.monotonic() + START_SECONDS
        for node in self._running:
            # A client of this node alone: others go on naming a killed node for a while, as if it were up again.
            # Without log_level librdkafka writes each refused connection to stderr.
            client = AdminClient(
                {"bootstrap.servers": self.address(node), "log_level": 0, "reconnect.backoff.max.ms": 200}
            )
            while not self._answers(client):
                self._check(until)
                time.sleep(0.05)

    def _answers(self, client: Any) -> bool:
        try:
            return set(self._running) <= set(client.list_topics(timeout=1).brokers)
        except KafkaException:
            return False

    def _check(self, until: float) -> None:
        for node, process in self._running.items():
            if process.poll() is not None:
                raise RuntimeError(f"Kafka node {node} ended with {process.returncode}\n{self.log(node)}")
        if time.monotonic() > until:
            logs = "\n".join(f"--- node {node}\n{self.log(node)}" for node in self._running)
            raise RuntimeError(f"Kafka did not answer within {START_SECONDS:g} s\n{logs}")


def _end(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if process.poll() is None:
        os.killpg(process.pid, number)


def _free_ports(count: int) -> list[int]:
    """Free ports below the ephemeral range.

    Above it a client that reconnects to a dead node could be given that very port for its own end, connect to itself
    and keep the node from coming back.
    """
    ports: list[int] = []
    while len(ports) < count:
        port = random.randint(15_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in ports:
            ports.append(port)
    return ports
