"""A new policy without a restart: read and check the file again, and decide by it from the next batch on.

A file that is not right changes nothing but a metric and the log: the policy in use stays. What was decided stays too,
since stored outputs are sent as they were stored. Thresholds that say `model` are those of the checkpoint in use.
"""

import asyncio
import logging
from datetime import date
from pathlib import Path
from typing import Protocol

from workers import policy_check
from workers.decide import Context
from workers.policy import Policy
from workers.telemetry import Metrics

log = logging.getLogger(__name__)


class Decider(Protocol):
    """workers.agents.Loop, or what else decides by a policy."""

    async def adopt(self, policy: Policy) -> None:
        """Decide by `policy` from the next batch on; returns when the batch in hand is done."""


def load(path: Path | None, operating_points: dict[str, float]) -> Policy:
    """A policy as a worker takes it: whatever `mimamori policy check` calls an error is one. Warnings are logged."""
    found = policy_check.examine(path, operating_points, date.today())
    policy = found.checked()
    for line in found.told(one for one in found.problems if one.warning):
        log.warning("a policy to look at", extra={"policy": policy.version, "why": line})
    return policy


class PolicyInUse:
    """The policy of one replica: what the metrics show of it, and how another takes its place."""

    def __init__(
        self, context: Context, path: Path | None, operating_points: dict[str, float], metrics: Metrics
    ) -> None:
        self._model_version, self._path, self._points = context.model_version, path, operating_points
        self._metrics = metrics
        self._one_at_a_time = asyncio.Lock()
        self._show(context.policy)

    def _show(self, policy: Policy) -> None:
        self.policy = policy
        self._metrics.info.labels(policy.version, self._model_version).set(1)
        # Asked at each scrape: a contact grows stale while the worker runs.
        self._metrics.stale_contacts.set_function(lambda: len(policy.stale_contacts(date.today())))

    async def reload(self, decider: Decider) -> None:
        """Read the file again. Signals that come while one is at work wait for their turn, so the last file wins."""
        async with self._one_at_a_time:
            before = self.policy
            try:
                policy = await asyncio.to_thread(load, self._path, self._points)
                await decider.adopt(policy)
            except Exception:  # whatever is wrong with a file, the worker goes on without it
                self._metrics.policy_reload_failed.set(1)
                log.exception("policy not reloaded: the one in use stays", extra={"policy": before.version})
                return
            self._metrics.policy_reload_failed.set(0)
            self._show(policy)
            if policy.version != before.version:
                self._metrics.info.remove(before.version, self._model_version)
            log.info("policy reloaded", extra={"policy": policy.version})
