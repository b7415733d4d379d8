"""`mimamori backtest` over files: what is compared and told, bad lines, wrong use."""

import json
from datetime import date
from pathlib import Path

import pytest

from models.labels import DISTRESS
from tests.unit.memory import (
    DAY_MS,
    HOUR_MS,
    Json,
)
from tests.unit.past import HIDDEN, World, changed_actions, context, insults_from, policy_file, run
from workers import backtest, days
from workers.errors import PolicyError, UsageError
from workers.settings import Settings


@pytest.fixture
def settings(checkpoint: Path) -> Settings:
    return Settings(model=checkpoint)


# -- what is compared --------------------------------------------------------------------------------------------------


def test_only_the_period_is_compared_and_all_before_it_counts(tmp_path: Path, settings: Settings) -> None:
    """Days are Japan's, both ends included; AT_MS is nine in the morning of November 1st there."""
    world = World(context(policy_file(tmp_path)))
    for i in range(5):
        world.write(f"p{i}", by_ms=0 if i == 0 else DAY_MS, scores={"insult": 0.6 if i == 0 else 0.8})
    file, decisions = policy_file(tmp_path, insults_from(0.7)), world.save(tmp_path)[0]
    _, found = run(settings, policy=file, decisions=decisions, first=date(2026, 11, 2), last=date(2026, 11, 3))
    assert found["compared"] == 2
    assert changed_actions(found) == {("request_removal", "warn"): 1, ("limit_visibility", "request_removal"): 1}
    assert found["not_compared"]["before_the_period"] == 1
    assert found["period"] == {"from": "2026-11-02", "to": "2026-11-03", "history_from": "2026-11-01"}
    _, found = run(settings, policy=file, decisions=decisions, first=date(2026, 11, 5), last=date(2026, 11, 5))
    assert found["compared"] == 1
    assert found["changed"] == 0, "the third strike and the fourth lead to the same"


def test_the_days_end_at_midnight_in_japan(tmp_path: Path, settings: Settings) -> None:
    world = World(context(policy_file(tmp_path)))
    world.write("p1", by_ms=15 * HOUR_MS - 1)
    world.write("p2", by_ms=1)
    file, decisions = policy_file(tmp_path), world.save(tmp_path)[0]
    for day in (1, 2):
        _, found = run(settings, policy=file, decisions=decisions, first=date(2026, 11, day), last=date(2026, 11, day))
        assert found["compared"] == 1


