"""Figures of a yearly report: measures, notices, appeals, overturns, re-offence, latency, cases; repeats and days."""

import random

import pytest

from tests.unit.accounts import DAY_MS, HOUR_MS, NOVEMBER, WRITE_MS, Log
from tests.unit.memory import Json
from workers.codec import decision_id
from workers.events import Action, Priority, Verdict
from workers.transparency_figures import percentiles

MINUTE_MS: int = 60_000


def counts(log: Log, table: str, column: str = "measures") -> dict[tuple[str, ...], int]:
    """A table as dimensions → one of its columns."""
    rows = log.table(table)
    names = [name for name, value in rows[0].items() if isinstance(value, str)]
    return {tuple(row[name] for name in names): row[column] for row in rows}


# -- measures and notices ----------------------------------------------------------------------------------------------


def test_measures_by_action_clause_and_who_decided() -> None:
    log = Log()
    asked = decision_id("p1", 1)
    log.decide("p1", "defamation", action=Action.REQUEST_REMOVAL, due=DAY_MS)
    request = log.act(Action.REQUEST_REMOVAL, "p1", "defamation", cause=asked, due=DAY_MS)  # once more, the same id
    log.act(Action.REMOVE, "p1", "defamation", cause=request, at=DAY_MS)
    log.decide("p2", "privacy", author="bea")
    review = log.review(Verdict.CHANGE_ACTION, "p2", case=log.case("p2", author="bea"), at=DAY_MS, author="bea")
    log.act(Action.REMOVE, "p2", "privacy", cause=review, automated=False, at=DAY_MS, author="bea")
    log.act(Action.RESTORE, "p2", "privacy", cause="r9", automated=False, at=2 * DAY_MS, author="bea")
    assert counts(log, "measures") == {
        ("request_removal", "model-rights", "model"): 1,
        ("remove", "model-rights", "clock"): 1,
        ("remove", "model-privacy", "human"): 1,
        ("restore", "none", "human"): 1,
    }
    overview = counts(log, "overview", "value")
    assert (overview["measures",], overview["automated",]) == (3, 2), "a restore is no measure"


def test_an_action_happened_when_its_cause_did() -> None:
    """Its record may be written later, after an outage, in another month."""
    log = Log()
    midnight = 30 * DAY_MS - 9 * HOUR_MS
    asked = log.decide("p1", "insult", action=Action.REQUEST_REMOVAL, at=midnight - DAY_MS - 1, due=midnight - 1)
    log.decide("p2", "insult", author="bea")
    review = log.review(
        Verdict.CHANGE_ACTION,
        "p2",
        case=log.case("p2", author="bea"),
        at=midnight + 5,
        occurred=midnight - 1,
        author="bea",
        action=Action.REMOVE,
    )
    for cause, post, author in ((_action(asked), "p1", "ann"), (review, "p2", "bea")):
        log.act(
            Action.REMOVE, post, "insult", cause=cause, automated=author == "ann", at=midnight + DAY_MS, author=author
        )
    log.act(Action.REMOVE, "p3", cause="r-unknown", automated=False, at=midnight)
    assert counts(log, "measures") == {
        ("request_removal", "model-rights", "model"): 1,
        ("remove", "model-rights", "clock"): 1,
        ("remove", "model-rights", "human"): 1,
    }


def _action(cause: str) -> str:
    """The id that Log gives to the request for removal which follows from `cause`."""
    from workers.codec import make_id

    return make_id("action", cause, "request_removal")


def test_measures_by_label_count_a_post_of_two_under_each_and_never_under_distress() -> None:
    log = Log()
    log.decide("p1", "insult", "threat", "distress", action=Action.LIMIT_VISIBILITY)
    log.act(Action.WARN, "unknown", cause="r1", automated=False)
    assert counts(log, "measures_by_label") == {
        ("limit_visibility", "insult", "model"): 1,
        ("limit_visibility", "threat", "model"): 1,
        ("warn", "none", "human"): 1,
    }


