"""`mimamori report --trend`: posts by month, label and action, and what of it is hidden."""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.labels import DISTRESS, VIOLATION_IDS
from tests.unit.accounts import DAY_MS, HIDDEN, HOUR_MS, NOVEMBER, Log
from workers.errors import UsageError
from workers.events import Action, Topic
from workers.policy_data import MILD_TO_HARSH
from workers.transparency import Order, check
from workers.transparency_source import TREND_SOURCES
from workers.trends import months

TREND = replace(NOVEMBER, trend=True, k=3)


def many(log: Log, count: int, *labels: str, at: int = 0, action: Action = Action.NONE, start: int = 0) -> None:
    """A post by each of so many authors."""
    for number in range(start, start + count):
        name = f"{'-'.join(labels) or 'benign'}-{action.value}-{number}-{at}"
        log.decide(name, *labels, at=at, author=f"author-{number}", action=action)


def ended(log: Log) -> Log:
    """The log goes on into December, so that November is whole."""
    log.ends(31 * DAY_MS)
    return log


def cells(log: Log, order: Order = TREND) -> dict[tuple[str, str, str], tuple[int | None, int | None]]:
    """(month, label, action) → (posts, authors), where these are not zero; action `all` is the label's total."""
    tables = json.loads(log.account(order))["tables"]
    rows = [*tables["label_actions"], *({**row, "action": "all"} for row in tables["labels"])]
    return {
        (row["month"], row["label"], row["action"]): (row["posts"], row["authors"]) for row in rows if row["posts"] != 0
    }


def test_posts_by_month_label_and_harshest_action() -> None:
    log = Log()
    many(log, 5, "insult", action=Action.WARN)
    many(log, 4, "insult", "defamation", action=Action.REQUEST_REMOVAL)
    many(log, 3)
    ended(log)
    assert cells(log) == {
        ("2026-11", "insult", "warn"): (5, 5),
        ("2026-11", "insult", "request_removal"): (4, 4),
        ("2026-11", "insult", "all"): (9, 5),
        ("2026-11", "defamation", "request_removal"): (4, 4),
        ("2026-11", "defamation", "all"): (4, 4),
    }
    assert json.loads(log.account(TREND))["tables"]["months"] == [{"month": "2026-11", "posts": 12, "authors": 5}]


def test_a_post_counts_once_in_a_month_with_all_its_labels_and_its_harshest_action() -> None:
    log = Log()
    many(log, 3, "insult", action=Action.WARN)
    for number in range(3):
        post, author = f"insult-warn-{number}-0", f"author-{number}"
        log.decide(
            post,
            "insult",
            "threat",
            at=DAY_MS,
            author=author,
            revision=2,
            event="edited",
            action=Action.LIMIT_VISIBILITY,
        )
        log.decide(post, at=2 * DAY_MS, author=author, revision=3, event="edited", action=Action.RESTORE)
        log.decide(post, at=3 * DAY_MS, author=author, revision=4, event="deleted")
    assert cells(ended(log)) == {
        ("2026-11", label, action): (3, 3) for label in ("insult", "threat") for action in ("limit_visibility", "all")
    }


def test_what_a_clock_and_a_person_did_counts_too_and_only_in_its_month() -> None:
    log = Log()
    midnight = 30 * DAY_MS - 9 * HOUR_MS
    many(log, 6, "defamation")
    for number in range(6):
        cause, at = f"r{number}", midnight - 1 if number < 3 else midnight
        log.act(
            Action.REMOVE,
            f"defamation-none-{number}-0",
            cause=cause,
            automated=False,
            author=f"author-{number}",
            at=at - 500,
        )
    assert cells(ended(log)) == {
        ("2026-11", "defamation", "none"): (3, 3),
        ("2026-11", "defamation", "remove"): (3, 3),
        ("2026-11", "defamation", "all"): (6, 6),
    }


def test_every_month_stands_by_itself() -> None:
    log = Log()
    many(log, 3, "insult", at=29 * DAY_MS)  # the last day of November
    many(log, 4, "insult", at=30 * DAY_MS - 9 * HOUR_MS)  # the first moment of December in Japan
    log.ends(62 * DAY_MS)
    both = cells(log, replace(TREND, last=date(2026, 12, 31)))
    assert both == {
        ("2026-11", "insult", "none"): (3, 3),
        ("2026-11", "insult", "all"): (3, 3),
        ("2026-12", "insult", "none"): (4, 4),
        ("2026-12", "insult", "all"): (4, 4),
    }
    assert cells(log) == {at: cell for at, cell in both.items() if at[0] == "2026-11"}, "the same in another export"


def test_a_month_in_which_a_post_was_only_deleted_does_not_count_it() -> None:
    log = Log()
    many(log, 3, "insult")
    for number in range(3):
        log.decide(f"insult-none-{number}-0", at=31 * DAY_MS, author=f"author-{number}", revision=2, event="deleted")
    many(log, 4, at=31 * DAY_MS, start=10)
    log.ends(62 * DAY_MS)
    rows = json.loads(log.account(replace(TREND, last=date(2026, 12, 31))))["tables"]["months"]
    assert rows == [{"month": "2026-11", "posts": 3, "authors": 3}, {"month": "2026-12", "posts": 4, "authors": 4}]


