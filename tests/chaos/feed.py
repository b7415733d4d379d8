"""The posts of a run: a seeded plan, and a plain client that sends it at a steady rate.

    created     of several authors, most short, some long; some carry an old Kafka timestamp, so that clocks run out
    edited      a later revision with another text        repeated   an earlier record again, the same bytes
    deleted     a later revision without text             conflict   an earlier revision with another text
    malformed-… one of tests.chaos.malformed

The client is a platform's: acks=all, and whatever it was not told is there it sends again, twice if need be.
"""

import hashlib
import json
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from confluent_kafka import Message, Producer

from tests.chaos.malformed import MALFORMED
from tests.chaos.snapshot import KIND_HEADER, POSTS

MARKER: Final = "ひそかな合言葉"  # stands in every text, and nowhere in a log
POSTS_PER_AUTHOR: Final = 40
OLD_MS: Final = 24 * 3_600_000 - 45_000  # a request for removal of such a post runs out 45 s after it was sent
OLD_SHARE: Final = 0.05  # of authors
MALFORMED_SHARE: Final = 0.01
LONG_SHARE: Final = 0.02
_WORDS: Final = tuple(
    "死ね 自殺 一緒 今日 天気 店長 横浜 死に たい です ます いい なら よう 会社 嫌 消えて 電話 番号 住所".split()
)
BURSTS: Final = (0, 0, 10, 60, 200)
SEND_SECONDS: Final = 300.0


class Step(NamedTuple):
    """One record to send. `of` is the index of the step whose record it repeats or follows."""

    kind: str
    author: int
    post: int = 0
    revision: int = 1
    text: str | None = None
    of: int = -1


