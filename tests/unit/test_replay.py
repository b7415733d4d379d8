"""The past under another policy: what a worker decided comes out the same, and what would differ shows."""

import json
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from tests.unit.memory import (
    AT_MS,
    DAY_MS,
    HOUR_MS,
    POLICY,
    Json,
    review,
    when,
)
from tests.unit.past import World, changed_actions, context, insults_from, lives, policy_file, run
from workers import agents, replay
from workers.codec import decode, decode_review
from workers.decide import Context
from workers.events import Decision, Source
from workers.settings import Settings
from workers.spool import Spool


@pytest.fixture
def settings(checkpoint: Path) -> Settings:
    return Settings(model=checkpoint)


# -- the same policy --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_the_same_policy_changes_nothing(tmp_path: Path, settings: Settings, seed: int) -> None:
    """Whatever a worker decided of posts, edits, deletions, stale revisions, reviews and clocks."""
    file = policy_file(tmp_path)
    world = World(context(file))
    lives(world, seed)
    decisions, reviews = world.save(tmp_path)
    code, found = run(settings, policy=file, decisions=decisions, reviews=reviews)
    assert code == 0
    assert found["compared"] == len(world.decisions)
    assert (found["changed"], changed_actions(found), found["authors"]["affected"]) == (0, {}, 0)
    assert found["same_version"] == {"compared": len(world.decisions), "changed": 0}
    assert found["samples"] == {"actions": [], "labels": []}
    assert found["removals_of_ignored_requests"] >= world.removed > 0
    assert not any(found["not_compared"].values())
    acts = {decision["action"] for decision in world.decisions}
    assert acts >= {"none", "warn", "request_removal", "limit_visibility", "restore"}, (
        f"these lives show too little: {acts}"
    )


def test_the_same_policy_changes_nothing_in_shadow(tmp_path: Path, settings: Settings) -> None:
    """A shadow worker sets no clocks; its decisions are replayed where its version is named."""
    file = policy_file(tmp_path)
    acting, shadow = World(context(file)), World(context(file, shadow=True))
    lives(shadow, 1)
    acting.write("other", scores={"insult": 0.8})
    acting.decisions += shadow.decisions
    decisions, _ = acting.save(tmp_path)
    reviews = shadow.save(tmp_path)[1]
    decisions = acting.save(tmp_path)[0]
    reviews.write_text("".join(json.dumps(one) + "\n" for one in shadow.reviews), "utf-8")
    version = shadow.context.policy.version
    _, found = run(settings, policy=file, decisions=decisions, reviews=reviews, shadow=version)
    assert (found["compared"], found["changed"]) == (len(shadow.decisions), 0)
    assert found["not_compared"]["acting"] >= 1
    _, found = run(settings, policy=file, decisions=decisions)
    assert (found["compared"], found["changed"]) == (1, 0)
    assert found["not_compared"]["shadow"] >= len(shadow.decisions)


def test_clocks_fire_as_the_worker_lets_them() -> None:
    assert replay.CLOCK_GRACE_MS == agents.CLOCK_GRACE_MS


# -- another policy ---------------------------------------------------------------------------------------------------


def test_strikes_are_those_of_the_new_policy(tmp_path: Path, settings: Settings) -> None:
    """Three insults; the new policy does not see the first. By the recorded history the others would stay as harsh."""
    world = World(context(policy_file(tmp_path)))
    acts = [world.write(f"p{i}", scores={"insult": score})["action"] for i, score in enumerate((0.6, 0.8, 0.8))]
    assert acts == ["warn", "request_removal", "limit_visibility"]
    _, found = run(settings, policy=policy_file(tmp_path, insults_from(0.7)), decisions=world.save(tmp_path)[0])
    assert changed_actions(found) == {
        ("warn", "none"): 1,
        ("request_removal", "warn"): 1,
        ("limit_visibility", "request_removal"): 1,
    }
    assert (found["changed"], found["actions_changed"], found["milder"], found["harsher"]) == (3, 3, 3, 0)
    assert found["labels"]["insult"] == {"recorded": 3, "new": 2, "added": 0, "dropped": 1}
    assert found["authors"]["most_affected"] == [{"author_id": "ann", "changed": 3, "harsher": 0, "milder": 3}]
    assert found["samples"]["actions"][0] == {
        "recorded": "warn",
        "new": "none",
        "posts": [{"post_id": "p0", "revision": 1}],
    }
    assert found["samples"]["labels"] == [
        {"label": "insult", "change": "dropped", "posts": [{"post_id": "p0", "revision": 1}]}
    ]
    assert found["same_version"] == {"compared": 0, "changed": 0}


