"""What the authors' table keeps, one changelog for all of it.

    a author              strikes, cases, care, and how far the author's records are applied
    p author post         the post: its standing action, its clock, its latest evidence
    r author post rev     what a revision did and yielded (an Entry)
    v author review       what a review did and yielded
    c author action       what a clock that ran out did and yielded
    t, t number           the clocks (workers.clocks)
    d source              the dead letter that a record became
    f, f day, f day page  which entries were written on which day (workers.forget)

An Entry is the write-ahead record of one step: it goes first, and holds everything the step changes and owes. Whatever
a crash cuts off behind it is repeated from it, never computed again: the author's and the post's row know the last
offsets applied, so that repeating is harmless. Pure data, in MessagePack with field names, so fields can be added.
"""

from typing import Any, Final, Literal, TypeVar

import msgspec
from msgspec import Struct

from workers.errors import GuaranteeAtRisk
from workers.events import Action, Priority, Topic

T = TypeVar("T")

MAX_STRIKES: Final = 200  # an author with more is long past every ladder; the oldest go first
MAX_CASES: Final = 50
MAX_DECISION_IDS: Final = 50
MAX_WAITING: Final = 100  # posts of one case; beyond them only a person closes it


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


# What a post of a case waits for: to be looked at; a decision; a decision that a person asked for.
Waits = Literal["look", "decide", "asked"]


class Finding(_Row, frozen=True):
    """What one decision flagged in a post, and what staff have said of it since."""

    revision: int
    at_ms: int  # event time
    labels: list[str] = []  # violations; none beside distress alone
    clause: str = ""
    strike: bool = False  # counts against the author: not beside distress, unless a person confirmed it
    confirmed: bool = False
    cleared: list[str] = []  # labels that staff said were none

    @property
    def stands(self) -> list[str]:
        """The violations that staff have not taken back."""
        return [label for label in self.labels if label not in self.cleared]


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
    in_distress: bool = False
    human: bool = False  # a person has to decide, whatever the latest post alone would call for
    due_ms: int = 0  # when a person must have looked; 0: one has
    head: str = ""  # hex SHA-256 of the case's last record, which the next one names
    waiting: dict[str, Waits] | None = None  # the posts that nobody is through with; None: written before this was kept


class AuthorRow(_Row, frozen=True):
    """One author. `applied`: physical topic → offset of the author's last record whose effect is in this row."""

    posts: int = 0
    strikes: list[Strike] = []
    cases: list[Case] = []
    care_ms: int | None = None
    suspended: bool = False
    since_ms: int = 0  # Kafka's timestamp of the author's first record; 0: from before this was kept
    distress_ms: int | None = None  # event time of the author's latest post in distress
    applied: dict[str, int] = {}


class PostRow(_Row, frozen=True):
    """One post."""

    latest_revision: int = 0
    decision_id: str = ""
    decision_ids: list[str] = []
    cases: dict[str, str] = {}  # decision → the case it opened or moved; other posts may have moved the case since
    version: int = 0  # rises with every step
    applied: dict[str, int] = {}  # as the author's: a replay never puts an older row over a newer one
    deleted: bool = False
    standing: Action = Action.NONE
    standing_id: str = ""
    standing_automated: bool = True
    clause: str = ""
    labels: list[str] = []
    clock: Clock | None = None
    dossier: bytes = b""
    in_distress: bool = False
    terminate_first: str = ""
    last_ms: int = 0
    more_cases: dict[str, list[str]] = {}  # decision → its cases beyond the first
    found: dict[str, Finding] = {}  # decision → what it flagged; only of decisions that flagged something
    standing_revision: int = 0  # the revision that `standing` was decided on
    beside: Action = Action.NONE  # what stands on the post itself while `standing` is a measure against its author
    beside_id: str = ""
    asked: list[str] = []  # the labels that a request for removal is about
    stopped: bool = False  # an appeal stopped the request's clock


class Effect(_Row, frozen=True):
    """What a step changes on the author's row."""

    posts: int = 0
    strikes: list[Strike] = []
    unstruck: list[str] = []
    cases: list[Case] = []
    care_ms: int | None = None
    suspended: bool | None = None
    since_ms: int = 0
    distress_ms: int | None = None


class Entry(_Row, frozen=True):
    """One step: the record it answers (source, hash of its content), what it changes, what it owes."""

    source: str
    content: str
    post: PostRow
    moved: list[str] = []  # the fields of the post's row that the step changes
    effect: Effect = Effect()
    outputs: list[Output] = []
    clocks_set: list[Clock] = []
    clocks_cleared: list[Clock] = []


class Dead(_Row, frozen=True):
    """The dead letter of one source record: a redelivery yields it again, whatever has become known since."""

    output: Output


class Bucket(_Row, frozen=True):
    """Clocks of one partition that run out in the same few minutes: (author, post, clock)."""

    clocks: list[tuple[str, str, Clock]] = []


class BucketIndex(_Row, frozen=True):
    """Numbers of the buckets (or days) in use, ascending."""

    numbers: list[int] = []