def test_notices_by_measure_and_reason() -> None:
    log = Log()
    log.decide("p1", "insult", action=Action.WARN)
    log.act(Action.WARN, "p2", "insult", cause="r1", automated=False, title="")
    (row,) = log.table("notices")
    assert row == {"action": "warn", "clause": "model-rights", "sent": 1, "not_sent": 1}


# -- appeals, reviews, overturns ---------------------------------------------------------------------------------------


def test_appeals_and_their_outcome() -> None:
    log = Log()
    for number, answer in enumerate((Verdict.APPEAL_GRANTED, Verdict.APPEAL_DENIED, Verdict.CONFIRM)):
        author = f"a{number}"
        log.decide(f"p{number}", "insult", author=author, action=Action.WARN)
        case = log.case(f"p{number}", "insult", author=author)
        log.review(Verdict.APPEAL_DENIED, f"p{number}", case=case, at=1, author=author)  # of an earlier appeal
        log.review(Verdict.APPEAL_FILED, f"p{number}", case=case, at=DAY_MS, author=author, by="desk")
        log.review(answer, f"p{number}", case=case, at=2 * DAY_MS, author=author)
    log.review(Verdict.APPEAL_FILED, "p9", case=None, at=DAY_MS)
    assert log.table("appeals") == [{"filed": 3, "granted": 1, "denied": 1, "pending": 1}]


def test_reviewers_are_those_who_decide() -> None:
    log = Log()
    log.decide("p1")
    case = log.case("p1")
    for number, (verdict, by) in enumerate(
        (
            (Verdict.CONFIRM, "s1"),
            (Verdict.CONFIRM, "s2"),
            (Verdict.OVERTURN, "s1"),
            (Verdict.APPEAL_FILED, "desk"),
            (Verdict.REMOVAL_REQUESTED, "desk"),
        )
    ):
        log.review(verdict, "p1", case=case, at=number, by=by)
    log.review(Verdict.CONFIRM, "p1", case=None, at=9, by="s3")
    overview = counts(log, "overview", "value")
    assert (overview["reviews",], overview["reviewers",], overview["appeals",]) == (3, 2, 1)
    assert counts(log, "reviews", "reviewers") == {
        ("confirm",): 2,
        ("overturn",): 1,
        ("appeal_filed",): 1,
        ("removal_requested",): 1,
    }


@pytest.mark.parametrize(
    ("verdicts", "reviewed", "overturned", "changed"),
    [
        ([], 0, 0, 0),
        ([(Verdict.HOLD, None), (Verdict.CLOSE, None)], 0, 0, 0),
        ([(Verdict.CONFIRM, None)], 1, 0, 0),
        ([(Verdict.OVERTURN, None)], 1, 1, 0),
        ([(Verdict.APPEAL_GRANTED, None)], 1, 1, 0),
        ([(Verdict.APPEAL_DENIED, None)], 1, 0, 0),
        ([(Verdict.CHANGE_ACTION, Action.NONE)], 1, 1, 0),
        ([(Verdict.CHANGE_ACTION, Action.REMOVE)], 1, 0, 1),
        ([(Verdict.CONFIRM, None), (Verdict.APPEAL_GRANTED, None)], 1, 1, 0),
        ([(Verdict.OVERTURN, None), (Verdict.CONFIRM, None)], 1, 0, 0),
    ],
)
def test_what_a_person_said_last_overturns_or_not(
    verdicts: list[tuple[Verdict, Action | None]], reviewed: int, overturned: int, changed: int
) -> None:
    log = Log()
    log.decide("p1", "insult", action=Action.WARN)
    case = log.case("p1", "insult")
    for number, (verdict, action) in enumerate(verdicts, 1):
        log.review(verdict, "p1", case=case, at=number * HOUR_MS, action=action)
    row = log.row("overturns_by_clause", clause="model-rights")
    assert (row["measures"], row["reviewed"], row["overturned"], row["changed"]) == (1, reviewed, overturned, changed)
    assert row["overturned_of_reviewed"] == (overturned if reviewed else None)
    assert row["overturned_of_measures"] == overturned


