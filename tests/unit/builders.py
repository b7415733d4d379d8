"""Posts and authors for tests of decisions: an author is walked through posts as the pipeline would, without storing.

Every record on the way is checked against its published schema, and every decision is taken twice, to the same bytes.
"""

import base64
import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import jsonschema

from tests.unit.memory import AT_MS, CONTEXT, DAY_MS, HOUR_MS, Json, only, read, scored, scores, when
from workers.decide import Context, decide_post
from workers.events import KEY_FIELD, RECORD_OF, Post, Source, Topic, from_kafka_ms
from workers.judge import Scored
from workers.schemas import file_name
from workers.state import AuthorRow, Entry, Output, PostRow, apply_effect

__all__ = [
    "AT_MS",
    "CONTEXT",
    "DAY_MS",
    "HOUR_MS",
    "POSTS",
    "Life",
    "Seen",
    "check",
    "post",
    "scored",
    "scores",
    "when",
]

SCHEMAS: Final = Path(__file__).parents[2] / "docs/schemas"
POSTS: Final = "test-posts"


@cache
def _validator(topic: Topic) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads((SCHEMAS / file_name(RECORD_OF[topic])).read_text("utf-8")))


def check(output: Output) -> None:
    """The record fits its schema in docs/schemas, and its key is the field that the contract names."""
    record = json.loads(output.value)
    _validator(output.topic).validate(record)
    key = KEY_FIELD[output.topic]
    if key is None:  # a dead letter goes by its source's key
        assert output.key == base64.b64decode(record["key_b64"] or "")
    else:
        assert output.key.decode() == record[key]


def post(post_id: str = "p1", revision: int = 1, *, at_ms: int = AT_MS, **more: Any) -> Post:
    """A post of ann's; text=None makes a deletion."""
    text = more.pop("text", "本文")
    event = "deleted" if text is None else "created" if revision == 1 else "edited"
    return Post(
        post_id=post_id,
        revision=revision,
        author_id="ann",
        occurred_at=from_kafka_ms(at_ms),
        text=text,
        **{"event": event} | more,
    )


@dataclass(frozen=True)
class Seen:
    """What one post led to, as a reader of the topics sees it."""

    entry: Entry

    @property
    def decision(self) -> Json:
        return only(self.entry.outputs, Topic.DECISIONS)

    @property
    def actions(self) -> list[Json]:
        return read(self.entry.outputs, Topic.ACTIONS)

    @property
    def cases(self) -> list[Json]:
        return read(self.entry.outputs, Topic.ESCALATIONS)

    @property
    def care(self) -> list[Json]:
        return read(self.entry.outputs, Topic.CARE)

    @property
    def act(self) -> str:
        """The one action, which the decision names too; `none` where there is none."""
        acts = [action["action"] for action in self.actions] or ["none"]
        assert acts == [self.decision["action"]]
        return str(acts[0])

    @property
    def action(self) -> Json:
        """The one action record."""
        return only(self.entry.outputs, Topic.ACTIONS)

    @property
    def case(self) -> Json:
        """The one escalation record."""
        return only(self.entry.outputs, Topic.ESCALATIONS)

    @property
    def routes(self) -> list[str]:
        """Where the one case goes."""
        return [route["body"] for route in self.case["routes"]]


@dataclass
class Life:
    """One author, post after post."""

    context: Context = CONTEXT
    author: AuthorRow = field(default_factory=AuthorRow)
    rows: dict[str, PostRow] = field(default_factory=dict)
    offset: int = 0

    def see(self, record: Post, scored: Scored | None, *, kafka_ms: int | None = None) -> Seen:
        """Decide one record; `kafka_ms` is when the broker took it, unless told the moment it was written."""
        at_ms = round(record.occurred_at.timestamp() * 1000) if kafka_ms is None else kafka_ms
        source = Source(topic=POSTS, partition=0, offset=self.offset)
        row = self.rows.get(record.post_id)
        entry = decide_post(self.context, self.author, row, record, source, at_ms, scored)
        assert entry == decide_post(self.context, self.author, row, record, source, at_ms, scored)
        for output in entry.outputs:
            check(output)
        self.author = apply_effect(self.author, entry.effect, POSTS, self.offset)
        self.rows[record.post_id] = entry.post
        self.offset += 1
        return Seen(entry)

    def write(
        self,
        post_id: str,
        *labels: str,
        at_ms: int = AT_MS,
        kafka_ms: int | None = None,
        revision: int | None = None,
        imminent: bool = False,
        score: dict[str, float] | None = None,
        **more: Any,
    ) -> Seen:
        """Ann writes or edits a post in which `labels` are flagged."""
        revision = revision or self._next(post_id)
        said = scored(*labels, imminent=imminent, **(score or {}))
        return self.see(post(post_id, revision, at_ms=at_ms, **more), said, kafka_ms=kafka_ms)

    def delete(self, post_id: str, *, at_ms: int = AT_MS, revision: int | None = None) -> Seen:
        """Ann deletes a post."""
        return self.see(post(post_id, revision or self._next(post_id), at_ms=at_ms, text=None), None)

    def _next(self, post_id: str) -> int:
        row = self.rows.get(post_id)
        return row.latest_revision + 1 if row else 1
