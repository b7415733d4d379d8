"""`mimamori redrive`: sends dead letters back to their source topic, once each, after the cause is gone.

    Step 1  check access, topics and rights; with --go, be the only redrive of this topic
    Step 2  how far the workers are, then every dead letter, then the source topics behind them: what was sent before
    Step 3  show counts and what would be sent; without --go that is all
    Step 4  read the chosen letters again, in their order, and send each as a copy: the original bytes, key and headers
    Step 5  with --wait, until the workers have finished the copies: how many are dead again

The order of step 2 matters: a worker sends a dead letter before it commits, so a copy that is finished by the commits
read first, and whose dead letter is not found afterwards, has none. A letter goes out at most once however often this
runs or is killed, since a copy stands in the log with its letter's id (workers.redrive_kafka). No output shows content.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from workers import security, topics
from workers.access import Right, look_at_group
from workers.errors import TopicsError, UsageError
from workers.events import Topic
from workers.letters import Filter, Letter, Seen, State, states, table
from workers.redrive_kafka import Cluster, Lock, Sender
from workers.settings import Settings, topics_file

SOURCES: Final = (Topic.POSTS, Topic.STAFF_REVIEWS)
SHOWN: Final = 20  # letters named one by one
POLL_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Order:
    """What the command line asks for. `rate` is copies a second, `limit` a number of copies, `wait` seconds."""

    filter: Filter = field(default_factory=Filter)
    go: bool = False
    again: bool = False
    rate: float = 100.0
    limit: int | None = None
    wait: float = 0.0


def run(settings: Settings, order: Order, topic_names: Iterable[str] = ()) -> int:
    """The whole command; `topic_names` are logical names to filter by. Returns 0, or 1 where a letter was bad: not
    readable, refused by the broker, or dead again after --wait."""
    wanted = topics.load(topics_file(settings))
    names = {topic: wanted.physical(topic, prefix=settings.topic_prefix) for topic in Topic}
    chosen = replace(order.filter, topics=[names[Topic(name)] for name in topic_names])
    lock_group = f"{names[Topic.DEAD_LETTERS]}-redrive"
    way = security.of(settings)
    partitions = asyncio.run(_check(settings, way, names, lock_group, order.go))  # Step 1
    config = {"bootstrap.servers": settings.bootstrap_servers, "client.id": "mimamori-redrive", **way.librdkafka()}
    cluster = Cluster(config, names[Topic.DEAD_LETTERS], partitions, lock_group)
    redrive = _Redrive(cluster, settings.group, order, chosen)
    try:
        if not order.go:
            redrive.look()
            redrive.show()
        else:
            with Lock(cluster) as lock:
                cluster.beat = lock.check
                redrive.look()
                redrive.show()
                redrive.send()
            cluster.beat = _nothing
            redrive.wait()
        return redrive.finish()
    finally:
        cluster.close()


def _nothing() -> None:
    """No lock is held."""


async def _check(
    settings: Settings, way: security.Security, names: Mapping[Topic, str], lock_group: str, go: bool
) -> dict[str, int]:
    """Partition counts of the source topics; every reason not to start is raised here."""
    bootstrap, dead_letters = settings.bootstrap_servers, names[Topic.DEAD_LETTERS]
    sources = [names[topic] for topic in SOURCES]
    with topics.without_client_logs():
        async with topics.connect(bootstrap, way) as admin:
            used = [*sources, dead_letters]
            found = (await topics.read_cluster(admin, used, bootstrap=bootstrap, configs=False)).topics
            missing = [name for name in used if name not in found]
            if missing:
                raise TopicsError(
                    f"{bootstrap}: no topic {', '.join(missing)}, or {way.who} may not see it"
                    " (MIMAMORI_TOPIC_PREFIX, MIMAMORI_TOPICS_FILE)"
                )
            rights = [(name, Right.READ) for name in used]
            rights += [(name, Right.WRITE) for name in sources if go]
            groups = {lock_group: Right.READ, settings.group: Right.DESCRIBE}
            await topics.check_rights(admin, bootstrap, way, rights, groups)
            if go and (await look_at_group(admin, lock_group))[1]:
                raise UsageError(
                    f"another redrive of {dead_letters} is running, or was killed a few seconds ago; run one at a time"
                )
    return {name: found[name].partitions for name in sources}


class _Redrive:
    """One run over one cluster."""

    def __init__(self, cluster: Cluster, group: str, order: Order, chosen: Filter) -> None:
        self._cluster, self._group, self._order, self._chosen = cluster, group, order, chosen
        self._letters: dict[str, Letter] = {}  # those that the filter takes
        self._back: dict[str, Letter] = {}
        self._ready: list[Letter] = []
        self._ends: dict[int, int] = {}
        self._seen = Seen({}, (), {})
        self._sent: dict[str, tuple[int, int]] = {}
        self._unreadable = self._refused = 0

    def look(self) -> None:
        """Step 2."""
        committed = self._cluster.committed(self._group)
        self._ends = self._cluster.ends()
        self._read(self._cluster.beginnings(), self._report)
        self._seen = self._cluster.look(self._letters.values(), committed)
        known = self._known()
        self._ready = [one for one in self._letters.values() if known[one.id] is State.READY][: self._order.limit]

    def _read(self, starts: Mapping[int, int], unreadable: Callable[[str, str], None]) -> None:
        for one, _ in self._cluster.letters(starts, unreadable):
            if one.origin is not None:
                self._back.setdefault(one.origin, one)
            if self._chosen.takes(one):
                self._letters.setdefault(one.id, one)  # delivered twice: the first counts

    def _known(self) -> dict[str, State]:
        return states(self._letters.values(), self._back, self._seen, again=self._order.again)

    def show(self) -> None:
        """Step 3."""
        if self._letters:
            print(table(self._letters.values(), self._known()))
        else:
            print(f"{self._cluster.dead_letters}: no dead letter is as asked for")
        for one in self._ready[:SHOWN]:
            print(f"  {one.id}  {one.error}  to partition {one.target}")
        if len(self._ready) > SHOWN:
            print(f"  … and {len(self._ready) - SHOWN} more")
        if not self._order.go:
            print(f"dry run, nothing was sent; --go sends {len(self._ready)}, at most {self._order.rate:g} a second")

    def send(self) -> None:
        """Step 4."""
        sender = Sender(self._cluster.config)
        left = {one.place: one for one in self._ready}
        starts: dict[int, int] = {}
        for partition, offset in left:
            starts[partition] = min(offset, starts.get(partition, offset))
        try:
            due = time.monotonic()
            for found, record in self._cluster.letters(starts, lambda *_: None):
                one = left.pop(found.place, None)
                if one is None:
                    continue
                while (pause := due - time.monotonic()) > 0:
                    self._cluster.beat()
                    sender.poll(min(pause, POLL_SECONDS))
                due = max(due, time.monotonic() - 1.0) + 1 / self._order.rate
                sender.send(one, record)
                if not left:
                    break
            sender.finish()
        except BaseException:
            sender.abandon()
            raise
        finally:
            self._sent = sender.copies
            print(f"sent {len(sender.copies)} of {len(self._ready)}", flush=True)
        self._seen = replace(self._seen, copies={**self._seen.copies, **self._sent})
        self._refused = len(sender.refused)
        for id, why in sender.refused.items():
            self._complain(id, f"the broker refuses it: {why}")

    def wait(self) -> None:
        """Step 5. Reads the commits a last time even without --wait, for the counts."""
        until = time.monotonic() + self._order.wait
        while True:
            self._seen = replace(self._seen, committed=self._cluster.committed(self._group))
            known = self._known()
            if time.monotonic() >= until or all(known[id] is not State.WAITING for id in self._sent):
                break
            time.sleep(POLL_SECONDS)
        letters = dict(self._letters)
        self._read(self._ends, lambda *_: None)
        self._letters = letters  # what died meanwhile is not part of what was asked for
        for id in self._sent:
            if id in self._back:
                one = self._back[id]
                self._complain(id, f"its copy {one.id} is dead again: {one.error}, attempt {one.attempts}")

    def finish(self) -> int:
        """The last line, for scripts; the exit code."""
        known = self._known()
        counts = Counter(known.values())
        dead_again = sum(known[id] is State.DEAD_AGAIN for id in self._sent)
        totals: dict[str, Any] = {"go": self._order.go, "letters": len(self._letters)}
        totals |= {state.value: counts[state] for state in State}
        totals |= {
            "sent": len(self._sent),
            "sent_dead_again": dead_again,
            "refused": self._refused,
            "unreadable": self._unreadable,
        }
        print(json.dumps(totals))
        return 1 if dead_again or self._refused or self._unreadable else 0

    def _report(self, place: str, why: str) -> None:
        self._unreadable += 1
        self._complain(place, why)

    def _complain(self, id: str, what: str) -> None:
        print(f"mimamori: {id}: {what}", file=sys.stderr)
