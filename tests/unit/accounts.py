"""The four topics that `mimamori report` reads, as a worker and a platform's staff would write them, and its report.

Records are those of workers.events, encoded; every text in them is HIDDEN. Times are milliseconds after AT_MS, which is
nine in the morning of 2026-11-01 in Japan.
"""

import json
from collections.abc import Sequence
from datetime import date
from typing import Any, Final

from models.labels import LABEL_IDS
from tests.unit.memory import AT_MS, DAY_MS, HOUR_MS, Json
from workers import codec, policy, transparency, transparency_data
from workers.cases import record_id
from workers.codec import encode, make_id
from workers.events import (
    Action,
    Decision,
    Dossier,
    DossierPost,
    Escalation,
    History,
    ModerationAction,
    Notice,
    PostContext,
    Priority,
    Review,
    Source,
    Topic,
    Verdict,
    from_kafka_ms,
)
from workers.reviews import STATUS_AFTER
from workers.transparency import Order
from workers.transparency_data import Vocabulary
from workers.transparency_records import Records
from workers.transparency_source import Taken

HIDDEN: Final = "秘密の文章ひみつのぶんしょう"
WRITE_MS: Final = 500  # until a worker has written what it decided
NOVEMBER: Final = Order(date(2026, 11, 1), date(2026, 11, 30))
PAST: Final = History(posts=0, strikes=0, strikes_by_label={}, confirmed=0, suspended=False)
DEFAULT: Final = policy.load(None, dict.fromkeys(LABEL_IDS, 0.5)).data
WORDS: Final = Vocabulary(transparency_data.load(), DEFAULT)
CLAUSE: Final = {label: rule.clause for label, rule in DEFAULT.labels.items()}


