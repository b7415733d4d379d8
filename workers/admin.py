"""Health and metrics over HTTP, from a thread of their own so that they answer while the loop is busy.

/healthz/live   200 while the loop makes progress; 503 when it should be restarted
/healthz/ready  200 when this replica may be counted on; 503 with the reasons, one a line
/metrics        Prometheus text

Nothing else is served, and no content of any record.
"""

import threading
import time
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

from workers.errors import SettingsError
from workers.telemetry import Metrics

LOOP_SILENCE_SECONDS: Final = 30.0  # the loop beats every second; this long without one is a hang


class Health:
    """What the probes look at; the worker writes, the web thread reads."""

    def __init__(self) -> None:
        self.model_loaded = False
        self.assigned = False
        self.recovered = False
        self.draining = False
        self.batch_deadline: float | None = None
        self.beat = time.monotonic()

    def not_live(self) -> list[str]:
        """Why a restart would help; empty when live."""
        silent = time.monotonic() - self.beat
        return [f"the event loop has been silent for {silent:.0f} s"] if silent > LOOP_SILENCE_SECONDS else []

    def not_ready(self) -> list[str]:
        """Why this replica may not be counted on; empty when ready. A spare without partitions is ready."""
        deadline = self.batch_deadline
        reasons = {
            "the model is not loaded": not self.model_loaded,
            "no rebalance has finished": not self.assigned,
            "the authors' table is recovering": self.assigned and not self.recovered,
            "a batch is past its deadline": deadline is not None and time.monotonic() > deadline,
            "shutting down": self.draining,
        }
        return [*self.not_live(), *(reason for reason, holds in reasons.items() if holds)]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    allow_reuse_address = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # the base class's name
        """Probes every few seconds are not worth a line each."""


def serve(port: int, health: Health, metrics: Metrics) -> tuple[int, Callable[[], None]]:
    """Start the thread; returns the port and a function that stops it."""
    metrics_app = make_wsgi_app(metrics.registry)

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            metrics.ready.set(0 if health.not_ready() else 1)
            found: Iterable[bytes] = metrics_app(environ, start_response)
            return found
        problems = {"/healthz/live": health.not_live, "/healthz/ready": health.not_ready}.get(path)
        if problems is None:
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"not found\n"]
        reasons = problems()
        start_response(
            "503 Service Unavailable" if reasons else "200 OK", [("Content-Type", "text/plain; charset=utf-8")]
        )
        return ["".join(f"{reason}\n" for reason in reasons or ["ok"]).encode()]

    try:
        server = make_server("", port, answer, server_class=_Server, handler_class=_Quiet)
    except OSError as error:
        raise SettingsError(f"MIMAMORI_WEB_PORT: {port} cannot be opened: {error.strerror}") from None
    threading.Thread(target=server.serve_forever, name="admin", daemon=True).start()
    return server.server_port, server.shutdown
