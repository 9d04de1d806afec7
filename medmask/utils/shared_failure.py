"""Failing together: an error that all processes of a run raise at the same place.

A process that raises alone leaves the others waiting for it in their next exchange. What is raised
by all of them leaves them in step, so that they can save a checkpoint together.
"""

from collections.abc import Sequence
from typing import Any

from detectron2.utils import comm

from medmask.errors import InputError
from medmask.utils.failures import describe_failure
from medmask.utils.signals import StoppedBySignal

_SHARED = "is_shared_by_all_processes"


class FailedElsewhere(RuntimeError):
    """Another process of the run failed; that one tells why."""


def tell_everybody(message: Any) -> list[Any]:
    """Gather the messages of all processes; every process must call this."""
    return [message] if comm.get_world_size() == 1 else comm.all_gather(message)


def to_message(failure: BaseException | None) -> BaseException | None:
    """The failure of this process as other processes can read it."""
    if failure is None or isinstance(failure, InputError | StoppedBySignal):
        return failure
    known = describe_failure(failure)
    if known is None:
        return FailedElsewhere(f"process {comm.get_rank()} failed: {failure!r}")
    return InputError(known.sentence.removeprefix("error: "))


def choose_shared(
    own: BaseException | None, messages: Sequence[BaseException | None]
) -> BaseException | None:
    """Choose the exception that every process raises.

    Args:
        own: the failure of this process.
        messages: of all processes, by :func:`to_message`, exchanged.

    Returns:
        ``own`` if there is one, else the first of the others; None if no process failed. Errors
        come before signals. :func:`is_shared` knows it again.
    """
    failures = sorted(
        (message for message in messages if message is not None),
        key=lambda failure: isinstance(failure, StoppedBySignal),
    )
    if not failures:
        return None
    failure = failures[0] if own is None else own
    setattr(failure, _SHARED, True)
    return failure


def raise_together(own: BaseException | None) -> None:
    """Raise in all processes if any has a failure; every process must call this."""
    failure = choose_shared(own, tell_everybody(to_message(own)))
    if failure is not None:
        raise failure


def is_shared(failure: BaseException | None) -> bool:
    """Tell whether all processes raise it, as a single one does with any failure."""
    return comm.get_world_size() == 1 or getattr(failure, _SHARED, False)
