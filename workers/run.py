"""Start and stop of one worker replica: everything is checked before Kafka is joined, and the process ends non-zero
rather than run on where a guarantee may not hold.

The order at start: settings, topics file, cluster (brokers answer, topics exist, partitions agree), model, policy, then
Faust. SIGTERM finishes the batch in flight, commits and exits 0. SIGHUP reads the policy file again.
"""

import asyncio
import logging
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from models.checkpoint import SHIPPED
from workers import datadir, security
from workers import topics as topics_module
from workers.admin import Health, serve
from workers.decide import Context
from workers.errors import GuaranteeAtRisk, MimamoriError
from workers.events import Topic
from workers.ledger import Ledger
from workers.pipeline import CONTROL_TEXT, Pipeline
from workers.reload import PolicyInUse
from workers.reload import load as load_policy
from workers.settings import Settings, topics_file
from workers.telemetry import Metrics, configure_logging

log = logging.getLogger(__name__)

SOURCES: Final = (Topic.POSTS, Topic.STAFF_REVIEWS)
HARD_EXIT_SECONDS: Final = 20.0  # a crash that does not end the process by itself is ended
WATCHDOG_SECONDS: Final = 2.0


class Replica:
    """One running worker; `error` is why it ended, if not by request."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.health = Health()
        self.metrics = Metrics()
        self.error: BaseException | None = None
        self._worker: Any = None
        self._hung_up = False
        self._reloads: set[asyncio.Future[None]] = set()

    def fail(self, error: BaseException) -> None:
        """End the process soon and non-zero; a thread makes sure of it."""
        if self.error is None:
            self.error = error
            log.critical("ending: a guarantee may not hold", exc_info=error)
            self._look_at_store(error)
        threading.Thread(target=self._end, name="hard-exit", daemon=True).start()
        if self._worker is not None:
            self._worker.loop.call_soon_threadsafe(self._stop)

    def _look_at_store(self, error: BaseException | None) -> None:
        if datadir.condemn(self.settings.datadir, error):
            log.critical("the store in MIMAMORI_DATADIR is damaged: the next start reads it again from the changelog")

    def _end(self) -> None:
        time.sleep(HARD_EXIT_SECONDS)
        os._exit(GuaranteeAtRisk.exit_code)

    def _stop(self) -> None:
        self._worker.set_shutdown()
        self._stopping = asyncio.ensure_future(self._worker.stop())

    def run(self) -> int:
        """Blocks until the replica ends; returns the exit code."""
        configure_logging()
        signal.signal(signal.SIGHUP, self._hung_up_early)
        signal.signal(signal.SIGTERM, self._ended_early)
        settings = self.settings
        topics = topics_module.load(topics_file(settings))
        cluster = asyncio.run(
            topics_module.verify(
                topics, settings.bootstrap_servers, settings.topic_prefix, settings.group, security.of(settings)
            )
        )
        changelog = topics.changelog(settings.topic_prefix, settings.group)
        datadir.claim(settings.datadir, {"changelog": changelog, "cluster": cluster})
        port, stop_serving = serve(settings.web_port, self.health, self.metrics)
        log.info("health and metrics", extra={"port": port})
        try:
            return self._run(topics)
        finally:
            stop_serving()

    def _run(self, topics: topics_module.TopicsFile) -> int:
        import torch

        from models.classifier import Classifier
        from workers import app as apps
        from workers.agents import Loop
        from workers.table import TableStore

        settings = self.settings
        torch.set_num_threads(settings.torch_threads)
        classifier = Classifier.load(settings.model or SHIPPED)
        classifier.classify([CONTROL_TEXT])
        points = classifier.checkpoint.thresholds
        policy = load_policy(settings.policy_file, points)
        context = Context(policy, classifier.version, settings.shadow)
        self._in_use = PolicyInUse(context, settings.policy_file, points, self.metrics)
        self.health.model_loaded = True
        ledger = Ledger()
        app, table = apps.build(settings, topics, ledger)
        physical = {topic: topics.physical(topic, prefix=settings.topic_prefix) for topic in Topic}
        store = TableStore(table, physical[Topic.POSTS])
        executor = ThreadPoolExecutor(1, thread_name_prefix="classifier")
        pipeline = Pipeline(context, classifier, store, executor)
        loop = Loop(
            app,
            store,
            pipeline,
            ledger,
            {physical[topic]: topic for topic in SOURCES},
            {topic: name for topic, name in physical.items() if topic not in SOURCES},
            self.health,
            self.metrics,
            self.fail,
            settings.bootstrap_servers,
            security.of(settings),
        )
        self._wire(app, loop, [physical[topic] for topic in SOURCES])
        return self._serve(app, loop)

    def _wire(self, app: Any, loop: Any, sources: list[str]) -> None:
        channel = app.topic(*sources, key_serializer="raw", value_serializer="raw", key_type=bytes, value_type=bytes)
        app.agent(channel, name="moderate", concurrency=1)(loop.run)
        app.on_partitions_revoked.connect(lambda sender, revoked, **_: loop.on_revoked(revoked), weak=False)
        app.on_rebalance_complete.connect(lambda sender, **_: loop.on_rebalanced(), weak=False)
        app.task(loop.ticking)

    def _serve(self, app: Any, loop: Any) -> int:
        import faust

        replica = self

        class Worker(faust.Worker):
            """Faust's worker; signals drain first."""

            def install_signal_handlers(self) -> None:
                for number in (signal.SIGTERM, signal.SIGINT):
                    self.loop.add_signal_handler(number, replica._on_signal, number.name, loop)
                self.loop.add_signal_handler(signal.SIGHUP, replica._on_hangup, loop)
                if replica._hung_up:
                    self.loop.call_soon(replica._on_hangup, loop)

            def _setproctitle(self, *args: Any, **kwargs: Any) -> None:
                """Left as the operator started it."""

        self._worker = Worker(app, override_logging=False, redirect_stdouts=False, quiet=True, loglevel=None)
        self._worker.spinner = None  # it writes escape sequences between the log's lines
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        try:
            self._worker.execute_from_commandline()
        except SystemExit as ended:
            if ended.code and self.error is None:
                self.error = GuaranteeAtRisk("Faust ended by itself")
                self._look_at_store(self._worker.crash_reason)
        except BaseException as error:  # noqa: BLE001 # mapped to an exit code below
            self.error = self.error or error
            self._look_at_store(error)
        if self.error is None:
            log.info("drained and stopped")
            return 0
        return self.error.exit_code if isinstance(self.error, MimamoriError) else GuaranteeAtRisk.exit_code

    def _on_signal(self, name: str, loop: Any) -> None:
        if self.health.draining:
            return
        self.health.draining = True
        log.info("draining", extra={"signal": name})
        self._draining = asyncio.ensure_future(self._drain(loop))

    def _hung_up_early(self, *_: Any) -> None:
        """Before the loop runs: without a handler the signal would end the process."""
        self._hung_up = True

    @staticmethod
    def _ended_early(*_: Any) -> None:
        """Before the loop runs nothing is in hand: a deployment called off is no failure."""
        log.info("stopped before it began", extra={"signal": signal.SIGTERM.name})
        raise SystemExit(0)

    def _on_hangup(self, loop: Any) -> None:
        if not self.health.draining:
            log.info("reloading the policy", extra={"signal": signal.SIGHUP.name})
            reload = asyncio.ensure_future(self._in_use.reload(loop))
            self._reloads.add(reload)  # the event loop itself keeps only a weak reference
            reload.add_done_callback(self._reloads.discard)

    async def _drain(self, loop: Any) -> None:
        try:
            if self.health.recovered:
                await loop.quiet()
        finally:
            self._stop()

    def _watch(self) -> None:
        """Ends the process when the loop hangs, a batch passes its deadline, or a crash of Faust does not end it."""
        while True:
            time.sleep(WATCHDOG_SECONDS)
            if self._worker.crashed:
                self._end()
            deadline = self.health.batch_deadline
            late = deadline is not None and time.monotonic() > deadline
            if self.health.assigned and (late or self.health.not_live()):
                log.critical("ending: the loop hangs or a batch passed its deadline")
                os._exit(GuaranteeAtRisk.exit_code)
