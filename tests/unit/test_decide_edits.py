"""Edits, deletions, late revisions and shadow: what already stands on a post, and what a new revision makes of it."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.labels import LABEL_IDS
from tests.unit.builders import AT_MS, CONTEXT, DAY_MS, HOUR_MS, Life, when
from tests.unit.memory import POLICY, identity
from workers import clocks, codec
from workers.decide import Context
from workers.events import Action
from workers.policy import Policy
from workers.state import changed


@pytest.fixture
def ann() -> Life:
    return Life()


@pytest.mark.parametrize("label", ["insult", "defamation", "threat"])
def test_an_edit_that_is_flagged_as_before_is_no_second_punishment(ann: Life, label: str) -> None:
    first = ann.write("p1", label)
    edit = ann.write("p1", label, at_ms=AT_MS + HOUR_MS)
    assert (edit.act, edit.actions) == ("none", [])
    assert f"この投稿には既に{first.act}が出ている" in edit.decision["reasons"]
    assert (len(ann.author.strikes), ann.author.posts) == (1, 1)
    assert edit.entry.clocks_cleared == []  # the request still runs
    assert ann.rows["p1"].clock == first.entry.post.clock


def test_an_edit_is_not_punished_for_what_the_author_wrote_after_it(ann: Life) -> None:
    ann.write("p1", "insult")
    ann.write("p2", "insult", at_ms=AT_MS + HOUR_MS)
    ann.write("p3", "insult", at_ms=AT_MS + 2 * HOUR_MS)
    assert ann.write("p1", "insult", at_ms=AT_MS + 3 * HOUR_MS).act == "none"
    assert ann.write("p2", "insult", at_ms=AT_MS + 4 * HOUR_MS).act == "none"


def test_an_edit_for_the_worse_replaces_the_action(ann: Life) -> None:
    warned = ann.write("p1", "insult")
    asked = ann.write("p1", "insult", "defamation", at_ms=AT_MS + HOUR_MS)
    assert (asked.act, asked.action["supersedes"]) == ("request_removal", [warned.action["action_id"]])
    held = ann.write("p1", "threat", at_ms=AT_MS + 2 * HOUR_MS)
    assert (held.act, held.action["supersedes"]) == ("limit_visibility", [asked.action["action_id"]])
    assert held.entry.clocks_cleared == asked.entry.clocks_set
    assert ann.rows["p1"].clock is None
    (strike,) = ann.author.strikes
    assert (strike.labels, strike.at_ms) == (["insult", "defamation", "threat"], AT_MS)


def test_an_edit_for_the_better_keeps_the_hold(ann: Life) -> None:
    ann.write("p1", "threat")
    assert ann.write("p1", "insult").act == "none"
    assert ann.rows["p1"].standing is Action.LIMIT_VISIBILITY


def test_a_clean_edit_lifts_an_automated_hold(ann: Life) -> None:
    held = ann.write("p1", "threat")
    clean = ann.write("p1")
    assert (clean.act, clean.action["supersedes"]) == ("restore", [held.action["action_id"]])
    assert (clean.action["clause"], clean.action["appeal_until"], clean.action["reversible"]) == ("", None, True)
    assert "編集により違反が解消" in clean.decision["reasons"]
    assert ann.write("p1").act == "none"
    assert len(ann.author.strikes) == 1
    assert ann.write("p1", "threat").action["supersedes"] == []


def test_a_clean_edit_leaves_what_a_person_did(ann: Life) -> None:
    ann.write("p1", "threat")
    ann.rows["p1"] = changed(ann.rows["p1"], standing_automated=False)
    assert ann.write("p1").act == "none"
    assert ann.rows["p1"].standing is Action.LIMIT_VISIBILITY


def test_a_clean_edit_settles_a_request(ann: Life) -> None:
    asked = ann.write("p1", "defamation")
    clean = ann.write("p1", at_ms=AT_MS + HOUR_MS)
    assert (clean.act, clean.entry.clocks_cleared) == ("none", asked.entry.clocks_set)
    assert "投稿者の対応により削除要請は完了" in clean.decision["reasons"]
    assert clocks.fire(CONTEXT, ann.author, ann.rows["p1"], "ann", "p1", asked.entry.clocks_set[0]) is None
    again = ann.write("p1", "defamation", at_ms=AT_MS + 2 * HOUR_MS)
    assert (again.act, again.action["due_at"]) == ("request_removal", when(AT_MS + 26 * HOUR_MS))
    assert len(ann.author.strikes) == 1


def test_a_request_without_a_clock_is_settled_by_a_clean_edit_too(ann: Life) -> None:
    """Its clock ran out under a policy whose clocks may not remove."""
    asked = ann.write("p1", "defamation")
    ann.rows["p1"] = changed(ann.rows["p1"], clock=None)
    clean = ann.write("p1")
    assert "投稿者の対応により削除要請は完了" in clean.decision["reasons"]
    again = ann.write("p1", "defamation")
    assert (again.act, again.action["supersedes"]) == ("request_removal", [])
    assert again.action["action_id"] != asked.action["action_id"]
    ann.rows["p1"] = changed(ann.rows["p1"], clock=None)
    assert "投稿者の対応により削除要請は完了" in ann.delete("p1").decision["reasons"]


def test_a_removed_post_that_is_deleted_and_posted_anew_is_judged_anew(ann: Life) -> None:
    ann.write("p1", "defamation")
    ann.rows["p1"] = changed(ann.rows["p1"], clock=None, standing=Action.REMOVE, standing_id="removal")
    assert ann.write("p1", "defamation").act == "none"  # nothing more to do
    ann.delete("p1")
    assert ann.rows["p1"].standing is Action.REMOVE  # an appeal may still restore it
    anew = ann.write("p1", "defamation")
    assert (anew.act, anew.action["supersedes"]) == ("request_removal", [])
    assert len(ann.author.strikes) == 1


def test_a_removed_post_that_is_deleted_and_posted_clean_is_not_restored(ann: Life) -> None:
    ann.write("p1", "defamation")
    ann.rows["p1"] = changed(ann.rows["p1"], clock=None, standing=Action.REMOVE, standing_id="removal")
    ann.delete("p1")
    assert ann.write("p1").act == "none"
    assert ann.rows["p1"].standing is Action.NONE


def test_a_warning_stands_through_a_clean_edit(ann: Life) -> None:
    ann.write("p1", "insult")
    assert ann.write("p1").act == "none"
    assert ann.write("p1", "insult").act == "none"


def test_a_deletion_settles_everything(ann: Life) -> None:
    asked = ann.write("p1", "defamation", text="あの店は")
    gone = ann.delete("p1", at_ms=AT_MS + HOUR_MS)
    assert (gone.act, gone.entry.clocks_cleared) == ("none", asked.entry.clocks_set)
    assert gone.decision["reasons"] == ["投稿者による削除", "投稿者の対応により削除要請は完了"]
    assert (gone.decision["event"], gone.decision["scores"], gone.decision["flagged"]) == ("deleted", {}, [])
    assert gone.decision["context"]["text_sha256"] is None
    assert gone.case["case_id"] == asked.case["case_id"]
    assert (gone.case["status"], gone.case["dossier"]) == ("updated", asked.case["dossier"])
    row = ann.rows["p1"]
    assert (row.deleted, row.standing, row.clock) == (True, Action.NONE, None)
    assert len(ann.author.strikes) == 1  # deleting does not undo the strike
    assert ann.author.posts == 1


def test_a_deletion_of_an_unknown_post_is_decided(ann: Life) -> None:
    assert ann.delete("p9").decision["reasons"] == ["投稿者による削除"]


@pytest.mark.parametrize("labels", [(), ("threat",), ("distress",)])
def test_a_revision_older_than_the_latest_is_stale(ann: Life, labels: tuple[str, ...]) -> None:
    ann.write("p1", "defamation", revision=3)
    before = ann.rows["p1"]
    stale = ann.write("p1", *labels, revision=2, at_ms=AT_MS + HOUR_MS)
    assert (stale.act, stale.decision["reasons"], len(stale.entry.outputs)) == ("none", ["stale"], 1)
    assert stale.decision["revision"] == 2
    after = ann.rows["p1"]
    assert after == changed(before, version=after.version, decision_ids=after.decision_ids)
    assert stale.entry.effect == type(stale.entry.effect)()
    assert ann.delete("p1", revision=1).decision["reasons"] == ["stale"]
    assert ann.rows["p1"].clock is not None


def test_an_edit_into_distress_drops_the_clock(ann: Life) -> None:
    asked = ann.write("p1", "defamation")
    seen = ann.write("p1", "distress", "defamation", at_ms=AT_MS + HOUR_MS)
    assert (seen.act, seen.entry.clocks_cleared) == ("none", asked.entry.clocks_set)
    assert "投稿者の対応により削除要請は完了" not in seen.decision["reasons"]  # it was dropped, not answered
    assert seen.case["human_required"]
    assert clocks.fire(CONTEXT, ann.author, ann.rows["p1"], "ann", "p1", asked.entry.clocks_set[0]) is None
    assert ann.rows["p1"].standing is Action.NONE
    assert len(ann.author.strikes) == 1  # of the first text


def test_an_edit_into_distress_beside_a_threat_replaces_the_request(ann: Life) -> None:
    asked = ann.write("p1", "defamation")
    held = ann.write("p1", "distress", "threat")
    assert (held.act, held.action["supersedes"]) == ("limit_visibility", [asked.action["action_id"]])
    assert held.entry.clocks_cleared == asked.entry.clocks_set


def test_an_edit_into_distress_keeps_the_hold_and_calls_a_person(ann: Life) -> None:
    ann.write("p1", "threat")
    seen = ann.write("p1", "distress", at_ms=AT_MS + HOUR_MS)
    assert seen.act == "none"
    assert ann.rows["p1"].standing is Action.LIMIT_VISIBILITY
    assert (seen.case["categories"], seen.routes, seen.case["human_required"]) == (["distress"], ["staff"], True)


def test_a_case_that_distress_has_touched_never_goes_outside_again(ann: Life) -> None:
    assert "ihaho" in ann.write("p1", "defamation").routes
    assert ann.write("p2", "distress", "defamation").routes == ["staff"]
    assert ann.write("p3", "defamation").routes == ["staff"]
    assert {route["body"] for route in ann.delete("p3").case["routes"]} == {"staff"}


def test_shadow_writes_decisions_only_and_judges_as_it_would() -> None:
    ann = Life(Context(POLICY, "model-1", shadow=True))
    seen = [ann.write("p1", "defamation"), ann.write("p1"), ann.write("p1", "defamation"), ann.write("p2", "distress")]
    assert [len(one.entry.outputs) for one in seen] == [1, 1, 1, 1]
    assert [one.decision["action"] for one in seen] == ["request_removal", "none", "request_removal", "none"]
    assert all(one.decision["shadow"] and not one.entry.clocks_set for one in seen)
    assert seen[0].decision["decision_id"] == codec.make_id("shadow", POLICY.version, "p1", 1)


LABELS = st.dictionaries(st.sampled_from(LABEL_IDS), st.floats(0.5, 1.0), max_size=3)
STEP = st.tuples(st.sampled_from(["p1", "p2", "p3"]), st.none() | LABELS, st.integers(0, 50), st.booleans())


def _raised(policy: Policy) -> Policy:
    """A policy whose model may do anything alone."""
    authority = changed(policy.data.authority, model=list(Action))
    return Policy(changed(policy.data, authority=authority), policy.version, policy.thresholds)


@settings(max_examples=150, deadline=None)
@given(st.lists(STEP, max_size=10), st.booleans())
def test_whatever_an_author_does(steps: list[tuple[str, dict[str, float] | None, int, bool]], raised: bool) -> None:
    """One decision each; distress brings care and at most a hold; one strike a post; a clock for each open request."""
    ann = Life(Context(_raised(POLICY), "model-1") if raised else CONTEXT)
    at_ms = AT_MS
    running: dict[str, str] = {}
    strikes: set[str] = set()
    messages: list[int] = []
    ids: set[tuple[str, str]] = set()
    posts = 0
    for post_id, found, days, imminent in steps:
        at_ms += days * DAY_MS + 1
        if post_id not in ann.rows:  # deleted unseen, it may have been counted and forgotten once an author is known
            posts += found is not None or not posts or at_ms - ann.author.since_ms < 30 * DAY_MS
        if found is None:
            seen = ann.delete(post_id, at_ms=at_ms)
        else:
            seen = ann.write(post_id, score=found, at_ms=at_ms, imminent=imminent)
        flagged = seen.decision["flagged"]
        assert flagged == [label for label in LABEL_IDS if label in (found or {})]
        if "distress" in flagged:
            assert seen.act in ("none", "limit_visibility")
            assert seen.act == "none" or len(flagged) > 1
            assert len(seen.care) == 1
            messages += [at_ms] * (seen.care[0]["message"] is not None)
            assert ann.rows[post_id].clock is None
            bodies = {route["body"] for case in seen.cases for route in case["routes"]}
            assert bodies <= {"staff", "police_110", "fire_119"}
        else:
            assert seen.care == []
        if flagged and "distress" not in flagged:
            strikes.add(post_id)
        assert {strike.post_id for strike in ann.author.strikes} == strikes
        assert len(ann.author.strikes) == len(strikes)
        for clock in seen.entry.clocks_cleared:
            assert running.pop(clock.action_id) == post_id
        running |= {clock.action_id: post_id for clock in seen.entry.clocks_set}
        assert {row.clock.action_id: name for name, row in ann.rows.items() if row.clock} == running
        told = [identity(output) for output in seen.entry.outputs]
        assert len(set(told)) == len(told)
        assert not ids & set(told)
        ids |= set(told)
    assert all(later - earlier >= DAY_MS for earlier, later in pairwise(messages))
    assert ann.author.posts == posts
