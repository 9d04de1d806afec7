"""The processes of a run on this machine: started together, ended together.

The first error of any of them is the one that the caller gets. The others, which may wait for the
one that failed, are given a moment to end by themselves. Signals are passed on to all, and if this
process is killed, they end, too.
"""

import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from medmask.errors import InputError
from medmask.utils.failures import describe_failure
from medmask.utils.parent_process import end_with_parent
from medmask.utils.shared_failure import FailedElsewhere, to_message
from medmask.utils.signals import (
    STOP_SIGNALS,
    StoppedBySignal,
    handle_stop_signals,
    raise_on_stop_signal,
)

_GRACE_SECONDS = 5.0
"""Time for the others to end by themselves, once one has failed."""


class ProcessFailed(RuntimeError):
    """A process failed by a fault of ours; the message is its traceback."""


@dataclass
class _Member:
    """One of the processes, seen from the one that started them."""

    rank: int
    process: BaseProcess
    reports: Connection


def run_processes(work: Callable[..., None], count: int, *args: Any) -> None:
    """Call ``work(rank, *args)`` in ``count`` new processes and wait until all have ended.

    Args:
        work: a function of a module, which the processes import.
        count: number of processes; ranks are 0 to ``count - 1``.
        args: what can be pickled.

    Raises:
        InputError: of the first process that failed; also for one that was killed.
        StoppedBySignal: the processes were asked to stop, and did.
        ProcessFailed: a fault of ours.
    """
    context = multiprocessing.get_context("spawn")
    members = []
    with _not_interrupted():
        for rank in range(count):
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_serve, args=(theirs, os.getpid(), work, rank, args))
            process.start()
            theirs.close()
            members.append(_Member(rank, process, ours))
    try:
        with handle_stop_signals(lambda number: _pass_on(members, number)):
            failures = _collect_failures(members)
    finally:
        for member in members:
            if member.process.is_alive():
                member.process.kill()
            member.process.join()
    if failures:
        raise min(failures, key=_is_consequence)


def _serve(
    reports: Connection, parent: int, work: Callable[..., None], rank: int, args: Sequence[Any]
) -> None:
    """Do the work in a new process, and report how it failed."""
    end_with_parent(parent)
    os.setpgid(0, 0)  # Ctrl-C is for the parent, which passes it on
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with raise_on_stop_signal():
            work(rank, *args)
    except BaseException as error:
        failure = describe_failure(error)
        if failure is None and not isinstance(error, FailedElsewhere):
            reports.send(ProcessFailed(f"in process {rank}:\n{traceback.format_exc()}"))
        else:
            reports.send(to_message(error))
        sys.exit(1 if failure is None else failure.status)


def _collect_failures(members: Sequence[_Member]) -> list[BaseException]:
    """Wait for the end of all; in the order in which they failed."""
    failures: list[BaseException] = []
    running = {member.process.sentinel: member for member in members}
    deadline = None
    while running:
        seconds = None if deadline is None else max(deadline - time.monotonic(), 0)
        ready = wait([*running, *(m.reports for m in running.values())], seconds)
        if not ready:
            break  # they wait for one that will not answer
        for sentinel, member in list(running.items()):
            has_ended = sentinel in ready
            failure = _read_report(member) if has_ended or member.reports in ready else None
            if has_ended:
                member.process.join()
                if failure is None:
                    failure = _describe_death(member)
            if has_ended or failure is not None:
                del running[sentinel]
            if failure is not None:
                failures.append(failure)
                deadline = deadline or time.monotonic() + _GRACE_SECONDS
    return failures


def _read_report(member: _Member) -> BaseException | None:
    try:
        return member.reports.recv() if member.reports.poll() else None
    except EOFError:  # it ended without one
        member.process.join()
        return _describe_death(member)


def _describe_death(member: _Member) -> BaseException | None:
    """Find the reason for which a process ended without a report; None if it ended well."""
    status = member.process.exitcode
    if not status:
        return None
    if -status in STOP_SIGNALS:  # a second one, which ends at once
        return StoppedBySignal(-status)
    if status < 0:
        name = signal.Signals(-status).name
        advice = " (memory may have run out)" if -status == signal.SIGKILL else ""
        return InputError(f"process {member.rank} of the run was killed by {name}{advice}")
    return ProcessFailed(f"process {member.rank} of the run ended with status {status}")


def _is_consequence(failure: BaseException) -> int:
    """Rank failures: 0 tells a cause, more may be the consequence of another process's failure."""
    return 2 if isinstance(failure, FailedElsewhere) else int(isinstance(failure, ProcessFailed))


def _pass_on(members: Sequence[_Member], number: int) -> None:
    for member in members:
        if member.process.is_alive() and member.process.pid is not None:
            os.kill(member.process.pid, number)


@contextmanager
def _not_interrupted() -> Iterator[None]:
    """Start processes that ignore Ctrl-C until they are ready for it."""
    before = signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