def test_overturns_by_clause_and_by_model_are_of_automated_measures_of_the_period() -> None:
    log = Log()
    for number, (label, model) in enumerate((("insult", "m1"), ("insult", "m2"), ("privacy", "m2"), ("privacy", "m2"))):
        author = f"a{number}"
        log.decide(f"p{number}", label, author=author, model=model, action=Action.LIMIT_VISIBILITY)
        case = log.case(f"p{number}", label, author=author)
        if number != 2:
            log.review(
                Verdict.OVERTURN if number == 1 else Verdict.CONFIRM,
                f"p{number}",
                case=case,
                at=40 * DAY_MS,
                author=author,
            )
    log.act(Action.WARN, "human", "insult", cause="r0", automated=False)
    log.decide("later", "insult", at=35 * DAY_MS, action=Action.WARN)
    columns = ("measures", "reviewed", "overturned", "overturned_of_reviewed", "overturned_of_measures")
    rows = {row["clause"]: tuple(row[one] for one in columns) for row in log.table("overturns_by_clause")}
    assert rows == {"model-rights": (2, 2, 1, 0.5, 0.5), "model-privacy": (2, 1, 0, 0.0, 0.0)}
    rows = {row["model_version"]: tuple(row[one] for one in columns) for row in log.table("overturns_by_model")}
    assert rows == {"m1": (1, 1, 0, 0.0, 0.0), "m2": (3, 2, 1, 0.5, 0.3333)}


def test_a_review_before_the_measure_says_nothing_of_it() -> None:
    log = Log()
    log.decide("p1", "insult")
    log.review(Verdict.OVERTURN, "p1", case=log.case("p1", "insult"), at=HOUR_MS)
    log.decide("p1", "insult", revision=2, event="edited", at=2 * HOUR_MS, action=Action.WARN)
    assert log.row("overturns_by_clause", clause="model-rights")["reviewed"] == 0


# -- effect -----------------------------------------------------------------------------------------------------------


def reoffence(log: Log, action: str = "warn") -> tuple[int, int]:
    """(observed to the end, followed by another violation)"""
    row = log.row("reoffence", action=action)
    return row["observed"], row["reoffended"]


@pytest.mark.parametrize(("after", "reoffended"), [(1, 1), (90 * DAY_MS, 1), (90 * DAY_MS + 1, 0), (-1, 0), (0, 0)])
def test_another_violation_within_ninety_days_is_a_reoffence(after: int, reoffended: int) -> None:
    log = Log()
    log.decide("p1", "insult", at=DAY_MS, action=Action.WARN)
    log.decide("p2", "defamation", at=DAY_MS + after)
    log.ends(200 * DAY_MS)
    assert reoffence(log) == (1, reoffended)


def test_what_is_no_reoffence() -> None:
    log = Log()
    log.decide("p1", "insult", action=Action.WARN)
    log.decide("p1", "insult", at=DAY_MS, revision=2, event="edited")  # the same post
    log.decide("p2", at=DAY_MS)  # harmless
    log.decide("p3", "distress", at=DAY_MS)
    log.decide("p4", "insult", "distress", at=DAY_MS)  # a person in distress: no strike
    log.decide("p5", "insult", at=DAY_MS, author="bea")
    log.decide("p6", "insult", at=DAY_MS, action=Action.WARN)
    log.review(Verdict.OVERTURN, "p6", case=log.case("p6", "insult"), at=2 * DAY_MS)
    log.decide("p7", "insult", at=DAY_MS, posted=-DAY_MS)  # arrived late, was written before
    log.ends(200 * DAY_MS)
    assert reoffence(log) == (1, 0), "nor is the measure on p6 one, which was overturned"


