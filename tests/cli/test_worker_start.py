"""A worker that is called off before it has joined anything."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path


def test_a_sigterm_during_the_start_is_no_failure(tmp_path: Path) -> None:
    """A broker that takes the connection and says nothing keeps the worker at its first check of the cluster."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        mute.settimeout(60)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("MIMAMORI_")},
            "MIMAMORI_BOOTSTRAP_SERVERS": f"127.0.0.1:{mute.getsockname()[1]}",
            "MIMAMORI_DATADIR": str(tmp_path),
            "MIMAMORI_WEB_PORT": "0",
        }
        worker = subprocess.Popen(
            [sys.executable, "-m", "workers.cli", "worker"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            mute.accept()
            worker.send_signal(signal.SIGTERM)
            told, _ = worker.communicate(timeout=60)
        finally:
            worker.kill()
            worker.wait()
    assert worker.returncode == 0
    assert "stopped before it began" in told
    assert "Traceback" not in told
