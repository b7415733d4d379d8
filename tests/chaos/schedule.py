"""The faults of a run, seeded: which, in which order, and at which share of the feed. When exactly one strikes is up to
the machine; what it leaves must hold the contract at any moment."""

import random
from dataclasses import dataclass, replace
from typing import Final

# Of workers; a kill is counted whether the replica was at work, recovering, or barely started.
KILL: Final = "kill"
DAMAGE: Final = ("damage-gone", "damage-file", "damage-short", "damage-bits")
TERM, JOIN, LEAVE, PAUSE = "term", "join", "leave", "pause"
# Of brokers and the network; at most one of these at a time, with faults of workers in the midst of it.
BROKER, CONTROLLER, TWO = "broker-kill", "controller-kill", "two-of-three-kill"
STOP, CUT, CUT_SILENT = "broker-pause", "network-cut", "network-silence"
OUTAGE: Final = "producer-outage"
OF_BROKERS: Final = (BROKER, CONTROLLER, TWO, STOP, CUT, CUT_SILENT)
SECONDS: Final[dict[str, tuple[float, float]]] = {
    BROKER: (2, 8),
    CONTROLLER: (2, 8),
    TWO: (4, 15),
    STOP: (4, 12),
    CUT: (3, 12),
    CUT_SILENT: (5, 15),  # longer than a session of 6 s, as often as not
    PAUSE: (7, 14),
    OUTAGE: (1, 5),
}
EARLIEST, LATEST = 0.04, 0.96  # shares of the feed between which faults strike


@dataclass(frozen=True, slots=True)
class Fault:
    """`at`: share of the feed; `pick` chooses among what is there then; `wait`: seconds after that moment."""

    at: float
    kind: str
    pick: int
    wait: float
    seconds: float = 0.0


def plan(seed: int, kills: int) -> list[Fault]:
    """`kills` times kill -9 of a worker (a store is damaged with some of them), and the others in proportion: for 20
    kills, 1 of each fault of brokers, network and producer, 4 SIGTERM, 2 joins, 2 leaves, 2 pauses."""
    chance = random.Random(f"faults {seed}")
    few = max(1, round(kills / 20))
    damaged = kills // 5
    kinds = [KILL] * (kills - damaged) + [DAMAGE[i % len(DAMAGE)] for i in range(damaged)]
    kinds += [TERM] * max(1, kills // 5) + [JOIN, LEAVE, PAUSE] * max(1, kills // 10)
    kinds += [*OF_BROKERS, OUTAGE] * few
    return _placed(chance, kinds)


def short(seed: int) -> list[Fault]:
    """What fits into a minute: three kills, one of them with its store, a SIGTERM, a broker down for three seconds."""
    chance = random.Random(f"short {seed}")
    faults = _placed(chance, [KILL, KILL, "damage-gone", TERM, chance.choice([BROKER, CONTROLLER])])
    return [replace(fault, seconds=min(fault.seconds, 3.0)) for fault in faults]


def _placed(chance: random.Random, kinds: list[str]) -> list[Fault]:
    chance.shuffle(kinds)
    places = sorted(chance.uniform(EARLIEST, LATEST) for _ in kinds)
    return [
        Fault(at, kind, chance.randrange(1_000), chance.uniform(0.0, 1.5), chance.uniform(*SECONDS.get(kind, (0, 0))))
        for at, kind in zip(places, kinds, strict=True)
    ]