def test_a_measure_whose_ninety_days_are_not_over_is_not_counted_yet() -> None:
    log = Log()
    log.decide("p1", "insult", action=Action.WARN)
    log.decide("p2", "insult", at=DAY_MS)
    log.ends(90 * DAY_MS - 1)
    row = log.row("reoffence", action="warn")
    assert (row["measures"], row["not_yet_observed"], row["observed"], row["reoffence_rate"]) == (1, 1, 0, None)
    log.ends(90 * DAY_MS)
    assert reoffence(log) == (1, 1)


def test_a_measure_on_a_person_in_distress_is_not_held_against_them() -> None:
    log = Log()
    log.decide("p1", "threat", "distress", action=Action.LIMIT_VISIBILITY)
    log.ends(200 * DAY_MS)
    assert log.table("reoffence") == []


def test_measures_of_one_author_are_counted_and_so_are_authors() -> None:
    log = Log()
    for number in range(3):
        log.decide(f"p{number}", "insult", at=number * DAY_MS, action=Action.WARN)
    log.ends(200 * DAY_MS)
    row = log.row("reoffence", action="warn")
    assert (row["measures"], row["authors"], row["reoffended"], row["reoffence_rate"]) == (3, 1, 2, 0.6667)


def test_percentiles_are_those_of_the_nearest_rank() -> None:
    assert percentiles([], 0) == (None, None)
    assert percentiles([7], 1) == (0.007, 0.007)
    assert percentiles([1000, 2000, 3000], 3) == (2.0, 3.0)
    assert percentiles([number * 1000 for number in range(1, 101)], 100) == (50.0, 95.0)


def test_time_to_the_decision_runs_until_it_was_written() -> None:
    log = Log()
    for number in range(1, 21):
        log.decide(f"p{number}", at=HOUR_MS, posted=HOUR_MS - MINUTE_MS, took=number * 1000)
    log.decide("early", at=HOUR_MS, posted=2 * HOUR_MS, took=5_000)  # dated after its arrival: it counts from that
    log.decide("skewed", at=HOUR_MS, posted=HOUR_MS, took=-300)  # by the broker's clock written before it came
    posted, received = log.table("latency")
    assert posted == {"stage": "posted_to_decision", "count": 22, "p50_seconds": 69.0, "p95_seconds": 79.0}
    assert received == {"stage": "received_to_decision", "count": 22, "p50_seconds": 9.0, "p95_seconds": 19.0}
    fast = Log()
    fast.decide("early", posted=HOUR_MS, took=5_000)
    assert fast.row("latency", stage="posted_to_decision")["p50_seconds"] == 5.0
    skewed = Log()
    skewed.decide("p", took=-300)
    assert skewed.row("latency", stage="received_to_decision")["p50_seconds"] == 0.0


def test_time_until_a_person_acts_on_a_case() -> None:
    log = Log()
    for number, (minutes, priority) in enumerate(((10, "P0"), (20, "P0"), (None, "P1"), (50, "P1"))):
        author = f"a{number}"
        log.decide(f"p{number}", "threat", author=author)
        case = log.case(f"p{number}", "threat", author=author, priority=Priority(priority), due=15 * MINUTE_MS)
        log.review(
            Verdict.REMOVAL_REQUESTED, f"p{number}", case=case, at=MINUTE_MS, author=author
        )  # nobody has acted yet
        log.review(Verdict.APPEAL_FILED, f"p{number}", case=case, at=MINUTE_MS, author=author)
        if minutes:
            log.review(Verdict.HOLD, f"p{number}", case=case, at=minutes * MINUTE_MS, author=author)
            log.review(Verdict.CLOSE, f"p{number}", case=case, at=90 * MINUTE_MS, author=author)
    everything = {"opened": 4, "acted": 3, "in_due": 1, "waiting": 1, "p50_seconds": 1200.0, "p95_seconds": 3000.0}
    assert log.row("cases", priority="all") == {"priority": "all", **everything}
    assert log.row("cases", priority="P0")["in_due"] == 1
    assert log.row("cases", priority="P1")["waiting"] == 1
    assert log.row("cases", priority="P2")["p50_seconds"] is None


