"""Runs a function or a tool in a child process that can neither hang, nor fill the memory, nor
take the tests with it when it dies."""

import contextlib
import faulthandler
import os
import pickle
import resource
import runpy
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path
from typing import Any, NoReturn

import cv2
import torch

from medmask.errors import InputError

ROOT = Path(__file__).parents[2]
SECONDS = 120.0
MEMORY_MIB = 3000.0
"""Address space that a case may take beyond that of the tests."""
_POLL_SECONDS = 0.002


@dataclass(frozen=True)
class Outcome:
    """The end of a case.

    Attributes:
        status: exit status; of a function 0, or 2 where it raised an InputError and 1 where it
            raised anything else; negative: the signal that killed the child; None: it ran longer
            than it was allowed to.
        value: what a function returned.
        error: the message of an InputError, or the traceback of any other error.
        output: what was written to stdout.
        errors: what was written to stderr.
        seconds: how long it took.
        peak_mib: the most memory that the child held.
    """

    status: int | None
    value: Any
    error: str
    output: str
    errors: str
    seconds: float
    peak_mib: float

    @property
    def is_refused(self) -> bool:
        """True if the case ended as bad input has to: status 2, a sentence, no traceback."""
        text = self.error or self.errors
        return self.status == 2 and bool(text.strip()) and "Traceback" not in self.errors

    @property
    def is_accepted(self) -> bool:
        """True if the case ended well."""
        return self.status == 0 and "Traceback" not in self.errors

    def describe(self) -> str:
        """The outcome for a test's message."""
        how = "ran out of time" if self.status is None else f"status {self.status}"
        return f"{how}, {self.seconds:.1f} s, {self.peak_mib:.0f} MiB\n{self.error}\n{self.errors}"


def call(
    function: Callable[..., Any],
    *arguments: Any,
    seconds: float = SECONDS,
    memory_mib: float = MEMORY_MIB,
) -> Outcome:
    """Call a function in a child process; what it returns must be picklable."""
    return _fork(lambda: function(*arguments), seconds, memory_mib)


def run_tool(
    name: str,
    *options: object,
    folder: str | os.PathLike = ROOT,
    environment: Mapping[str, str] | None = None,
    seconds: float = SECONDS,
    memory_mib: float = MEMORY_MIB,
) -> Outcome:
    """Run ``tools/<name>`` as a user does, but with everything imported already.

    Args:
        name: file name of the tool.
        options: its command line.
        folder: where it runs.
        environment: variables that it gets besides those of the tests.
        seconds: after which it is killed.
        memory_mib: that it may allocate.
    """
    arguments = [str(ROOT / "tools" / name), *map(str, options)]

    def work() -> None:
        os.chdir(folder)
        os.environ.update(environment or {})
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name="__main__")

    return _fork(work, seconds, memory_mib)


def assert_refused(outcome: Outcome, *words: str) -> None:
    """Bad input: one sentence that holds the words, status 2, no traceback."""
    assert outcome.is_refused, outcome.describe()
    for word in words:
        assert word in (outcome.error or outcome.errors), outcome.describe()


def assert_accepted(outcome: Outcome) -> Any:
    """Good input; returns what the function returned."""
    assert outcome.is_accepted, outcome.describe()
    return outcome.value


def _fork(work: Callable[[], Any], seconds: float, memory_mib: float) -> Outcome:
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
        sys.stdout.flush()
        sys.stderr.flush()
        start = time.monotonic()
        child = os.fork()
        if child == 0:
            _work_and_exit(work, files, memory_mib)
        status, usage = _wait(child, start + seconds)
        output, errors, result = (_content(file) for file in files)
        value, error = pickle.loads(result) if result else (None, "")
        return Outcome(
            status=status,
            value=value,
            error=error,
            output=output.decode(errors="replace"),
            errors=errors.decode(errors="replace"),
            seconds=time.monotonic() - start,
            peak_mib=usage.ru_maxrss / 1024,
        )


def _wait(child: int, deadline: float) -> tuple[int | None, resource.struct_rusage]:
    """Wait for a child and kill it, with what it has started, at the deadline."""
    while time.monotonic() < deadline:
        ended, status, usage = os.wait4(child, os.WNOHANG)
        if ended:
            _kill_group(child)
            return os.waitstatus_to_exitcode(status), usage
        time.sleep(_POLL_SECONDS)
    _kill_group(child)
    return None, os.wait4(child, 0)[2]


def _kill_group(child: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)


def _content(file: Any) -> bytes:
    file.seek(0)
    return file.read()


def _work_and_exit(work: Callable[[], Any], files: Sequence[Any], memory_mib: float) -> NoReturn:
    """The child: never returns into the tests."""
    status, value, error = 1, None, ""
    try:
        os.setpgid(0, 0)
        output, errors, result = files
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output.fileno(), 1)
        os.dup2(errors.fileno(), 2)
        # pytest has put objects of its own there
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        faulthandler.disable()  # the tests' own, which would write into their output
        # a forked child has none of its parent's threads, and would wait for them for ever
        os.environ["OMP_NUM_THREADS"] = "1"
        torch.set_num_threads(1)
        cv2.setNumThreads(0)
        # its parent's server of workers is no child of its own, which it would wait for in vain
        forkserver._forkserver._forkserver_pid = None
        limit = _address_space() + int(memory_mib * 2**20)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        try:
            value, status = work(), 0
        except SystemExit as stop:
            status = _exit_status(stop)
        except InputError as refusal:
            error, status = str(refusal), 2
        except BaseException:
            error = traceback.format_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        result.write(pickle.dumps((value, error)))
        result.flush()
    except BaseException:
        traceback.print_exc()
        status = 1
    finally:
        os._exit(status)


def _exit_status(stop: SystemExit) -> int:
    if stop.code is None or isinstance(stop.code, int):
        return stop.code or 0
    print(stop.code, file=sys.stderr)
    return 1


def _address_space() -> int:
    """Bytes of address space that this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()