def test_a_stricter_policy(tmp_path: Path, settings: Settings) -> None:
    """What was harmless becomes a strike that counts for what follows, here the second post of the same author."""
    world = World(context(policy_file(tmp_path)))
    world.write("p1", scores={"insult": 0.4})
    world.write("p2", scores={"insult": 0.9})
    world.write("p3", scores={"insult": 0.4}, author_id="bea")
    _, found = run(settings, policy=policy_file(tmp_path, insults_from(0.3)), decisions=world.save(tmp_path)[0])
    assert changed_actions(found) == {("none", "warn"): 2, ("warn", "request_removal"): 1}
    assert found["harsher"] == 3
    assert [author["author_id"] for author in found["authors"]["most_affected"]] == ["ann", "bea"]
    assert (found["authors"]["compared"], found["authors"]["affected"]) == (2, 2)


def test_a_request_that_runs_out_under_the_new_policy_settles_later_edits(tmp_path: Path, settings: Settings) -> None:
    """Recorded: warned, then an edit into defamation that is asked for. New: the first is asked for and then removed,
    so that the edit meets a removal."""
    world = World(context(policy_file(tmp_path)))
    world.write("p1", scores={"insult": 0.8})
    world.write("p1", 2, by_ms=48 * HOUR_MS, scores={"defamation": 0.8})
    assert [decision["action"] for decision in world.decisions] == ["warn", "request_removal"]

    def change(raw: Json) -> None:
        raw["labels"]["insult"]["ladder"] = "ask"

    _, found = run(settings, policy=policy_file(tmp_path, change), decisions=world.save(tmp_path)[0])
    assert changed_actions(found) == {("warn", "request_removal"): 1, ("request_removal", "none"): 1}
    assert found["removals_of_ignored_requests"] == 1


def test_a_request_runs_out_after_its_authors_last_word(tmp_path: Path, settings: Settings) -> None:
    """The log goes on with others, to the end of the period at most."""
    file = policy_file(tmp_path)
    world = World(context(file))
    world.write("p1", scores={"defamation": 0.9})
    for i in range(3):
        world.write(f"b{i}", by_ms=DAY_MS, author_id="bea")
    decisions = world.save(tmp_path)[0]
    _, found = run(settings, policy=file, decisions=decisions)
    assert (found["changed"], found["removals_of_ignored_requests"]) == (0, 1)
    _, found = run(settings, policy=file, decisions=decisions, last=date(2026, 11, 1))
    assert found["removals_of_ignored_requests"] == 0


def test_a_request_of_somebody_lately_in_distress_becomes_no_removal(tmp_path: Path, settings: Settings) -> None:
    """As the worker's clock, which asks a person instead."""
    file = policy_file(tmp_path)
    world = World(context(file))
    world.write("p1", scores={"defamation": 0.9})
    world.write("p2", scores={"distress": 0.9})
    world.write("p1", 2, by_ms=48 * HOUR_MS, scores={"threat": 0.9})
    assert (world.removed, world.decisions[-1]["action"]) == (0, "limit_visibility")
    decisions = world.save(tmp_path)[0]
    _, found = run(settings, policy=file, decisions=decisions)
    assert (found["changed"], found["removals_of_ignored_requests"]) == (0, 0)

    def change(raw: Json) -> None:
        raw["windows"]["distress_days"] = 1

    _, found = run(settings, policy=policy_file(tmp_path, change, "one-day.yml"), decisions=decisions)
    assert (found["changed"], found["removals_of_ignored_requests"]) == (0, 0), "it was said an hour later"


def test_the_case_that_a_clock_opened_is_known_to_what_follows() -> None:
    world = World(Context(POLICY, "m"))
    world.write("p0", scores={"insult": 0.9})
    world.write("p1", scores={"insult": 0.9})
    world.write("p2", scores={"distress": 0.6})
    recorded = [replay.Recorded(decode(Decision, json.dumps(one).encode())) for one in world.decisions]
    life = replay.Replay(Context(POLICY, "m"), 0)
    assert len(list(life.run(recorded, [], AT_MS + 9 * DAY_MS))) == 3
    (case,) = life._author.cases
    assert (case.group, case.waiting, life.removals) == ("rights", {"p1": "decide"}, [])


