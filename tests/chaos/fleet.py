"""The workers of a run and their supervisor: whatever ends is started again, as a cluster manager would.

A store that a fault damaged is the worker's own part: it ends over it, and its next life reads it again from the
changelog. Nothing is deleted here.
"""

import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.harness import clean_environment

TERM_SECONDS: Final = 130.0  # docs/operations.md: 120 s before SIGKILL
LOOK_SECONDS: Final = 0.2
NO_KAFKA: Final = 3  # exit code: the store is not at fault
HUNG: Final = "hung at SIGTERM"


@dataclass(slots=True)
class Slot:
    """One replica's place: its directory, its log, and the process that is there now."""

    name: str
    home: Path
    settings: dict[str, str]
    process: "subprocess.Popen[bytes] | None" = None
    start_at: float = 0.0
    wanted: bool = True
    damaged: bool = False
    paused: bool = False
    expected: str = ""  # why the next end is no surprise
    starts: int = 0

    @property
    def data(self) -> Path:
        """MIMAMORI_DATADIR."""
        return self.home / "data"

    @property
    def store(self) -> Path:
        """RocksDB's files in it."""
        return self.data / "v1"

    @property
    def log(self) -> Path:
        """Of all its lives."""
        return self.home / "worker.log"

    @property
    def alive(self) -> bool:
        """A process runs, ready or not."""
        return self.process is not None and self.process.poll() is None

    @property
    def ready(self) -> bool:
        """This life has finished a rebalance; told by the log, which any machine reads fast enough."""
        if not self.alive or not self.log.exists():
            return False
        return '"message": "rebalanced"' in self.log.read_text("utf-8", "replace").rpartition(_LIFE)[2]


_LIFE: Final = "--- start"


class Fleet:
    """`count` replicas, spread over the networks (the bootstrap servers of each); a thread looks after them."""

    def __init__(self, home: Path, count: int, settings: dict[str, str], networks: Sequence[str], seed: int) -> None:
        self._home, self._settings, self._networks = home, settings, networks
        self._chance = random.Random(f"fleet {seed}")
        self.slots: list[Slot] = []
        self.exits: Counter[str] = Counter()
        self.rebuilt = 0
        self._lock = threading.RLock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._supervise, name="supervisor", daemon=True)
        for _ in range(count):
            self.join()
        self._thread.start()

    def join(self) -> Slot:
        """A replica more, in the next network; half of each network's have a static membership."""
        number = len(self.slots)
        settings = {**self._settings, "MIMAMORI_BOOTSTRAP_SERVERS": self._networks[number % len(self._networks)]}
        if number // 2 % 2 != number % 2:
            settings["MIMAMORI_INSTANCE_ID"] = f"replica-{number}"
        slot = Slot(f"worker-{number + 1}", self._home / f"worker-{number + 1}", settings)
        slot.home.mkdir(parents=True)
        with self._lock:
            self.slots.append(slot)
            self._start(slot)
        return slot

    def leave(self, slot: Slot) -> int:
        """SIGTERM, and it is not started again; the exit code."""
        with self._lock:
            slot.wanted = False
        return self.terminate(slot)

    def alive(self) -> list[Slot]:
        """Slots with a process that is not paused."""
        with self._lock:
            return [slot for slot in self.slots if slot.wanted and slot.alive and not slot.paused]

    def kill(self, slot: Slot) -> None:
        """kill -9; it comes back after a moment."""
        with self._lock:
            if slot.process is not None and slot.alive:
                slot.expected = "killed"
                slot.process.kill()
                slot.process.wait(30)

    def terminate(self, slot: Slot) -> int:
        """SIGTERM, wherever it stands in its batch; the exit code, -9 where it did not end in time."""
        process = slot.process
        if process is None:
            return 0
        with self._lock:
            if process.poll() is None:
                slot.expected = "terminated"
                process.send_signal(signal.SIGTERM)
        try:
            return process.wait(TERM_SECONDS)
        except subprocess.TimeoutExpired:
            self.exits[f"-9 {HUNG}"] += 1
            process.kill()
            return process.wait(30)

    def pause(self, slot: Slot, seconds: float) -> None:
        """SIGSTOP for longer than its session: its partitions go to others, and then it wakes."""
        process = slot.process
        if process is None or process.poll() is not None:
            return
        slot.paused = True
        try:
            process.send_signal(signal.SIGSTOP)
            time.sleep(seconds)
            process.send_signal(signal.SIGCONT)
        finally:
            slot.paused = False

    def damage(self, slot: Slot, how: str) -> None:
        """kill -9, and the store is hurt: `gone`, `file` (one deleted), `short` (one cut), `bits` (some changed)."""
        with self._lock:
            self.kill(slot)
            if how == "gone":
                shutil.rmtree(slot.data, ignore_errors=True)
                return
            slot.damaged = True
            files = sorted(path for path in slot.store.rglob("*") if path.is_file() and path.stat().st_size > 0)
            if not files:
                return
            chosen = self._chance.choice(files)
            if how == "file":
                chosen.unlink()
                return
            raw = bytearray(chosen.read_bytes())
            middle = self._chance.randrange(len(raw))
            if how == "short":
                del raw[middle:]
            else:
                for at in range(middle, min(len(raw), middle + 64)):
                    raw[at] ^= 0xFF
            chosen.write_bytes(raw)

    def stop(self) -> dict[str, int]:
        """SIGTERM to all; name → exit code. One that is barely started has nothing to drain: `end` is for it."""
        self._stopped.set()
        self._thread.join(30)
        left = [slot for slot in self.slots if slot.wanted and slot.ready]
        with ThreadPoolExecutor(max(1, len(left))) as together:
            codes = together.map(self.terminate, left)
            return {slot.name: code for slot, code in zip(left, codes, strict=True)}

    def end(self) -> None:
        """kill -9 to whatever still runs; nothing outlives a run."""
        self._stopped.set()
        for slot in self.slots:
            if slot.process is not None and slot.process.poll() is None:
                slot.process.kill()
                slot.process.wait(30)

    def logs(self) -> str:
        """Of all replicas and lives."""
        return "\n".join(slot.log.read_text("utf-8", "replace") for slot in self.slots if slot.log.exists())

    def _start(self, slot: Slot) -> None:
        slot.starts += 1
        with slot.log.open("ab") as stream:
            stream.write(f"{_LIFE} {slot.starts}\n".encode())
            stream.flush()
            slot.process = subprocess.Popen(
                [sys.executable, "-m", "workers.cli", "worker"],
                env=clean_environment(**{**slot.settings, "MIMAMORI_DATADIR": str(slot.data)}),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )

    def _supervise(self) -> None:
        while not self._stopped.wait(LOOK_SECONDS):
            with self._lock:
                for slot in self.slots:
                    self._look_after(slot)

    def _look_after(self, slot: Slot) -> None:
        now = time.monotonic()
        if slot.process is not None and slot.process.poll() is not None:
            self._ended(slot, slot.process.returncode)
            slot.process = None
            slot.start_at = now + self._chance.uniform(0.0, 2.0)
        if slot.process is None and slot.wanted and now >= slot.start_at:
            self._start(slot)

    def _ended(self, slot: Slot, code: int) -> None:
        over_store = slot.damaged and not slot.expected and code != NO_KAFKA
        self.exits[f"{code} {slot.expected or ('over its damaged store' if over_store else 'by itself')}"] += 1
        slot.expected = ""
        if over_store:
            slot.damaged = False
            self.rebuilt += 1