def test_distress_has_a_count_and_no_action() -> None:
    log = Log()
    many(log, 4, "distress")
    many(log, 2, "threat", "distress", action=Action.LIMIT_VISIBILITY)
    rows = json.loads(ended(log).account(TREND))["tables"]
    assert {row["label"] for row in rows["label_actions"]} == {*VIOLATION_IDS}
    assert {"month": "2026-11", "label": DISTRESS, "posts": 6, "authors": 4} in rows["labels"]
    few = Log()
    many(few, 2, "distress")
    rows = json.loads(ended(few).account(TREND))["tables"]
    assert {"month": "2026-11", "label": DISTRESS, "posts": None, "authors": None} in rows["labels"]
    assert rows["months"] == [{"month": "2026-11", "posts": None, "authors": None}]


def test_k_is_ten_without_another() -> None:
    log = Log()
    many(log, 9, "insult")
    many(log, 10, "privacy")
    found = cells(ended(log), replace(TREND, k=None))
    assert found["2026-11", "insult", "all"] == found["2026-11", "insult", "none"] == (None, None)
    assert found["2026-11", "privacy", "all"] == (10, 10)


POSTS = st.lists(
    st.tuples(
        st.integers(0, 9),
        st.sets(st.sampled_from(["insult", "threat", DISTRESS]), min_size=1),
        st.sampled_from([Action.NONE, Action.WARN, Action.REMOVE]),
    ),
    max_size=25,
)


@given(POSTS)
@settings(max_examples=60, deadline=None)
def test_no_published_figure_nor_difference_is_of_fewer_than_k(posts: Iterable[tuple[int, set[str], Action]]) -> None:
    """Counted again here, plainly; the totals of labels less what is published beside them are of k authors or none."""
    log, written = Log(), [*posts]
    for number, (author, labels, action) in enumerate(written):
        log.decide(f"p{number}", *sorted(labels), author=f"author-{author}", action=action)
    tables = json.loads(ended(log).account(TREND))["tables"]

    def authors(label: str, actions: Iterable[str]) -> set[int]:
        return {author for author, labels, action in written if label in labels and action.value in {*actions}}

    for row in tables["labels"]:
        everybody = authors(row["label"], [action.value for action in MILD_TO_HARSH])
        assert row["authors"] in (None, len(everybody))
        assert row["authors"] is None or len(everybody) >= 3 or not everybody
        if row["label"] == DISTRESS:
            continue
        beside = [one for one in tables["label_actions"] if one["label"] == row["label"]]
        for one in beside:
            there = authors(row["label"], [one["action"]])
            assert one["authors"] in (None, len(there))
            assert one["authors"] is None or len(there) >= 3 or not there
        hidden = [one["action"] for one in beside if one["posts"] is None]
        left_over = authors(row["label"], hidden)
        assert row["posts"] is None or len(hidden) != 1
        assert row["posts"] is None or len(left_over) >= 3 or not left_over


# -- which months -----------------------------------------------------------------------------------------------------


def test_months_of_a_period() -> None:
    assert months(date(2026, 11, 1), date(2027, 2, 28)) == [
        (date(2026, 11, 1), date(2026, 11, 30)),
        (date(2026, 12, 1), date(2026, 12, 31)),
        (date(2027, 1, 1), date(2027, 1, 31)),
        (date(2027, 2, 1), date(2027, 2, 28)),
    ]


@pytest.mark.parametrize(
    ("first", "last"), [(date(2026, 11, 2), date(2026, 11, 30)), (date(2026, 11, 1), date(2026, 11, 29))]
)
def test_a_part_of_a_month_is_wrong_use(first: date, last: date) -> None:
    with pytest.raises(UsageError, match=r"--trend: whole months only"):
        check(Order(first, last, trend=True))


def test_a_month_that_the_log_does_not_hold_whole_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    log = Log()
    many(log, 3, "insult", at=-40 * DAY_MS)
    many(log, 3, "insult")
    many(log, 3, "insult", at=31 * DAY_MS)
    log.offsets = True
    order = replace(TREND, first=date(2026, 9, 1), last=date(2026, 12, 31))
    log.values.insert(0, (Topic.CARE, b"", b"", 0))  # takes offset 0, and is not read
    found = json.loads(log.account(order))
    assert found["months_left_out"] == ["2026-09", "2026-12"]
    assert {row["month"] for row in found["tables"]["months"]} == {"2026-10", "2026-11"}
    assert "note: not whole in the log, and left out: 2026-09, 2026-12" in capsys.readouterr().err


def test_no_whole_month_is_told() -> None:
    log = Log()
    many(log, 3, "insult")
    with pytest.raises(UsageError, match=r"no whole month from 2026-11-01 to 2026-11-30 is in the log; .* 2026-11-01"):
        log.account(TREND)
    with pytest.raises(UsageError, match=r"or of any other time"):
        Log().account(TREND)


def test_it_reads_two_topics_and_tells_no_id() -> None:
    assert TREND_SOURCES == (Topic.DECISIONS, Topic.ACTIONS)
    log = Log()
    many(log, 3, "insult", action=Action.WARN)
    for form in ("json", "csv", "html"):
        content = ended(log).account(replace(TREND, form=form)).decode()
        assert not [word for word in ("author-", "insult-warn", "model-1", HIDDEN) if word in content]


def test_csv_marks_what_is_hidden() -> None:
    log = Log()
    many(log, 2, "insult")
    lines = ended(log).account(replace(TREND, form="csv")).decode().splitlines()
    assert lines[0] == "from,to,table,month,label,action,column,value"
    assert "2026-11-01,2026-11-30,label_actions,2026-11,insult,none,posts,x" in lines
    assert "2026-11-01,2026-11-30,label_actions,2026-11,insult,warn,posts,0" in lines