class Written(_Row, frozen=True):
    """How many pages a day has."""

    pages: int = 0


class Page(_Row, frozen=True):
    """(entry's key, its post's key or nothing) of one batch."""

    keys: list[tuple[str, str]] = []


def _key(kind: str, *parts: str) -> str:
    """Unambiguous whatever characters an id holds: each part is preceded by its length."""
    return kind + "".join(f"{len(part)}:{part}" for part in parts)


def author_key(author_id: str) -> str:
    return _key("a", author_id)


def post_key(author_id: str, post_id: str) -> str:
    return _key("p", author_id, post_id)


def revision_key(author_id: str, post_id: str, revision: int) -> str:
    return _key("r", author_id, post_id, str(revision))


def latest_revision_key(key: str, post: PostRow) -> str:
    """The entry of a post's latest revision, from the post's own key."""
    return _key("r" + key[1:], str(post.latest_revision))


def review_key(author_id: str, review_id: str) -> str:
    return _key("v", author_id, review_id)


def clock_key(author_id: str, action_id: str) -> str:
    return _key("c", author_id, action_id)


def dead_key(source: str) -> str:
    return _key("d", source)


def effect_between(before: AuthorRow, after: AuthorRow) -> Effect:
    """What leads from one author's row to the next."""
    struck = {strike.post_id for strike in after.strikes}
    return Effect(
        posts=after.posts - before.posts,
        strikes=[strike for strike in after.strikes if strike not in before.strikes],
        unstruck=[strike.post_id for strike in before.strikes if strike.post_id not in struck],
        cases=[case for case in after.cases if case not in before.cases],
        care_ms=after.care_ms if after.care_ms != before.care_ms else None,
        suspended=after.suspended if after.suspended != before.suspended else None,
        since_ms=after.since_ms if after.since_ms != before.since_ms else 0,
        distress_ms=after.distress_ms if after.distress_ms != before.distress_ms else None,
    )


def apply_effect(author: AuthorRow, effect: Effect, topic: str, offset: int) -> AuthorRow:
    """The author's row after a step, marked with the record that the step answered."""
    replaced = {strike.post_id for strike in effect.strikes} | set(effect.unstruck)
    strikes = [strike for strike in author.strikes if strike.post_id not in replaced] + effect.strikes
    moved = {case.case_id: case for case in effect.cases}
    cases = [moved.pop(case.case_id, case) for case in author.cases] + list(moved.values())
    care = [moment for moment in (author.care_ms, effect.care_ms) if moment is not None]
    distress = [moment for moment in (author.distress_ms, effect.distress_ms) if moment is not None]
    return AuthorRow(
        posts=author.posts + effect.posts,
        strikes=sorted(strikes, key=lambda strike: (strike.at_ms, strike.post_id))[-MAX_STRIKES:],
        cases=cases[-MAX_CASES:],
        care_ms=max(care, default=None),
        suspended=author.suspended if effect.suspended is None else effect.suspended,
        since_ms=author.since_ms or effect.since_ms,
        distress_ms=max(distress, default=None),
        applied={**author.applied, topic: offset},
    )


def with_moved(entry: Entry, before: PostRow | None, applied: dict[str, int]) -> Entry:
    """The entry of a step on the post's row `before`: what it changes there, and the record that it answers."""
    old = before or PostRow()
    skipped = ("version", "applied")
    names = [name for name in PostRow.__struct_fields__ if name not in skipped]
    moved = [name for name in names if getattr(old, name) != getattr(entry.post, name)]
    done: Entry = changed(entry, moved=moved, post=changed(entry.post, applied={**old.applied, **applied}))
    return done


def apply_post(stored: PostRow | None, entry: Entry) -> PostRow:
    """The post's row after a step that `stored` lacks.

    `stored` is the row that the step was decided on, or one that a step of the other topic changed meanwhile: it came
    between a crash that cut this one off behind its entry and the redelivery.
    """
    if stored is None:
        return entry.post
    fields = {name: getattr(entry.post, name) for name in entry.moved}
    for name in {"cases", "more_cases"} & fields.keys():
        fields[name] = dict([*(getattr(stored, name) | fields[name]).items()][-MAX_DECISION_IDS:])
    if "found" in fields and entry.post.version != stored.version + 1:
        fields["found"] = _both(stored.found, entry.post.found)
    applied = {topic: max(offset, stored.applied.get(topic, -1)) for topic, offset in entry.post.applied.items()}
    row: PostRow = changed(stored, **fields, version=stored.version + 1, applied={**stored.applied, **applied})
    return row


def _both(one: dict[str, Finding], other: dict[str, Finding]) -> dict[str, Finding]:
    """What two steps know of a post's decisions; what staff said in either stands."""
    found = one | other
    for decision in one.keys() & other.keys():
        a, b = one[decision], other[decision]
        found[decision] = changed(
            a,
            strike=a.strike or b.strike,
            confirmed=a.confirmed or b.confirmed,
            cleared=list(dict.fromkeys([*a.cleared, *b.cleared])),
        )
    return dict([*found.items()][-MAX_DECISION_IDS:])


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
