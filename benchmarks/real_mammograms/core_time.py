"""Time that a process and its workers have had of their cores."""

import multiprocessing
import os
import time
from pathlib import Path


class CoreTime:
    """A clock that stands still while other processes have the cores.

    Trainings that share a machine with other work so still get equal shares of it. What the
    process and its children had of ``cores`` cores counts; where that cannot be read (outside
    Linux), it is wall-clock time.
    """

    def __init__(self, cores: int) -> None:
        """Start the clock; ``cores`` is how many the process may use."""
        self._cores = cores
        self._start = self._read()

    def seconds(self) -> float:
        """Seconds since the start, each of all the cores."""
        return self._read() - self._start

    def _read(self) -> float:
        if not Path("/proc/self/stat").is_file():
            return time.monotonic()
        children = [child.pid for child in multiprocessing.active_children()]
        ticks = sum(_ticks(pid) for pid in children if pid is not None)
        return (time.process_time() + ticks / os.sysconf("SC_CLK_TCK")) / self._cores


def _ticks(pid: int) -> int:
    """Clock ticks of a process, in user mode and in the kernel; 0 for one that has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return 0
    # the name, which may hold anything, ends with the last parenthesis
    fields = text.rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