def test_distress_is_counted_and_not_named(
    tmp_path: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World(context(policy_file(tmp_path)))
    world.write("sad-post", scores={DISTRESS: 0.6}, author_id="sad-author")
    world.write("p2", scores={"insult": 0.6})

    def change(raw: Json) -> None:
        raw["distress"]["threshold"] = 0.7
        raw["labels"]["insult"]["threshold"] = 0.7

    _, found = run(settings, policy=policy_file(tmp_path, change), decisions=world.save(tmp_path)[0])
    assert found["labels"][DISTRESS]["dropped"] == 1
    assert found["changed"] == 2
    assert "p2" in json.dumps(found)
    assert "sad" not in json.dumps(found) + capsys.readouterr().out


def test_a_restore_is_no_harsher_than_nothing(tmp_path: Path, settings: Settings) -> None:
    """What the new policy never hid has nothing to come back from."""
    world = World(context(policy_file(tmp_path)))
    world.write("p1", scores={"threat": 0.8})
    world.write("p1", 2)

    def change(raw: Json) -> None:
        raw["labels"]["threat"]["threshold"] = 0.9

    _, found = run(settings, policy=policy_file(tmp_path, change), decisions=world.save(tmp_path)[0])
    assert changed_actions(found) == {("limit_visibility", "none"): 1, ("restore", "none"): 1}
    assert (found["actions_changed"], found["milder"], found["harsher"]) == (2, 1, 0)


def test_severity_alone_is_a_change(tmp_path: Path, settings: Settings) -> None:
    world = World(context(policy_file(tmp_path)))
    world.write("p1", scores={"insult": 0.6})

    def change(raw: Json) -> None:
        raw["labels"]["insult"]["severity"] = "serious"

    _, found = run(settings, policy=policy_file(tmp_path, change), decisions=world.save(tmp_path)[0])
    assert (found["changed"], found["actions_changed"], found["severity_or_clauses_changed"]) == (1, 0, 1)


def test_samples_are_as_many_as_asked_for_and_the_same_every_time(tmp_path: Path, settings: Settings) -> None:
    world = World(context(policy_file(tmp_path)))
    for i in range(30):
        world.write(f"p{i}", scores={"insult": 0.6}, author_id=f"a{i}")
    file, decisions = policy_file(tmp_path, insults_from(0.7)), world.save(tmp_path)[0]
    (first,), (again,) = (
        run(settings, policy=file, decisions=decisions, samples=4)[1]["samples"]["actions"] for _ in "ab"
    )
    assert first == again
    assert len(first["posts"]) == 4
    assert [post["post_id"] for post in first["posts"]] != ["p0", "p1", "p2", "p3"]
    assert run(settings, policy=file, decisions=decisions, samples=0)[1]["samples"]["actions"][0]["posts"] == []


# -- what is said -----------------------------------------------------------------------------------------------------


def test_the_account_for_people(tmp_path: Path, settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    """Figures and ids; nothing in an id reaches the terminal as a control character; no text anywhere."""
    world = World(context(policy_file(tmp_path)))
    world.write("p1\x1b[2J\nforged", scores={"insult": 0.6}, author_id="a b")
    world.write("p2", scores={"insult": 0.8})
    run(settings, policy=policy_file(tmp_path, insults_from(0.7)), decisions=world.save(tmp_path)[0])
    said = capsys.readouterr()
    lines = [" ".join(line.split()) for line in said.out.splitlines()]
    assert "changed: 1 of 2 decisions (50.0 %); the action of 1 (0 harsher, 1 milder), by 1 of 2 authors" in lines
    assert "none warn" in lines
    assert "warn 1 1" in lines
    assert "insult 2 1 0 1" in lines
    assert "a�b 1 0 1" in lines
    assert "warn → none: p1�[2J�forged/1" in lines
    assert said.err == ""
    assert HIDDEN not in said.out


def test_bad_lines_are_named_and_the_rest_goes_on(
    tmp_path: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    file = policy_file(tmp_path)
    world = World(context(file))
    for i in range(3):
        world.write(f"p{i}", scores={"insult": 0.8})
    lines = [json.dumps(decision) for decision in world.decisions]
    broken = [
        "{" + HIDDEN,
        json.dumps({**world.decisions[0], "scores": HIDDEN}),
        json.dumps({**world.decisions[0], "schema": "post/1"}),
        json.dumps({**world.decisions[0], "event": HIDDEN}),
        json.dumps({**world.decisions[0], "source": {"topic": "posts", "partition": 0, "offset": 2**70}}),
    ]
    decisions, reviews = tmp_path / "d.jsonl", tmp_path / "r.jsonl"
    decisions.write_text("\n".join([lines[0], *broken, "", *lines[1:]]), "utf-8")
    reviews.write_text(json.dumps({"schema": "review/1", "reason": HIDDEN}) + "\n", "utf-8")
    code, found = run(settings, policy=file, decisions=decisions, reviews=reviews)
    said = capsys.readouterr()
    assert code == 1
    assert (found["compared"], found["changed"], found["not_compared"]["unreadable"]) == (3, 0, 6)
    named = [line.split(": ")[0] for line in said.err.splitlines()]
    assert named == [*(f"{decisions}:{n}" for n in range(2, 7)), f"{reviews}:1"]
    assert HIDDEN not in said.err + said.out


def test_a_decision_that_the_policy_fails_on_is_named(
    tmp_path: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """An appeal past the end of time; the worker would make a dead letter of such a record."""
    file = policy_file(tmp_path)
    world = World(context(file))
    world.write("p1", scores={"insult": 0.8})
    world.write("p2", scores={"insult": 0.8})
    world.decisions[1] |= {"decided_at": "9999-12-31T00:00:00Z"}
    code, found = run(settings, policy=file, decisions=world.save(tmp_path)[0])
    assert code == 1
    assert (found["compared"], found["not_compared"]["failed"]) == (1, 1)
    assert world.decisions[1]["decision_id"] in capsys.readouterr().err


# -- wrong use --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ({}, "--policy FILE or --model DIR"),
        ({"model": Path("m"), "decisions": Path("d")}, "--model"),
        ({"policy": Path("p"), "reviews": Path("r")}, "--reviews"),
        ({"policy": Path("p"), "first": date(2026, 11, 2), "last": date(2026, 11, 1)}, "--from: 2026-11-02 is after"),
        ({"policy": Path("p"), "decisions": Path("/nowhere/d")}, "/nowhere/d: no such file"),
        ({"policy": Path("p"), "decisions": Path("/")}, "/: no such file"),
        ({"policy": Path("p"), "json": Path("/nowhere/out.json")}, "--json: /nowhere/out.json"),
    ],
)
def test_wrong_use_is_told_before_anything_is_read(order: Json, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        backtest.run(Settings(model=Path("/nowhere")), backtest.Order(**order))


@pytest.mark.parametrize("raw", ["2026-13-01", "2026-11-31", "yesterday", "", "2026-11-01T00:00:00Z"])
def test_what_is_no_day(raw: str) -> None:
    with pytest.raises(UsageError, match="--to: must be a day such as 2026-11-24"):
        days.day("--to", raw)


def test_a_policy_that_is_wrong(tmp_path: Path, settings: Settings) -> None:
    def change(raw: Json) -> None:
        raw["labels"]["insult"]["threshold"] = 3

    world = World(context(policy_file(tmp_path)))
    world.write("p1")
    with pytest.raises(PolicyError, match=r"bad\.yml"):
        run(settings, policy=policy_file(tmp_path, change, "bad.yml"), decisions=world.save(tmp_path)[0])


def test_a_period_that_holds_nothing(tmp_path: Path, settings: Settings) -> None:
    file = policy_file(tmp_path)
    world = World(context(file))
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    with pytest.raises(UsageError, match=r"no decision in .*empty.jsonl$"):
        run(settings, policy=file, decisions=empty)
    world.write("p1")
    decisions = world.save(tmp_path)[0]
    with pytest.raises(UsageError, match=r"no decision in .* from 2027-01-01 to the end; the last is of 2026-11-01"):
        run(settings, policy=file, decisions=decisions, first=date(2027, 1, 1))
    with pytest.raises(UsageError, match=r"no decision in .* from the beginning to 2025-01-01$"):
        run(settings, policy=file, decisions=decisions, last=date(2025, 1, 1))
    with pytest.raises(UsageError, match=r"no shadow decision of policy version none in"):
        run(settings, policy=file, decisions=decisions, shadow="none")
    trial = World(context(file, shadow=True))
    trial.write("p1")
    with pytest.raises(
        UsageError, match=rf"--shadow takes those of shadow workers, of version {trial.context.policy.version}"
    ):
        run(settings, policy=file, decisions=trial.save(tmp_path)[0])