def plan(seed: int, count: int) -> list[Step]:
    """The same steps for the same seed: at least one record of each malformed kind where `count` has room for it."""
    chance = random.Random(f"feed {seed}")
    authors = max(5, count // POSTS_PER_AUTHOR)
    broken = max(round(count * MALFORMED_SHARE), min(len(MALFORMED), count // 10))
    places = set(chance.sample(range(1, count), broken))
    kinds = [
        kind for _ in range(broken // len(MALFORMED) + 1) for kind in chance.sample(list(MALFORMED), len(MALFORMED))
    ]
    steps: list[Step] = []
    latest: dict[int, int] = {}  # post → index of its latest revision
    live: list[int] = []  # indices of steps that are revisions
    for i in range(count):
        if i in places:
            steps.append(Step(f"malformed-{kinds.pop()}", chance.randrange(authors), count + i, 1, _text(chance)))
            continue
        steps.append(_live(chance, steps, latest, live, authors))
        if steps[i].kind in ("created", "edited", "deleted"):
            latest[steps[i].post] = i
            live.append(i)
    return steps


def _live(chance: random.Random, steps: list[Step], latest: dict[int, int], live: list[int], authors: int) -> Step:
    drawn = chance.random()
    near = chance.random() < 0.7  # most repeats follow soon
    if live and drawn < 0.08:
        of = chance.choice(live[-60:] if near else live)
        return Step("repeated", steps[of].author, of=of)
    if live and drawn < 0.09:
        of = chance.choice(live[-60:])
        if steps[of].kind != "deleted":
            return steps[of]._replace(kind="conflict", text=_text(chance), of=of)
    if live and drawn < 0.24:
        before = steps[latest[steps[chance.choice(live[-200:])].post]]
        follows = before._replace(revision=before.revision + 1, of=-1)
        if drawn < 0.20:
            return follows._replace(kind="edited", text=_text(chance))
        if before.kind != "deleted":
            return follows._replace(kind="deleted", text=None)
    author = int(authors * chance.random() ** 1.5)  # some write more than others
    return Step("created", author, len(steps), 1, _text(chance))


def _text(chance: random.Random) -> str:
    words = chance.randint(150, 700) if chance.random() < LONG_SHARE else chance.randint(1, 14)
    return MARKER + "".join(chance.choice(_WORDS) for _ in range(words)) + str(chance.randrange(10_000))


@dataclass(slots=True)
class _Sent:
    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    kind: str


class Feeder(threading.Thread):
    """Sends a plan; `outage` loses the client with what it had not been told of."""

    def __init__(self, bootstrap: str, prefix: str, name: str, steps: list[Step], rate: float) -> None:
        super().__init__(name="feeder", daemon=True)
        self._servers, self._topic, self._label = bootstrap, prefix + POSTS, name
        self._steps, self._rate = steps, rate
        self._records: list[_Sent | None] = [None] * len(steps)
        self._unknown: set[int] = set()  # sent, and not known to be there
        self._lock = threading.Lock()
        self._outage_until = 0.0
        self._slow: Callable[[], bool] = lambda: False
        self._authors = {step.author for step in steps}
        chance = random.Random(f"old {name}")
        self._old = {author for author in sorted(self._authors) if chance.random() < OLD_SHARE}
        self.accepted: list[tuple[int, int, str]] = []
        self.sent = 0
        self.outages = 0
        self.failed: BaseException | None = None

    def hold_while(self, slow: Callable[[], bool]) -> None:
        """Back-pressure: send nothing while this says so."""
        self._slow = slow

    def outage(self, seconds: float) -> None:
        """The producer dies now and comes back later."""
        self._outage_until = time.monotonic() + seconds

    def run(self) -> None:
        try:
            self._run()
        except BaseException as error:  # noqa: BLE001 # the driver reads it
            self.failed = error

    def _run(self) -> None:
        producer = self._client()
        chance = random.Random(f"bursts {self._label}")
        burst = 0
        due = time.monotonic()
        for i in range(len(self._steps)):
            if self._outage_until > time.monotonic():
                producer.purge(in_queue=True, in_flight=True, blocking=True)
                producer.poll(0)
                del producer
                self.outages += 1
                time.sleep(max(0.0, self._outage_until - time.monotonic()))
                producer = self._client()
                self._again(producer)
                due = time.monotonic()
            while self._slow():
                producer.poll(0.1)
                due = time.monotonic()
            self._produce(producer, i)
            self.sent = i + 1
            due += 1 / self._rate
            burst -= 1
            if burst < 0:  # the same rate, in bursts: batches of all sizes
                burst = chance.choice(BURSTS)
                producer.poll(max(0.0, due + burst / self._rate - time.monotonic()))
        until = time.monotonic() + SEND_SECONDS
        while self._unknown:
            if time.monotonic() > until:
                raise TimeoutError(f"{len(self._unknown)} posts were not accepted within {SEND_SECONDS:g} s")
            if producer.flush(5) == 0:  # what is left has failed
                self._again(producer)

    def _client(self) -> Producer:
        return Producer(
            {
                "bootstrap.servers": self._servers,
                "partitioner": "murmur2_random",
                "acks": "all",
                "linger.ms": 5,
                "log_level": 0,
                "message.timeout.ms": 60_000,
            }
        )

    def _again(self, producer: Producer) -> None:
        """What the last client was not told of is sent again, in its order, though it may be there."""
        with self._lock:
            unknown = sorted(self._unknown)
            self._unknown.clear()
        for i in unknown:
            self._produce(producer, i)

    def _produce(self, producer: Producer, i: int) -> None:
        sent = self._records[i] = self._records[i] or self._made(self._steps[i])
        with self._lock:
            self._unknown.add(i)

        def told(error: Any, message: Message) -> None:
            if error is not None:
                return  # it stays unknown
            offset, partition = message.offset(), message.partition()
            assert offset is not None
            assert partition is not None
            with self._lock:
                self._unknown.discard(i)
            self.accepted.append((partition, offset, hashlib.sha256(sent.value or b"").hexdigest()))

        producer.produce(
            self._topic,
            key=sent.key,
            value=sent.value,
            timestamp=sent.timestamp_ms,
            headers=[(KIND_HEADER, sent.kind.encode())],
            on_delivery=told,
        )

    def _made(self, step: Step) -> _Sent:
        now_ms = int(time.time() * 1000)
        if step.kind == "repeated":
            before = self._records[step.of]
            assert before is not None
            return _Sent(before.key, before.value, now_ms, step.kind)
        if step.author in self._old:
            now_ms -= OLD_MS
        author = f"{self._label}-author-{step.author}"
        post: dict[str, Any] = {
            "schema": "post/1",
            "event": "created" if step.kind.startswith("malformed") or step.kind == "conflict" else step.kind,
            "post_id": f"{author}-{step.post}",
            "revision": step.revision,
            "author_id": author,
            "occurred_at": datetime.fromtimestamp(now_ms / 1000, UTC).isoformat(),
            "reports": step.post % 7,
            "text": step.text,
        }
        if step.kind == "deleted":
            del post["text"]
        if step.kind.startswith("malformed-"):
            key, value = MALFORMED[step.kind.removeprefix("malformed-")](post)
            return _Sent(key, value, now_ms, step.kind)
        return _Sent(author.encode(), json.dumps(post, ensure_ascii=False).encode(), now_ms, step.kind)
