"""A worker that is killed before its first commit leaves its heir a log without any: nothing of it may be skipped."""

from collections.abc import Callable

import pytest

from tests.broker.conftest import Service
from tests.harness import post, wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(420)]

Flags = Callable[..., dict[str, str]]


@pytest.mark.parametrize("attempt", [1, 2])
def test_the_heir_reads_from_the_start(service: Service, flags: Flags, attempt: int) -> None:
    outside = service.outside
    settings = flags("defamation")
    with service.worker(**settings) as victim:
        outside.send([post("ann", 1, "a"), post("ann", 2, "b")])
        outside.wait_for({"consultation-escalations": 2, "moderation-actions": 2}, 120, victim.tail)
        victim.kill()
    with service.worker(**settings) as heir:
        outside.send([post("ann", 3, "c")])
        wait_until(
            lambda: len({record["decision_id"] for record in outside.records("moderation-decisions")}) == 3,
            120,
            heir.tail,
        )
