"""How the threads of tensor operations share the cores with other processes.

Importing this module, before PyTorch loads the OpenMP runtime, tells the threads to sleep while
they wait for each other. By default those of GNU's runtime, which PyTorch brings, spin: on a
machine that does something else, too, a waiting thread then keeps the core from the one it waits
for, and a training step takes several times as long. What the user set stays.
"""

import math
import os
from pathlib import Path

_OWN_SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
_QUOTA_FILE = Path("/sys/fs/cgroup/cpu.max")


def _sleep_while_waiting() -> None:
    if not any(name in os.environ for name in _OWN_SETTINGS):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"


def usable_cores(quota_file: Path = _QUOTA_FILE) -> int:
    """Cores that this process may use at the same time, at least 1.

    Args:
        quota_file: where a control group's limit stands, as "microseconds period" or "max period".
    """
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        cores = os.cpu_count() or 1
    try:
        quota, period = quota_file.read_text().split()
        cores = min(cores, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):  # no control group, or no limit ("max")
        pass
    return max(cores, 1)


def choose_num_threads(default: int, processes: int = 1) -> int:
    """Threads of each process of a run on this machine; OMP_NUM_THREADS of the user decides.

    Args:
        default: PyTorch's own choice, which knows two threads of a core from two cores.
        processes: that share the cores.
    """
    if "OMP_NUM_THREADS" in os.environ:
        return default
    return max(min(default, usable_cores()) // processes, 1)


_sleep_while_waiting()
