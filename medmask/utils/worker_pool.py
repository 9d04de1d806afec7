"""Calling a function for many tasks in worker processes."""

import multiprocessing
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

import cv2

from medmask.errors import InputError
from medmask.utils.parent_process import become_worker

Task = TypeVar("Task")
Result = TypeVar("Result")


def map_in_processes(
    function: Callable[[Task], Result], tasks: Sequence[Task], workers: int, *, chunk: int = 1
) -> Generator[Result, None, None]:
    """Call a function for each task, by worker processes if there is more than one.

    The processes end with this one, even if it is killed.

    Args:
        function: of a module, so that it can be sent to a process.
        tasks: likewise.
        workers: processes. More than one asks that the calling script is importable
            (``if __name__ == "__main__":``).
        chunk: tasks that are sent at a time.

    Yields:
        The results, in the order of the tasks.

    Raises:
        InputError: a worker process died.
    """
    if workers == 1:
        yield from map(function, tasks)
        return
    # Forking a process that runs the threads of PyTorch or OpenCV can hang the child.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([function.__module__])
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_init_worker)
    try:
        yield from pool.map(function, tasks, chunksize=chunk)
    except BrokenProcessPool as error:
        raise InputError(
            "a worker process died, perhaps for lack of memory: run the same again, with fewer "
            f"workers than {workers}"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _init_worker() -> None:
    become_worker()
    cv2.setNumThreads(1)  # the processes share the cores already
