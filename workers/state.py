"""What the authors' table keeps: three kinds of rows, and the clocks.

    a author                 strikes, cases, care, and a journal of what the last steps owe
    p author NUL post        the post: its standing action, its clock, and what each revision yielded
    v author NUL review_id   what a review yielded

The author's row is the write-ahead record: its journal holds the other rows and the outputs of a step until the
commit has passed the source offset, so that a replay repeats a step from what was stored instead of computing it
again. Pure data; encoding is MessagePack with field names, so fields can be added.
"""

from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from workers.errors import GuaranteeAtRisk
from workers.events import Action, Priority, Topic

T = TypeVar("T")

MAX_STRIKES: Final = 200  # an author with more is long past every ladder; the oldest go first
MAX_CASES: Final = 50
MAX_REVISIONS: Final = 50
MAX_CLOCK_ENTRIES: Final = 20


class _Row(Struct, frozen=True, kw_only=True, omit_defaults=True):
    pass


class Output(_Row, frozen=True):
    """One record owed to a topic."""

    topic: Topic
    key: bytes
    value: bytes


class Clock(_Row, frozen=True):
    """A request for deletion that runs out at `due_ms` (ms since the epoch)."""

    action_id: str
    due_ms: int


class Strike(_Row, frozen=True):
    """One post's violation; a post is one strike however often it is edited."""

    post_id: str
    labels: list[str]
    at_ms: int
    decision_id: str
    confirmed: bool = False


class Case(_Row, frozen=True):
    """The state of one case in the consultation queue."""

    case_id: str
    group: str
    status: str
    priority: Priority
    last_ms: int
    post_id: str
    decision_id: str
    categories: list[str]


class Entry(_Row, frozen=True):
    """What one step wrote and owes. `source` is topic/partition/offset, or clock/action_id."""

    source: str
    rows: dict[str, bytes] = {}
    outputs: list[Output] = []
    clocks_set: list[tuple[str, Clock]] = []
    clocks_cleared: list[Clock] = []


class AuthorRow(_Row, frozen=True):
    """One author."""

    posts: int = 0
    strikes: list[Strike] = []
    cases: list[Case] = []
    care_ms: int | None = None
    suspended: bool = False
    journal: list[Entry] = []


class Remembered(_Row, frozen=True):
    """A revision or review, and what it yielded."""

    id: int | str
    content: str
    outputs: list[Output]


class PostRow(_Row, frozen=True):
    """One post."""

    latest_revision: int
    decision_id: str
    version: int = 0  # rises with every write, so that a replay never puts an older row over a newer one
    deleted: bool = False
    standing: Action = Action.NONE
    standing_id: str = ""
    standing_automated: bool = True
    clause: str = ""
    labels: list[str] = []
    clock: Clock | None = None
    dossier: bytes = b""
    terminate_first: str = ""
    last_ms: int = 0
    revisions: list[Remembered] = []


class Bucket(_Row, frozen=True):
    """Clocks of one partition that run out in the same few minutes: (author, post, clock)."""

    clocks: list[tuple[str, str, Clock]] = []


class BucketIndex(_Row, frozen=True):
    """Numbers of the buckets in use, ascending."""

    numbers: list[int] = []


def author_key(author_id: str) -> str:
    return f"a{author_id}"


def post_key(author_id: str, post_id: str) -> str:
    return f"p{author_id}\0{post_id}"


def review_key(author_id: str, review_id: str) -> str:
    return f"v{author_id}\0{review_id}"


def dump(row: Struct) -> bytes:
    """A row as stored."""
    return msgspec.msgpack.encode(row)


def parse(kind: type[T], raw: bytes | None) -> T | None:
    """A stored row; one that cannot be read ends the worker rather than being taken for an absent one."""
    if raw is None:
        return None
    try:
        return msgspec.msgpack.decode(raw, type=kind)
    except msgspec.MsgspecError as error:
        raise GuaranteeAtRisk(f"a stored {kind.__name__} cannot be read: {error}") from None


def changed(row: Any, **fields: Any) -> Any:
    """A frozen row with some fields replaced."""
    return msgspec.structs.replace(row, **fields)
