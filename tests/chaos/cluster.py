"""Three real brokers, each a KRaft controller too, that can be killed, paused, or cut off from the workers.

Each node has two more listeners, whose advertised addresses are proxies, one for each of two networks. The workers are
spread over these networks and know the cluster by the proxies alone, so that one can be cut off while its heir goes on.
The feed and the checker reach the nodes directly.
"""

import json
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from tests.chaos.proxy import Proxy
from tests.kafka.cluster import KafkaCluster, _free_ports

NODES: Final = 3
NETWORKS: Final = (1, 2)


class ChaosCluster(KafkaCluster):
    """As KafkaCluster, with three nodes; `workers_bootstrap` is for workers, `bootstrap` for everything else."""

    def __init__(self, **more: Any) -> None:
        super().__init__(NODES, **more)
        places = [(network, node) for network in NETWORKS for node in self._ports]
        ports = _free_ports(2 * len(places))
        self._proxied = dict(zip(places, ports, strict=False))
        self.proxies = {
            place: Proxy(port, self._proxied[place]) for place, port in zip(places, ports[len(places) :], strict=True)
        }
        self._paused: set[int] = set()

    def __enter__(self) -> "ChaosCluster":
        self.start()
        return self

    def workers_bootstrap(self, network: int) -> str:
        """All nodes as workers of one network see them."""
        return ",".join(proxy.address for (of, _), proxy in self.proxies.items() if of == network)

    def between(self, network: int, node: int | None) -> list[Proxy]:
        """What to cut between one network and a node, or all of them."""
        return [proxy for (of, to), proxy in self.proxies.items() if of == network and node in (None, to)]

    @property
    def running(self) -> list[int]:
        """Nodes that are up and not paused."""
        return [node for node in self._running if node not in self._paused]

    def controller(self) -> int | None:
        """The quorum's leader, as the nodes' own files say; None while there is none.

        A client cannot ask for it: brokers answer with any broker's id where the controller is asked for.
        """
        latest, leader = -1, None
        for node in self.running:
            state = self._data(node) / "__cluster_metadata-0" / "quorum-state"
            with suppress(OSError, ValueError):  # being written this moment
                found = json.loads(state.read_text("utf-8"))
                if found["leaderEpoch"] > latest:
                    latest, leader = found["leaderEpoch"], found["leaderId"]
        return leader if leader in self.running else None

    def pause(self, node: int) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        self._paused.add(node)
        os.killpg(self._running[node].pid, signal.SIGSTOP)

    def resume(self, node: int) -> None:
        """SIGCONT."""
        os.killpg(self._running[node].pid, signal.SIGCONT)
        self._paused.discard(node)

    def stop(self) -> None:
        super().stop()
        proxies, self.proxies = self.proxies, {}
        for proxy in proxies.values():
            proxy.stop()

    def _write_properties(self, node: int) -> Path:
        path = super()._write_properties(node)
        listeners = {"PLAINTEXT": self._ports[node], "CONTROLLER": self._controllers[node]}
        advertised = {"PLAINTEXT": self._ports[node]}
        for network in NETWORKS:
            listeners[f"PROXIED{network}"] = self._proxied[network, node]
            advertised[f"PROXIED{network}"] = self.proxies[network, node].port
        # Of a key that stands twice Java takes the last.
        with path.open("a", encoding="utf-8") as stream:
            stream.write(
                f"listeners={_urls(listeners)}\n"
                f"advertised.listeners={_urls(advertised)}\n"
                f"listener.security.protocol.map={','.join(f'{name}:PLAINTEXT' for name in listeners)}\n"
                "inter.broker.listener.name=PLAINTEXT\n"
                "min.insync.replicas=2\n"  # of the commits' own topic; ours say so themselves
            )
        return path


def _urls(ports: dict[str, int]) -> str:
    return ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())
