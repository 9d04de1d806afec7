"""Jobs that wait for each other, several at a time."""

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from medmask.errors import InputError

Job = TypeVar("Job")
Result = TypeVar("Result")


def do_jobs(
    jobs: Iterable[Job],
    work: Callable[[Job], Result],
    *,
    at_once: int,
    may_begin: Callable[[Job], bool],
    on_result: Callable[[Job, Result], None],
    on_failure: Callable[[Job, InputError], None],
) -> None:
    """Do jobs in threads, each as soon as what it waits for is there.

    Args:
        jobs: in the order in which they begin, where several may.
        work: does a job, in a thread of its own.
        at_once: how many threads there are.
        may_begin: tells whether a job's turn has come; asked again whenever another has ended.
        on_result: called, in this thread, when a job has ended well.
        on_failure: called, in this thread, when a job has failed.

    Raises:
        InputError: the first failure; jobs that did not wait for it are done all the same.
    """
    waiting = list(jobs)
    running: dict[Future[Result], Job] = {}
    failures: list[InputError] = []
    with ThreadPoolExecutor(at_once) as pool:
        while True:
            ready = [job for job in waiting if may_begin(job)]
            for job in ready[: at_once - len(running)]:
                waiting.remove(job)
                running[pool.submit(work, job)] = job
            if not running:  # what waits still, waits for a job that failed
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job = running.pop(future)
                try:
                    result = future.result()
                except InputError as error:
                    failures.append(error)
                    on_failure(job, error)
                else:
                    on_result(job, result)
    if failures:
        raise failures[0]