class Log:
    """Topics being written. Every method takes `at`, in ms after `base_ms`, and returns the id of what it wrote."""

    def __init__(self, base_ms: int = AT_MS) -> None:
        self.base_ms = base_ms
        self.values: list[tuple[Topic, bytes, bytes, int]] = []
        self._reviews = 0

    def put(self, topic: Topic, key: str, record: Any, at: int) -> None:
        """One record; `at` becomes its Kafka timestamp."""
        raw = record if isinstance(record, bytes) else encode(record)
        self.values.append((topic, key.encode(), raw, self.base_ms + at))

    def decide(
        self,
        post_id: str,
        *labels: str,
        at: int = 0,
        author: str = "ann",
        revision: int = 1,
        event: str = "created",
        action: Action = Action.NONE,
        posted: int | None = None,
        took: int = WRITE_MS,
        model: str = "model-1",
        shadow: bool = False,
        due: int | None = None,
    ) -> str:
        """A post that arrived at `at` was decided; an action is written beside it."""
        id = codec.decision_id(post_id, revision)
        record = Decision(
            decision_id=id,
            post_id=post_id,
            revision=revision,
            event=event,
            author_id=author,
            platform=None,
            occurred_at=from_kafka_ms(self.base_ms + (at if posted is None else posted)),
            source=Source(topic="posts", partition=0, offset=len(self.values)),
            context=PostContext(
                reply_to=None, reports=0, minor_suspected=False, lang=None, text_sha256=None, length=len(HIDDEN)
            ),
            history=PAST,
            scores=dict.fromkeys(labels, 0.8),
            flagged=list(labels),
            spans=[(0, 2, label) for label in labels],
            severity="serious" if labels else "none",
            action=action,
            clauses=[],
            reasons=[],
            policy_version="policy-1",
            model_version=model,
            automated=True,
            shadow=shadow,
            decided_at=from_kafka_ms(self.base_ms + at),
        )
        self.put(Topic.DECISIONS, post_id, record, at + took)
        if action is not Action.NONE:
            self.act(action, post_id, *labels, cause=id, author=author, at=at, model=model, due=due)
        return id

    def act(
        self,
        action: Action,
        post_id: str,
        *labels: str,
        cause: str,
        automated: bool = True,
        author: str = "ann",
        at: int = 0,
        model: str = "model-1",
        due: int | None = None,
        title: str = "お知らせ",
    ) -> str:
        """An action; `cause` is a decision, a review, or the action whose clock ran out."""
        id = make_id("action", cause, action.value)
        clause = CLAUSE.get(labels[0], "") if labels else ""
        record = ModerationAction(
            action_id=id,
            cause=cause,
            automated=automated,
            decision_id=codec.decision_id(post_id, 1),
            post_id=post_id,
            author_id=author,
            action=action,
            clause="" if action is Action.RESTORE else clause,
            reasons=[],
            notice=Notice(title=title, body=HIDDEN, resources=[]),
            due_at=None if due is None else from_kafka_ms(self.base_ms + due),
            reversible=True,
            appeal_until=None,
            supersedes=[],
            policy_version="policy-1",
            model_version=model,
        )
        self.put(Topic.ACTIONS, author, record, at + WRITE_MS)
        return id

    def case(
        self,
        post_id: str,
        *labels: str,
        at: int = 0,
        author: str = "ann",
        priority: Priority = Priority.P3,
        due: int = 3 * DAY_MS,
    ) -> str:
        """A decision opened a case."""
        case_id = make_id("case", author, post_id)
        self.step(
            case_id,
            record_id(codec.decision_id(post_id, 1), case_id),
            "open",
            post_id,
            *labels,
            at=at,
            author=author,
            priority=priority,
            due=due,
        )
        return case_id

    def step(
        self,
        case_id: str,
        id: str,
        status: Any,
        post_id: str,
        *labels: str,
        at: int,
        author: str = "ann",
        priority: Priority = Priority.P3,
        due: int = 3 * DAY_MS,
    ) -> None:
        """A record of a case."""
        post = DossierPost(post_id=post_id, revision=1, text=HIDDEN, occurred_at=from_kafka_ms(self.base_ms))
        record = Escalation(
            escalation_id=id,
            case_id=case_id,
            status=status,
            decision_id=codec.decision_id(post_id, 1),
            post_id=post_id,
            author_id=author,
            priority=priority,
            due_at=from_kafka_ms(self.base_ms + due),
            routes=[],
            categories=list(labels),
            dossier=Dossier(
                post=post,
                url=None,
                spans=[],
                scores={},
                author_history=PAST,
                sha256="",
                collected_at=from_kafka_ms(self.base_ms),
            ),
            human_required=True,
            reasons=[],
            policy_version="policy-1",
            model_version="model-1",
        )
        self.put(Topic.ESCALATIONS, case_id, record, at)

    def review(
        self,
        verdict: Verdict,
        post_id: str,
        *labels: str,
        case: str | None,
        at: int,
        author: str = "ann",
        by: str = "staff-1",
        requested_by: str = "staff",
        reason: str = HIDDEN,
        action: Action | None = None,
        occurred: int | None = None,
        id: str | None = None,
        status: str | None = None,
        beside: str | None = None,
    ) -> str:
        """A review, and the record that it added to `case`; None: it was a dead letter of the worker's.

        `status`: how the case stood after it, where other posts wait in it; `beside`: another case of that post.
        """
        self._reviews += 1
        review_id = id or f"r{self._reviews}"
        record = Review(
            review_id=review_id,
            post_id=post_id,
            author_id=author,
            verdict=verdict,
            reviewer_id=by,
            reason=reason,
            occurred_at=from_kafka_ms(self.base_ms + (at if occurred is None else occurred)),
            decision_id=codec.decision_id(post_id, 1),
            action=action,
            requested_by=requested_by,
        )
        self.put(Topic.STAFF_REVIEWS, author, record, at)
        for one in (case, beside):
            if one is not None:
                now = status or STATUS_AFTER[verdict]
                self.step(one, record_id(review_id, one), now, post_id, *labels, at=at + WRITE_MS, author=author)
        return review_id

    def ends(self, at: int) -> None:
        """The log goes on until then: a harmless post of somebody else."""
        self.decide(f"end-{at}", at=at, author="nobody", took=0)

    # -- reading -----------------------------------------------------------------------------------------------------

    def fill(self, taken: Taken, sources: Sequence[Topic]) -> None:
        """As workers.transparency_source.from_cluster does."""
        for offset, (topic, key, raw, written) in enumerate(self.values):
            if topic in sources:
                taken.record(topic, 0, offset if self.offsets else 0, key, raw, written, f"{topic}/0/{offset}")

    offsets = False  # True: the first record of a partition is not at 0, so that older ones have left the log

    def account(self, order: Order = NOVEMBER) -> bytes:
        """The command's answer."""
        records = Records()
        try:
            return transparency.answer(order, WORDS, Taken(WORDS, records), self.fill)
        finally:
            records.close()

    def report(self, order: Order = NOVEMBER) -> Json:
        """The report as JSON."""
        content = self.account(order)
        assert HIDDEN not in content.decode()
        found: Json = json.loads(content)
        return found

    def table(self, id: str, order: Order = NOVEMBER) -> list[Json]:
        """One table of it."""
        rows: list[Json] = self.report(order)["tables"][id]
        return rows

    def row(self, id: str, order: Order = NOVEMBER, **at: str) -> Json:
        """The row of a table at these dimensions."""
        (found,) = [row for row in self.table(id, order) if all(row[name] == value for name, value in at.items())]
        return found


__all__ = ["AT_MS", "DAY_MS", "HIDDEN", "HOUR_MS", "NOVEMBER", "WORDS", "WRITE_MS", "Log"]
