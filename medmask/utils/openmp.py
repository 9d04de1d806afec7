"""Threads of tensor operations, and the cores that they share with other processes.

By default the threads of GNU's OpenMP runtime, which PyTorch brings, spin while they wait for each
other. That is fastest where nothing else runs. Beside another busy process a spinning thread keeps
the core from the very thread that it waits for, and a training step takes several times as long;
there the threads had better sleep. Importing this module, before PyTorch loads the runtime (which
decides once), looks which of the two is the case. Results do not depend on it, and what the user
set stays. `benchmarks/training_step.py --compare waiting` measures both.
"""

import math
import os
import time
from pathlib import Path

_OWN_SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
_LOAD_FILE = Path("/proc/loadavg")
_QUOTA_FILE = Path("/sys/fs/cgroup/cpu.max")
_LOOKS = 5
_SECONDS_BETWEEN_LOOKS = 0.004


def _choose_wait_policy() -> None:
    if any(name in os.environ for name in _OWN_SETTINGS):
        return
    if is_shared(busy_elsewhere(), usable_cores(), os.cpu_count() or 1):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"


def is_shared(busy: int, usable: int, cores: int) -> bool:
    """Tell whether threads of this process, one a usable core, have to share cores with others.

    Args:
        busy: threads of other processes that want to run.
        usable: cores that this process may use.
        cores: of the machine.
    """
    return usable > 1 and busy + usable > cores


def busy_elsewhere(load_file: Path = _LOAD_FILE) -> int:
    """Threads of other processes that want to run, the fewest of some looks; 0 if none can tell.

    Args:
        load_file: the fourth field of Linux's ``/proc/loadavg`` is "wanting to run/all".
    """
    try:
        looks = []
        for _ in range(_LOOKS):
            looks.append(int(load_file.read_text().split()[3].partition("/")[0]) - 1)
            time.sleep(_SECONDS_BETWEEN_LOOKS)
    except (OSError, ValueError, IndexError):  # another system
        return 0
    return max(min(looks), 0)


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


_choose_wait_policy()