def test_what_staff_decided_stands(tmp_path: Path, settings: Settings) -> None:
    """Overturned: no strike under the new policy either, though its case has another id there or none."""
    world = World(context(policy_file(tmp_path)))
    world.write("p0", scores={"defamation": 0.9})
    world.write("p1", scores={"defamation": 0.9})
    (case,) = world.cases
    world.staff("overturn", "p1", case_id=case)
    world.write("p2", scores={"insult": 0.9})
    assert world.decisions[-1]["action"] == "request_removal", "the second strike"

    def change(raw: Json) -> None:
        raw["labels"]["defamation"]["escalate"] = "never"  # no case: the review names what never was
        raw["ladders"]["ask"]["rungs"] = [{"action": "warn"}, {"action": "limit_visibility", "human": True}]

    file = policy_file(tmp_path, change)
    decisions, reviews = world.save(tmp_path)
    _, found = run(settings, policy=file, decisions=decisions, reviews=reviews)
    assert found["actions"] == {
        "request_removal": {"warn": 1, "limit_visibility": 1, "request_removal": 1},
    }
    _, found = run(settings, policy=file, decisions=decisions)
    assert found["actions"]["request_removal"] == {"warn": 1, "limit_visibility": 2}, "a third strike without it"


def test_a_review_that_is_stamped_before_the_decision_it_names(tmp_path: Path, settings: Settings) -> None:
    """Two topics, two clocks: it cannot have come before, so it counts from then on."""
    file = policy_file(tmp_path)
    world = World(context(file))
    world.write("p1", scores={"insult": 0.9})
    world.staff("overturn", "p1")
    world.write("p2", scores={"insult": 0.9})
    assert [decision["action"] for decision in world.decisions] == ["warn", "warn"]
    world.reviews[0]["occurred_at"] = when(AT_MS)
    decisions, reviews = world.save(tmp_path)
    _, found = run(settings, policy=file, decisions=decisions, reviews=reviews)
    assert (found["changed"], found["not_compared"]["reviews_of_unknown_posts"]) == (0, 0)


def test_a_review_of_a_post_that_is_not_there_is_counted(tmp_path: Path, settings: Settings) -> None:
    file = policy_file(tmp_path)
    world = World(context(file))
    world.write("p1", scores={"insult": 0.9})
    world.staff("overturn", "p1")
    world.write("p2", scores={"insult": 0.9})
    del world.decisions[0]
    decisions, reviews = world.save(tmp_path)
    _, found = run(settings, policy=file, decisions=decisions, reviews=reviews)
    assert (found["compared"], found["not_compared"]["reviews_of_unknown_posts"]) == (1, 1)


def test_deletions_and_stale_revisions_come_to_nothing_under_any_policy(tmp_path: Path, settings: Settings) -> None:
    world = World(context(policy_file(tmp_path)))
    world.write("p1", scores={"insult": 0.4})
    world.write("p1", 4, scores={"insult": 0.4})
    world.write("p1", 3, scores={"insult": 0.9})  # stale
    world.write("p1", 5, text=None)
    world.write("p2", scores={"insult": 0.4})
    assert [decision["action"] for decision in world.decisions] == ["none"] * 5
    _, found = run(settings, policy=policy_file(tmp_path, insults_from(0.3)), decisions=world.save(tmp_path)[0])
    # The edit meets the warning that stands, and all revisions are one strike.
    assert found["actions"] == {"none": {"none": 3, "warn": 1, "request_removal": 1}}
    assert found["labels"]["insult"]["added"] == 3


def test_a_review_that_became_a_dead_letter_is_left_out() -> None:
    world = World(Context(POLICY, "model-1"))
    raw = json.dumps(world.write("p1", scores={"insult": 0.8})).encode()
    spool = Spool()
    spool.put_decision(decode(Decision, raw), 0, raw)
    for offset in range(2):
        said = review("overturn", "p1", review_id=f"r{offset}", offset=offset)
        source = Source(topic="staff-reviews", partition=0, offset=offset)
        spool.put_review(decode_review(said.key, said.value), source, 0, said.value or b"")
    spool.put_dead("staff-reviews", 0, 0)
    spool.put_dead("posts", 0, 1)
    ((_, _, told),) = spool.authors()
    assert [one.review.review_id for one in told] == ["r1"]


