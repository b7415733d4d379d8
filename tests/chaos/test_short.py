"""The short run of CI: three brokers, two workers, a few hundred records, three kills of workers, one of a broker.

The seed is fixed, so that CI says the same twice; `make chaos` takes others, more records and all kinds of faults.
"""

import json
from pathlib import Path

import pytest

from tests.chaos import driver, schedule, setting

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(420)]

SEED = 1
POSTS = 400


@pytest.fixture(scope="module")
def checkpoint() -> Path:
    """Made before the run, which may start when it is there."""
    return setting.checkpoint()


def test_nothing_is_lost_or_doubled_in_a_short_chaos(checkpoint: Path, tmp_path: Path) -> None:
    faults = schedule.short(SEED)
    verdict = driver.run(driver.Run(SEED, POSTS, faults, rate=40, quiet_seconds=2, home=tmp_path))
    assert verdict["ok"], json.dumps(verdict, ensure_ascii=False, indent=1)
    # And there was something to see: repeats by kills, strikes, records of every kind.
    assert verdict["sent_again"] > 0
    assert verdict["most_strikes"] > 1
    assert min(verdict[name] for name in ("dead_letters", "escalations", "care", "repeated_records")) > 0
