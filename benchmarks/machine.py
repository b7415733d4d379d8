"""What a process has used, by /proc (Linux): CPU seconds and the most memory it held. No processor is named."""

import os
from pathlib import Path
from typing import Any, Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_USER, _SYSTEM = 11, 12  # fields of /proc/PID/stat, counted behind the name
MEBIBYTE_KIB: Final = 1024


def cores() -> int:
    """Those that this process may run on (taskset counts)."""
    return len(os.sched_getaffinity(0))


def seconds_in(stat: str) -> float:
    """CPU seconds, user and system, in the text of a stat file. The name in it may hold spaces and brackets."""
    fields = stat.rpartition(")")[2].split()
    return (int(fields[_USER]) + int(fields[_SYSTEM])) / _TICKS


def cpu_seconds(pid: int) -> float:
    """Of a process with all its threads."""
    return seconds_in(Path(f"/proc/{pid}/stat").read_text("utf-8"))


def main_thread_seconds(pid: int) -> float:
    """Of its first thread alone: in a worker the event loop, while torch runs in others."""
    return seconds_in(Path(f"/proc/{pid}/task/{pid}/stat").read_text("utf-8"))


def peak_mib(pid: int) -> float:
    """Peak resident memory so far."""
    for line in Path(f"/proc/{pid}/status").read_text("utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) / MEBIBYTE_KIB, 1)
    raise RuntimeError(f"/proc/{pid}/status: no VmHWM (the process has ended)")


def own_usage() -> dict[str, Any]:
    """This process: `cpu_seconds` and `peak_rss_mib`."""
    me = os.getpid()
    return {"cpu_seconds": cpu_seconds(me), "peak_rss_mib": peak_mib(me)}
