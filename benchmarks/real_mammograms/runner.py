"""Running the processes of cells, several at a time, each on cores of its own."""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from medmask.errors import InputError
from medmask.utils.child_tools import ChildTools
from medmask.utils.counts import counted
from medmask.utils.job_progress import JobProgress
from medmask.utils.job_queue import do_jobs
from medmask.utils.openmp import usable_cores
from real_mammograms.cell_config import config_changes
from real_mammograms.cells import AVERAGES, BENCHMARKS, STAGES, Cell, is_ready
from real_mammograms.order import LOG, RECORD, Order, detections_file

_BENCHMARKS_FOLDER = str(Path(__file__).parents[1])


@dataclass(frozen=True)
class Settings:
    """Settings that all cells of a call share."""

    output: Path
    tests: tuple[str, ...] = ()
    """names; the benchmark's first if empty"""
    minutes: float | None = None
    options: tuple[str, ...] = ()
    jobs: int = 1
    yolo: str | None = None
    yolo_weights: str | None = None

    def order(self, cell: Cell, *, is_asked_for: bool, cores: Sequence[int] = ()) -> Order:
        """Build the order for a cell's process; one that is only started from needs no test."""
        tests = self.tests or (next(iter(BENCHMARKS[cell.benchmark].tests)),)
        if not is_asked_for:
            tests = ()
        for test in tests:
            cell.test_set(test)
        _check_options(cell, self.options)
        minutes = None if cell.method in (*STAGES, *AVERAGES) else self.minutes
        return Order(
            cell,
            self.output,
            tests,
            minutes,
            self.options,
            tuple(cores),
            self.yolo,
            self.yolo_weights,
        )


def run_cells(
    cells: Sequence[Cell],
    asked_for: Sequence[Cell],
    settings: Settings,
    report: Callable[[str], None] = print,
) -> None:
    """Train and test what is not done yet.

    Args:
        cells: each after the one that it starts from.
        asked_for: those among them that are tested.
        settings: of all cells.
        report: takes a line on each cell that ends.

    Raises:
        InputError: a cell failed, names its log; or was trained with other settings before. Cells
            that do not need it are done all the same.
        StoppedBySignal: a signal came; what was under way is done again the next time.
    """
    orders = {cell: settings.order(cell, is_asked_for=cell in asked_for) for cell in cells}
    for cell in cells:
        _check_same_training(orders[cell], is_asked_for=cell in asked_for)
    done = [cell for cell in cells if _is_done(orders[cell])]
    waiting = [cell for cell in cells if cell not in done]
    progress = JobProgress(len(waiting), settings.jobs, report)
    free_cores: SimpleQueue[tuple[int, ...]] = SimpleQueue()
    for cores in share_cores(settings.jobs):
        free_cores.put(cores)
    children = ChildTools()

    def work(cell: Cell) -> None:
        cores = free_cores.get()
        try:
            _run(settings.order(cell, is_asked_for=cell in asked_for, cores=cores), children)
        finally:
            free_cores.put(cores)

    def note(cell: Cell, _: None) -> None:
        done.append(cell)
        progress.tell(_describe(orders[cell]))

    with children.passing_signals_on():
        do_jobs(
            waiting,
            work,
            at_once=settings.jobs,
            may_begin=lambda cell: is_ready(cell, done),
            on_result=note,
            on_failure=lambda cell, error: progress.tell(f"{cell.name}: {error}"),
        )


def share_cores(jobs: int) -> list[tuple[int, ...]]:
    """The cores of each of several jobs, as many for each; () where cores cannot be chosen.

    Raises:
        InputError: there are more jobs than cores.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    each = usable_cores() // jobs
    if not each:
        raise InputError(
            f"--jobs is {jobs}, but only {counted(usable_cores(), 'core')} can be used"
        )
    return [tuple(cores[job * each : (job + 1) * each]) for job in range(jobs)]


def _run(order: Order, children: ChildTools) -> None:
    """Have a process carry an order out.

    Raises:
        InputError: it failed.
    """
    path = order.write()
    log = order.folder / LOG
    environment = {
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(len(order.cores), 1))),
        "PYTHONPATH": os.pathsep.join([_BENCHMARKS_FOLDER, *sys.path]),
    }
    with open(log, "a") as file:
        status = children.run(["-m", "real_mammograms.training", str(path)], file, environment)
    if status:
        raise InputError(f"{order.cell.name} failed with status {status}; see {log}")


def _check_options(cell: Cell, options: Sequence[str]) -> None:
    """Refuse settings that would make a cell another one than its name says."""
    decided = {option.partition("=")[0].lstrip("+") for option in cell.options()}
    decided |= {"train.output_dir"} | ({"train.init_checkpoint"} if cell.before else set())
    for option in options:
        key = option.partition("=")[0].lstrip("+")
        if key in decided:
            raise InputError(
                f"--set {option}: {key} is decided by what {cell.name} is; choose it by the other "
                "options, such as --seeds, and leave this one out"
            )


def _is_done(order: Order) -> bool:
    files = [order.folder / RECORD, *(detections_file(order.folder, t) for t in order.tests)]
    return all(file.is_file() for file in files)


def _check_same_training(order: Order, *, is_asked_for: bool) -> None:
    """Check that a cell that is there was trained as it is asked for, by config and start of now.

    One that is only started from may have had settings of its own.
    """
    if not (order.folder / RECORD).is_file():
        return
    record = order.read_record()
    asked = record["asked"]
    if is_asked_for and asked != order.asked():
        raise InputError(
            f"{order.folder} was trained with {asked}, not with {order.asked()}: ask for the same, "
            "or choose another --output"
        )
    if changes := config_changes(order, asked["options"]):
        raise InputError(
            f"{order.folder} was trained before its config changed: {'; '.join(changes)}; delete "
            "it to train again, or choose another --output"
        )
    start = order.start_weights
    is_start_due = start is not None and not (start.parent / RECORD).is_file()
    if order.has_other_start(record, is_start_due=is_start_due):
        raise InputError(
            f"{order.folder} does not go with {start}, as its start "
            f"{'is to be trained again' if is_start_due else 'was trained again since'}: delete "
            "its folder to run again, or choose another --output"
        )


def _describe(order: Order) -> str:
    record = order.read_record()
    return (
        f"{order.cell.name}: {counted(record['steps'], 'step')} in {record['minutes']:.1f} minutes"
    )
