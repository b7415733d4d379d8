"""The table of tests/scenarios: what people do, and what has to follow."""

from pathlib import Path

import pytest

from tests.scenarios import expecting
from tests.scenarios.expecting import Mismatch
from tests.scenarios.stage import Stage
from tests.scenarios.telling import Scenario, read

FILES = sorted((Path(__file__).parents[1] / "scenarios").glob("*.yml"))
ALL = [one for path in FILES for one in read(path)]
WRONG_TODAY = [one for one in ALL if one.wrong_today]


def act_out(told: Scenario, *, today: bool = False) -> None:
    """One scenario from its first step to its last; `today`: against what the code does where that is told."""
    stage = Stage(told)
    for step in told.steps:
        happened = stage.perform(step)
        try:
            expecting.compare(stage, happened, step.expected | step.today if today else step.expected)
        except AssertionError as error:
            raise Mismatch(f"{told.file}.yml: {told.title}\n{step.line}\n{error}") from None
    expecting.settled(stage)


def name(told: Scenario) -> str:
    return f"{told.file}: {told.title}"


@pytest.mark.parametrize("told", ALL, ids=name)
def test_it_goes_as_told(told: Scenario) -> None:
    """Where it is told that the code is wrong today, it does what is told of today."""
    act_out(told, today=True)


@pytest.mark.parametrize("told", WRONG_TODAY, ids=name)
def test_what_is_wrong_today_is_still_wrong(told: Scenario) -> None:
    """Else somebody has mended it: `wrong_today` and `today` go from the scenario."""
    with pytest.raises(Mismatch):
        act_out(told)


def test_there_are_many_and_each_has_its_title() -> None:
    assert len(ALL) - len(WRONG_TODAY) >= 150
    assert len({one.title for one in ALL}) == len(ALL)