# -- a log that begins in the middle ----------------------------------------------------------------------------------


def test_what_stood_before_the_log_is_taken_over(tmp_path: Path, settings: Settings) -> None:
    """Two strikes and a benign post are gone from the log; what they led to afterwards comes out the same."""
    file = policy_file(tmp_path)
    world = World(context(file))
    for i in range(2):
        world.write(f"old{i}", scores={"insult": 0.8})
    world.write("old2")
    world.staff("confirm", "old0")
    world.write("edited")
    gone, world.decisions, world.reviews = world.decisions[:3], world.decisions[3:], []
    world.write("p1", scores={"insult": 0.8})
    world.write("old1", 2, scores={"insult": 0.1})
    for i in range(2, 6):  # the old strikes leave the window of 90 days on the way
        world.write(f"p{i}", by_ms=30 * DAY_MS, scores={"insult": 0.8})
    assert [decision["history"]["strikes"] for decision in world.decisions] == [2, 2, 1, 3, 4, 2, 3]
    _, found = run(settings, policy=file, decisions=world.save(tmp_path)[0])
    assert found["changed"] == 0
    assert found["not_compared"]["began_before"] == 1, "the edit of a post that nobody can know"
    assert found["compared"] == len(world.decisions) - 1
    world.decisions += gone
    _, found = run(settings, policy=file, decisions=world.save(tmp_path)[0])
    assert found["changed"] == 0
    assert found["compared"] == len(world.decisions)


def test_what_stood_before_is_as_old_as_the_log_is_long(tmp_path: Path, settings: Settings) -> None:
    """Ann is silent for the first 80 days of it; her old strike leaves the window soon after she speaks."""
    file = policy_file(tmp_path)
    world = World(context(file))
    world.write("old", scores={"insult": 0.8})
    world.decisions.clear()
    world.write("b1", author_id="bea")
    world.write("p1", by_ms=80 * DAY_MS, scores={"insult": 0.8})
    world.write("p2", by_ms=11 * DAY_MS, scores={"insult": 0.8})
    assert [decision["history"]["strikes"] for decision in world.decisions] == [0, 1, 1]
    _, found = run(settings, policy=file, decisions=world.save(tmp_path)[0])
    assert (found["compared"], found["changed"]) == (3, 0)


def test_an_edited_post_of_before_the_log_is_one_strike(tmp_path: Path, settings: Settings) -> None:
    """Its edit does not count it, the next post does."""
    file = policy_file(tmp_path)
    world = World(context(file))
    world.write("old", scores={"insult": 0.8})
    world.decisions.clear()
    world.write("old", 2, scores={"insult": 0.9})
    world.write("p1", scores={"insult": 0.8})
    assert [decision["history"]["strikes"] for decision in world.decisions] == [0, 1]
    _, found = run(settings, policy=file, decisions=world.save(tmp_path)[0])
    assert (found["compared"], found["changed"], found["not_compared"]["began_before"]) == (1, 0, 1)


@pytest.mark.parametrize("seed", range(3))
def test_a_window_after_the_log_began_nothing_of_before_is_left(tmp_path: Path, settings: Settings, seed: int) -> None:
    """What docs/operations.md advises: a period that begins a strike window after the log does."""
    file = policy_file(tmp_path)
    world = World(context(file))
    lives(world, seed, 400)
    world.decisions = world.decisions[60:]
    began = datetime.fromisoformat(world.decisions[0]["decided_at"]).date()
    decisions, reviews = world.save(tmp_path)
    first = began + timedelta(days=100)  # 90, and a few in which posts of before were still edited
    _, found = run(settings, policy=file, decisions=decisions, reviews=reviews, first=first)
    assert found["compared"] > 30
    assert found["changed"] == 0


def test_a_stale_revision_beside_one_that_the_log_lacks(tmp_path: Path, settings: Settings) -> None:
    file = policy_file(tmp_path)
    world = World(context(file))
    world.write("p1", 3, scores={"insult": 0.8})
    world.write("p1", 2, scores={"insult": 0.8})
    world.write("p1", 4, scores={"insult": 0.8})
    del world.decisions[0]
    world.write("p2", scores={"insult": 0.8})
    _, found = run(settings, policy=file, decisions=world.save(tmp_path)[0])
    assert (found["compared"], found["changed"], found["not_compared"]["began_before"]) == (1, 0, 2)
