"""The records of a backtest on their way from the order of a topic to that of each author, on disk.

Decisions are keyed by post and lie in any partition; the replay needs an author's together, in the order of `posts`.
SQLite sorts them in a temporary file of its own, which has no name and is gone with the process however that ends. It
holds what the topics hold (no text, but scores and author ids) and takes about as much room as the decisions read.
"""

import sqlite3
from collections.abc import Iterator
from itertools import groupby
from typing import Final

import msgspec

from workers.codec import decode
from workers.events import Decision, Review, Source
from workers.judge import Scored
from workers.replay import Recorded, Told

ANYWHERE: Final = -1  # a review from a file has no partition
_TABLES: Final = """
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    CREATE TABLE decision (topic TEXT, part INTEGER, author BLOB, pos INTEGER, at INTEGER, raw BLOB);
    CREATE TABLE review (author BLOB, topic TEXT, part INTEGER, pos INTEGER, at INTEGER, raw BLOB);
    CREATE TABLE dead (topic TEXT, part INTEGER, pos INTEGER, PRIMARY KEY (topic, part, pos)) WITHOUT ROWID;
    CREATE TABLE scored (topic TEXT, part INTEGER, pos INTEGER, raw BLOB, PRIMARY KEY (topic, part, pos)) WITHOUT ROWID;
"""


class _Scores(msgspec.Struct, frozen=True, array_like=True):
    """What another model said of one post."""

    scores: dict[str, float]
    imminent: bool


class Spool:
    """Put everything in, then read it author by author."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("")
        self._db.executescript(_TABLES)

    def put_decision(self, decision: Decision, at_ms: int, raw: bytes) -> None:
        """`raw` is the record as it was read; `at_ms` its decided_at."""
        source = decision.source
        row = (source.topic, source.partition, decision.author_id.encode(), source.offset, at_ms, raw)
        self._db.execute("INSERT INTO decision VALUES (?, ?, ?, ?, ?, ?)", row)

    def put_review(self, review: Review, source: Source, at_ms: int, raw: bytes) -> None:
        """`at_ms`: its Kafka timestamp."""
        row = (review.author_id.encode(), source.topic, source.partition, source.offset, at_ms, raw)
        self._db.execute("INSERT INTO review VALUES (?, ?, ?, ?, ?, ?)", row)

    def put_dead(self, topic: str, partition: int, offset: int) -> None:
        """The source of a dead letter: that review had no effect."""
        self._db.execute("INSERT OR IGNORE INTO dead VALUES (?, ?, ?)", (topic, partition, offset))

    def put_scores(self, source: Source, scored: Scored) -> None:
        """Another model's scores of the post at `source`."""
        raw = msgspec.msgpack.encode(_Scores(scored.scores, scored.imminent))
        row = (source.topic, source.partition, source.offset, raw)
        self._db.execute("INSERT OR REPLACE INTO scored VALUES (?, ?, ?, ?)", row)

    def find_by_source(self) -> None:
        """Make `sha256_at` quick."""
        self._db.execute("CREATE INDEX decision_source ON decision (topic, part, pos)")

    def sha256_at(self, source: Source) -> str | None:
        """Hash of the text that was decided at `source`; None: no decision, or one without a text or scores."""
        row = self._db.execute(
            "SELECT raw FROM decision WHERE topic = ? AND part = ? AND pos = ? LIMIT 1",
            (source.topic, source.partition, source.offset),
        ).fetchone()
        if row is None:
            return None
        decision = decode(Decision, row[0])
        return decision.context.text_sha256 if decision.scores else None

    def first_offsets(self, topic: str) -> dict[int, int]:
        """Partition of `topic` → the first offset that was decided there."""
        rows = self._db.execute("SELECT part, min(pos) FROM decision WHERE topic = ? GROUP BY part", (topic,))
        return dict(rows.fetchall())

    def span(self) -> tuple[int, int] | None:
        """decided_at of the first and of the last decision, in ms; None: there is no decision."""
        first, last = self._db.execute("SELECT min(at), max(at) FROM decision").fetchone()
        return None if first is None else (first, last)

    def authors(self) -> Iterator[tuple[str, list[Recorded], list[Told]]]:
        """(author_id, decisions, reviews), each in the order of its topic; a decision that was sent twice comes once.

        An author whose posts went to two partitions has two histories, as in the worker.
        """
        self._db.execute("CREATE INDEX IF NOT EXISTS review_author ON review (author)")
        rows = self._db.execute(
            "SELECT d.topic, d.part, d.author, d.raw, s.raw FROM decision d LEFT JOIN scored s"
            " ON s.topic = d.topic AND s.part = d.part AND s.pos = d.pos ORDER BY d.topic, d.part, d.author, d.pos"
        )
        for (_, part, author), found in groupby(rows, key=lambda row: row[:3]):
            recorded: dict[str, Recorded] = {}
            for _, _, _, raw, scores in found:
                decision = decode(Decision, raw)
                recorded.setdefault(decision.decision_id, Recorded(decision, _scored(scores)))
            yield author.decode(), list(recorded.values()), self._told(author, part)

    def _told(self, author: bytes, part: int) -> list[Told]:
        rows = self._db.execute(
            "SELECT topic, part, pos, at, raw FROM review r WHERE author = ? AND part IN (?, ?) AND NOT EXISTS"
            " (SELECT 1 FROM dead d WHERE d.topic = r.topic AND d.part = r.part AND d.pos = r.pos) ORDER BY pos",
            (author, part, ANYWHERE),
        )
        told: dict[str, Told] = {}
        for topic, partition, offset, at_ms, raw in rows:
            review = decode(Review, raw)
            told.setdefault(
                review.review_id, Told(review, Source(topic=topic, partition=partition, offset=offset), at_ms)
            )
        return list(told.values())

    def close(self) -> None:
        """Gone for good."""
        self._db.close()


def _scored(raw: bytes | None) -> Scored | None:
    if raw is None:
        return None
    found = msgspec.msgpack.decode(raw, type=_Scores)
    return Scored(found.scores, [], found.imminent)
