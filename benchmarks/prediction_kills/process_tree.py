"""`medmask predict` as a group of processes that is killed at once."""

import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from medmask.commands.main import main as command_line
from medmask.errors import InputError
from medmask.inference import predictor  # noqa: F401  for the processes that are forked


class ProcessTree:
    """`medmask predict` with all processes that it starts, as a group of its own.

    It is forked from this process, which has imported everything: a start costs no seconds, and
    kills meet it at its work.
    """

    def __init__(self, arguments: Sequence[str], log: Path) -> None:
        """Start it.

        Args:
            arguments: of the command.
            log: what it prints is appended there.
        """
        self.start, self._log = time.monotonic(), log
        self._status: int | None = None
        self._process = os.fork()
        if self._process == 0:
            _become_command(arguments, log)

    @property
    def status(self) -> int | None:
        """None as long as it runs."""
        if self._status is None:
            process, status = os.waitpid(self._process, os.WNOHANG)
            if process:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status

    def wait(self) -> None:
        """Wait for an end that has to be good."""
        while self.status is None:
            time.sleep(0.01)
        self.check()

    def check(self) -> None:
        """Refuse another end than a good one."""
        if self.status != 0:
            raise InputError(f"predict ended with {self.status}: {self._log.read_text()[-2000:]}")

    def kill(self) -> int:
        """Kill all processes at once; returns how many there were."""
        count = len(_processes_of_group(self._process))
        if count:  # before, it has not yet a group of its own
            os.killpg(self._process, signal.SIGKILL)
        else:
            os.kill(self._process, signal.SIGKILL)
        self._status = os.waitstatus_to_exitcode(os.waitpid(self._process, 0)[1])
        while _processes_of_group(self._process):  # none may go on writing
            time.sleep(0.001)
        return max(count, 1)


def _become_command(arguments: Sequence[str], log: Path) -> NoReturn:
    """Go on as the command, in a process that was just forked."""
    os.setsid()
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    status = 1
    try:
        command_line(["predict", *arguments])
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def _processes_of_group(group: int) -> list[str]:
    """Process ids of a group, without those that have ended and wait for their parent."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        if int(fields[2]) == group and fields[0] not in "ZX":
            found.append(path.parent.name)
    return found