def test_cases_by_label_and_what_became_of_them() -> None:
    log = Log()
    log.decide("p1", "insult")
    first = log.case("p1", "insult")
    log.step(first, "more", "updated", "p1", "insult", "privacy", at=HOUR_MS)
    log.review(Verdict.HAND_OFF, "p1", "insult", "privacy", case=first, at=DAY_MS)
    log.review(Verdict.ANSWERED, "p1", "insult", "privacy", case=first, at=2 * DAY_MS)
    log.decide("p2", "distress", author="bea")
    log.review(Verdict.CLOSE, "p2", "distress", case=log.case("p2", "distress", author="bea"), at=DAY_MS, author="bea")
    rows = {row["label"]: tuple(row.values())[1:] for row in log.table("cases_by_label")}
    assert rows["insult"] == rows["privacy"] == (1, 1, 1, 0)
    assert rows["distress"] == (1, 0, 0, 1)
    assert rows["threat"] == (0, 0, 0, 0)


# -- the whole ---------------------------------------------------------------------------------------------------------


def busy(log: Log, seed: int, steps: int = 60) -> None:
    """Something of everything."""
    chance = random.Random(seed)
    for step in range(steps):
        author, at = f"a{chance.randrange(8)}", chance.randrange(40) * DAY_MS
        labels = chance.choice([(), ("insult",), ("defamation", "insult"), ("distress",), ("threat", "distress")])
        action = (
            chance.choice([Action.WARN, Action.LIMIT_VISIBILITY, Action.REQUEST_REMOVAL]) if labels else Action.NONE
        )
        log.decide(f"p{step}", *labels, at=at, author=author, action=action, model=f"m{step % 3}")
        if labels and chance.random() < 0.7:
            case = log.case(f"p{step}", *labels, at=at, author=author)
            for _ in range(chance.randrange(4)):
                at += chance.randrange(9) * DAY_MS
                verdict = chance.choice([*Verdict])
                instead = chance.choice([Action.NONE, Action.REMOVE]) if verdict is Verdict.CHANGE_ACTION else None
                log.review(verdict, f"p{step}", *labels, case=case, at=at, author=author, action=instead)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_delivered_twice_counts_once(seed: int) -> None:
    """In any order of partitions, with later timestamps, from every topic."""
    log, again = Log(), Log()
    busy(log, seed)
    twice = [
        (topic, key, raw, written + WRITE_MS * place) for place in (0, 1) for topic, key, raw, written in log.values
    ]
    random.Random(seed).shuffle(twice)
    again.values = twice
    once, found = log.report(), again.report()
    assert sum(found["left_out"]["repeated"].values()) == len(log.values)
    assert _without(once, "latency") == _without(found, "latency")
    assert once["tables"]["latency"] == found["tables"]["latency"]


def _without(report: Json, table: str) -> Json:
    return {name: rows for name, rows in report["tables"].items() if name != table}


def test_shadow_decisions_count_nowhere() -> None:
    log = Log()
    log.decide("p1", "insult")
    log.decide("p2", "insult", shadow=True)
    found = log.report()
    assert found["left_out"]["shadow_decisions"] == 1
    assert log.row("overview", figure="decisions")["value"] == 1
    assert log.row("latency", stage="posted_to_decision")["count"] == 1


def test_the_period_is_of_days_in_japan() -> None:
    log = Log()
    first, last = -9 * HOUR_MS, 30 * DAY_MS - 9 * HOUR_MS
    for number, at in enumerate((first - 1, first, last - 1, last)):
        log.decide(f"p{number}", "insult", at=at, action=Action.WARN)
    overview = counts(log, "overview", "value")
    assert (overview["decisions",], overview["posts",], overview["flagged",], overview["measures",]) == (2, 2, 2, 2)
    assert log.report(NOVEMBER)["period"] == {"from": "2026-11-01", "to": "2026-11-30", "timezone": "Asia/Tokyo"}
