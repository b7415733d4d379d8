"""A desk for tests of reviews: one author's posts and what staff say of them, on a pipeline in memory."""

from dataclasses import dataclass, field
from typing import Any, Final

from tests.unit.builders import check
from tests.unit.memory import CONTEXT, Json, MemoryRows, apply, only, pipeline, post, read, review
from workers.decide import Context
from workers.events import Topic
from workers.pipeline import Pipeline
from workers.state import AuthorRow, Output, PostRow, Strike

UNDOES: Final = ("appeal_granted", "overturn")


@dataclass
class Desk:
    """A pipeline, and the offset of what comes next in either topic."""

    context: Context = CONTEXT
    rows: MemoryRows = field(default_factory=MemoryRows)
    offset: int = 0

    def __post_init__(self) -> None:
        self.line: Pipeline = pipeline(self.rows, context=self.context)

    @property
    def author(self) -> AuthorRow:
        return self.rows.author()

    @property
    def row(self) -> PostRow:
        return self.rows.post()

    @property
    def strikes(self) -> list[Strike]:
        return self.author.strikes

    def post(self, post_id: str = "p1", *labels: str, **more: Any) -> list[Output]:
        self.offset += 1
        given = {name: more.pop(name) for name in ("distress", "imminent") if name in more}
        return _checked(apply(self.line, post(post_id, offset=self.offset, **more), *labels, **given))

    def edit(self, *labels: str, post_id: str = "p1", **more: Any) -> list[Output]:
        """The next revision of a post."""
        revision = self.rows.post(post_id).latest_revision + 1
        return self.post(post_id, *labels, revision=revision, **{"text": f"本文{revision}"} | more)

    def review(self, verdict: str, post_id: str = "p1", **more: Any) -> list[Output]:
        self.offset += 1
        return _checked(apply(self.line, review(verdict, post_id, offset=self.offset, **more)))


def _checked(outputs: list[Output]) -> list[Output]:
    for output in outputs:
        check(output)
    return outputs


def case(outputs: list[Output]) -> Json:
    """The one record of a case."""
    return only(outputs, Topic.ESCALATIONS)


def acts(outputs: list[Output]) -> list[str]:
    """What the platform is told."""
    return [action["action"] for action in read(outputs, Topic.ACTIONS)]


def seen(outputs: list[Output]) -> Json:
    """The author's history in the one decision."""
    history: Json = only(outputs, Topic.DECISIONS)["history"]
    return history


def bodies(record: Json) -> list[str]:
    """Where a case goes."""
    return [route["body"] for route in record["routes"]]


def fault(outputs: list[Output]) -> str:
    """Why the one dead letter died."""
    return str(only(outputs, Topic.DEAD_LETTERS)["error"]["type"])
