"""Processes that end with the one that started them, however that one ended."""

import ctypes
import os
import signal
import sys
import threading
import time

_PR_SET_PDEATHSIG = 1  # of prctl(2)
_POLL_SECONDS = 1.0

PARENT_VARIABLE = "MEDMASK_PARENT_PROCESS"
"""Environment variable by which a tool that runs others tells them its process id."""


def end_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """Have this process get a signal when its parent ends, even if that is killed.

    On Linux the kernel sees to it, elsewhere a thread that looks every second.

    Args:
        parent: process id of the parent; if that has ended already, the signal comes at once.
        number: of the signal; SIGTERM lets a training run save what is done.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    else:
        threading.Thread(target=_watch, args=(parent, number), daemon=True).start()
    if os.getppid() != parent:
        os.kill(os.getpid(), number)


def end_with_calling_tool() -> None:
    """As :func:`end_with_parent` with SIGTERM, if the parent asked for it in the environment."""
    parent = os.environ.pop(PARENT_VARIABLE, None)  # not meant for processes that this one starts
    if parent is not None:
        end_with_parent(int(parent), signal.SIGTERM)


def become_worker() -> None:
    """Have a process of :mod:`multiprocessing` end with the one that started it, even if killed.

    Ctrl-C, and a terminal that is closed, it leaves to that one.
    """
    import multiprocessing  # here, because every tool imports this module

    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_wait_for_end, args=(parent.sentinel,), daemon=True).start()
    leave_terminal_to_parent()


def leave_terminal_to_parent() -> None:
    """Ignore Ctrl-C, and a terminal that is closed: the parent acts on them."""
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def _wait_for_end(sentinel: int) -> None:
    from multiprocessing.connection import wait

    wait([sentinel])  # not the process id: that of a pool's worker is the fork server's
    os.kill(os.getpid(), signal.SIGKILL)


def _watch(parent: int, number: int) -> None:
    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
    os.kill(os.getpid(), number)
