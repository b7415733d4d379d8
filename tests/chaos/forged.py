"""Topic contents written by hand, as a worker that keeps the contract would leave them; test_checker.py breaks them.

One author with two strikes, an edit, a deletion, a repeat and a conflict (a), one in distress (b), one bad record.
Every number stands here because the contract says so, not because some code counted it.
"""

import base64
import hashlib
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from tests.chaos.records import make_id
from tests.chaos.snapshot import (
    ACTIONS,
    CARE,
    DEAD_LETTERS,
    DECISIONS,
    ESCALATIONS,
    KIND_HEADER,
    OUTPUTS,
    POSTS,
    Record,
    Sample,
    Snapshot,
)

PREFIX: Final = "t-"
START_MS: Final = 1_795_478_400_000
KEYS: Final = {DECISIONS: "post_id", ACTIONS: "author_id", ESCALATIONS: "case_id", CARE: "author_id"}


def at(ms: int) -> str:
    """RFC 3339, UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat()


def encoded(body: dict[str, Any]) -> bytes:
    """As JSON."""
    return json.dumps(body, ensure_ascii=False).encode()


def b64(raw: bytes | None) -> str | None:
    """As dead letters carry bytes."""
    return None if raw is None else base64.b64encode(raw).decode()


@dataclass
class World:
    """Topics of one partition each; `snapshot` at the end."""

    records: dict[str, list[Record]] = field(default_factory=lambda: {topic: [] for topic in (POSTS, *OUTPUTS)})
    committed: int | None = None
    samples: list[Sample] = field(default_factory=list)

    def post(
        self, kind: str, author: str, number: int, revision: int = 1, text: str | None = "x", **more: Any
    ) -> Record:
        """A record of posts; `more` changes its fields."""
        now = START_MS + 1000 * len(self.records[POSTS])
        body = {
            "schema": "post/1",
            "event": kind if kind in ("edited", "deleted") else "created",
            "post_id": f"{author}-{number}",
            "revision": revision,
            "author_id": author,
            "occurred_at": at(now),
            "text": text,
            **more,
        }
        return self.raw(kind, author.encode(), encoded({k: v for k, v in body.items() if v is not None}))

    def raw(self, kind: str, key: bytes | None, value: bytes | None) -> Record:
        """A record of posts from bytes."""
        return self.append(POSTS, key, value, ((KIND_HEADER, kind.encode()),))

    def append(
        self, topic: str, key: bytes | None, value: bytes | None, headers: tuple[tuple[str, bytes | None], ...] = ()
    ) -> Record:
        """The next record of a topic."""
        offset = len(self.records[topic])
        record = Record(topic, 0, offset, START_MS + 1000 * offset, key, value, headers)
        self.records[topic].append(record)
        return record

    def write(self, topic: str, body: dict[str, Any]) -> dict[str, Any]:
        """An output, keyed as it should be."""
        self.append(topic, str(body[KEYS[topic]]).encode(), encoded(body))
        return body

    def decision(self, record: Record, flagged: str = "", action: str = "none", posts: int = 0, **history: int) -> str:
        """The decision of a record; `history` is strikes by label. Returns its id."""
        post = json.loads(record.value or b"")
        text = post.get("text") if post["event"] != "deleted" else None
        identity = make_id(post["post_id"], post["revision"])
        self.write(
            DECISIONS,
            {
                "schema": "decision/1",
                "decision_id": identity,
                **{name: post[name] for name in ("post_id", "revision", "event", "author_id", "occurred_at")},
                "source": {"topic": PREFIX + POSTS, "partition": 0, "offset": record.offset},
                "context": {
                    "text_sha256": None if text is None else hashlib.sha256(text.encode()).hexdigest(),
                    "length": len(text or ""),
                },
                "history": {"posts": posts, "strikes": sum(history.values()), "strikes_by_label": history},
                "flagged": flagged.split(),
                "action": action,
                "reasons": [],
                "automated": True,
                "shadow": False,
                "decided_at": at(record.timestamp_ms),
            },
        )
        return identity

    def action(self, decision_id: str, author: str, post: str, action: str, cause: str = "", **more: Any) -> str:
        """An action; its id."""
        cause = cause or decision_id
        body: dict[str, Any] = {
            "action_id": make_id(ACTIONS, cause, action),
            "cause": cause,
            "decision_id": decision_id,
            "post_id": post,
            "author_id": author,
            "action": action,
            "due_at": None,
            "supersedes": [],
        }
        return str(self.write(ACTIONS, {**body, **more})["action_id"])

    def escalation(
        self, decision_id: str, author: str, case: str, status: str = "open", label: str = "threat", cause: str = ""
    ) -> None:
        """A step of a case."""
        self.write(
            ESCALATIONS,
            {
                "escalation_id": make_id(ESCALATIONS, cause or decision_id, f"escalation:{case}"),
                "case_id": case,
                "status": status,
                "decision_id": decision_id,
                "author_id": author,
                "categories": [label],
            },
        )

    def care(self, decision_id: str, author: str, message: dict[str, str] | None) -> None:
        """A care record."""
        self.write(
            CARE,
            {
                "care_id": make_id(CARE, decision_id, "care"),
                "decision_id": decision_id,
                "author_id": author,
                "message": message,
            },
        )

    def letter(self, record: Record, fault: str) -> None:
        """The dead letter of a record."""
        place = {"topic": PREFIX + POSTS, "partition": 0, "offset": record.offset, "timestamp": record.timestamp_ms}
        body = {
            "source": place,
            "key_b64": b64(record.key),
            "value_b64": b64(record.value),
            "headers": [[name, b64(value)] for name, value in record.headers],
            "error": {"type": fault, "message": "what is wrong"},
        }
        self.append(DEAD_LETTERS, record.key, encoded(body), (("failed_at", b"1"), ("attempts", b"1")))

    def again(self, topic: str, offset: int, **change: Any) -> None:
        """A copy of an output, as a replay writes it; `change` breaks it."""
        before = self.records[topic][offset]
        body = {**json.loads(before.value or b""), **change}
        value = encoded(body) if change else before.value
        self.append(topic, before.key, value, before.headers)

    def change(self, topic: str, offset: int, **change: Any) -> None:
        """An output is another one."""
        before = self.records[topic][offset]
        body = {**json.loads(before.value or b""), **change}
        self.records[topic][offset] = replace(before, value=encoded(body))

    def drop(self, topic: str, offset: int) -> None:
        """An output never came."""
        del self.records[topic][offset]

    def body(self, topic: str, offset: int) -> dict[str, Any]:
        """An output as decoded."""
        found: dict[str, Any] = json.loads(self.records[topic][offset].value or b"")
        return found

    def sample(self, committed: int) -> None:
        """Taken now."""
        ends = {(topic, 0): max((r.offset + 1 for r in self.records[topic]), default=0) for topic in OUTPUTS}
        self.samples.append(Sample({0: committed}, ends))

    def snapshot(self) -> Snapshot:
        """What the checker gets."""
        end = max((record.offset + 1 for record in self.records[POSTS]), default=0)
        accepted = [(0, r.offset, hashlib.sha256(r.value or b"").hexdigest()) for r in self.records[POSTS]]
        committed = {0: end if self.committed is None else self.committed}
        return Snapshot(PREFIX + POSTS, self.records, self.samples, committed, accepted, START_MS + 10_000)


def honest() -> World:
    """posts: 0 a-1, 1 a-2, 2 a-1 edited, 3 a-3, 4 a-3 again, 5 a-2 conflict, 6 bad, 7 b-1, 8 a-2 deleted, 9 b-2."""
    world = World()
    first = world.post("created", "a", 1, text="おまえ")
    insult = world.decision(first, "insult", "warn")
    world.action(insult, "a", "a-1", "warn")
    world.decision(world.post("created", "a", 2), posts=1, insult=1)
    world.decision(world.post("edited", "a", 1, 2, "ごめん"), posts=1)  # its own strike does not count
    third = world.post("created", "a", 3, text="うそつき")
    threat = world.decision(third, "threat", "limit_visibility", posts=2, insult=1)
    world.action(threat, "a", "a-3", "limit_visibility")
    world.escalation(threat, "a", "case-a")
    world.sample(committed=4)
    world.raw("repeated", third.key, third.value)
    world.again(DECISIONS, 3)
    world.letter(world.post("conflict", "a", 2, text="another"), "revision_conflict")
    world.letter(world.raw("malformed-truncated", b"a", b'{"schema":'), "not_json")
    sad = world.decision(world.post("created", "b", 1, text="つらい"), "distress")
    world.care(sad, "b", {"title": "..."})
    world.decision(world.post("deleted", "a", 2, 2, None), posts=2, insult=1, threat=1)
    sadder = world.decision(world.post("created", "b", 2, text="とてもつらい"), "distress", posts=1)
    world.care(sadder, "b", None)
    world.sample(committed=10)
    return world
