"""Progress of a run that trains: the line in the log, metrics.json and TensorBoard."""

import contextlib
import datetime
import json
import logging
import os
import resource
import sys
from pathlib import Path

import torch
from detectron2.engine import hooks
from detectron2.utils.events import EventWriter, TensorboardXWriter, get_event_storage
from omegaconf import DictConfig

from medmask.engine.metric_values import Metrics, metrics_after
from medmask.engine.tracking import build_tracking_writers
from medmask.utils.files import atomic_write, errors_name

logger = logging.getLogger(__name__)

METRICS_FILE = "metrics.json"


class ProgressLine(EventWriter):
    """Logs iteration, estimated time left, losses, learning rate, speed and memory."""

    def __init__(self, max_iter: int, window_size: int = 20):
        """Create the writer.

        Args:
            max_iter: iterations of the whole run.
            window_size: losses are medians over so many iterations.
        """
        self.max_iter = max_iter
        self.window_size = window_size

    def write(self) -> None:
        storage = get_event_storage()
        if storage.iter >= self.max_iter:
            return
        fields = [f"iteration {storage.iter + 1}/{self.max_iter}"]
        histories = storage.histories()
        if "time" in histories:  # not in the first few iterations, which are no measure
            left = histories["time"].median(1000) * (self.max_iter - storage.iter - 1)
            fields.append(f"left {datetime.timedelta(seconds=int(left))}")
        for name, history in histories.items():
            if "loss" in name:
                samples = storage.count_samples(name, self.window_size)
                fields.append(f"{name} {history.median(samples):.4g}")
        if "lr" in histories:
            fields.append(f"lr {histories['lr'].latest():.3g}")
        if "time" in histories:
            seconds = histories["time"].avg(storage.count_samples("time", self.window_size))
            waiting = histories["data_time"].avg(self.window_size)
            fields.append(f"{seconds:.3f} s/iteration ({waiting:.3f} waiting for data)")
        fields.append(f"memory {_peak_memory_mib():.0f} MiB")
        logger.info("  ".join(fields))


def _peak_memory_mib() -> float:
    """Largest memory so far: of the GPU if there is one, else of this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


class MetricsFile(EventWriter):
    """Appends the latest values to a file, one JSON object a line and iteration.

    Values are those of single iterations, not smoothed ones; what is not finite is null.
    """

    def __init__(self, path: Path, start_iter: int, past: Metrics | None = None) -> None:
        """Open the file for a run that starts, or goes on, at ``start_iter``.

        Args:
            path: of the file.
            start_iter: lines of this iteration and later ones are dropped.
            past: the latest values of the run that is resumed.
        """
        self.path = path
        self._past = past or {}
        self.last_iter = truncate_metrics(path, start_iter)
        with errors_name(path):
            self._file = path.open("a")

    def write(self) -> None:
        with errors_name(self.path):
            for iteration, values in metrics_after(self.last_iter, self._past).items():
                line = json.dumps(values | {"iteration": iteration}, sort_keys=True)
                self._file.write(line + "\n")
                self.last_iter = iteration
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        with errors_name(self.path):
            self._file.close()


class MetricWriters(hooks.PeriodicWriter):
    """Writes every ``period`` iterations and after the last one.

    A run that is resumed from a checkpoint first writes what the one before owed when it died
    between that checkpoint and its metrics; what a run that ends early has not written yet, it
    leaves to the one that resumes it. So the metrics of a run with stops are those of one without.
    """

    def before_train(self) -> None:
        done, storage = self.trainer.start_iter, self.trainer.storage
        if done and (done % self._period == 0 or done >= self.trainer.max_iter):
            storage.iter = done - 1
            for writer in self._writers:
                writer.write()
            storage.iter = done

    def after_step(self) -> None:
        with self.trainer.failing_after_step():
            super().after_step()

    def after_train(self) -> None:
        if self.trainer.iter >= self.trainer.max_iter:
            super().after_train()
            return
        for writer in self._writers:
            with contextlib.suppress(OSError):  # it is not the first
                writer.close()


def build_writers(
    config: DictConfig, start_iter: int, past: Metrics | None = None, *, resume: bool = False
) -> list[EventWriter]:
    """Build the writers of a run that starts, or goes on, at ``start_iter``.

    Files hold the values of single iterations, not smoothed ones. What a run wrote after its last
    checkpoint before it died is dropped, because the resumed run writes it again.

    Args:
        config: of the run.
        start_iter: its first iteration.
        past: the latest values of the run that is resumed.
        resume: trackers go on with the run that they know from this folder.
    """
    output_dir, max_iter = config.train.output_dir, config.train.max_iter
    file = MetricsFile(Path(output_dir) / METRICS_FILE, start_iter, past)
    return [
        ProgressLine(max_iter),
        file,
        TensorboardXWriter(output_dir, window_size=1, purge_step=start_iter),
        *build_tracking_writers(config, past, file.last_iter, resume=resume),
    ]


def truncate_metrics(path: Path, start_iter: int) -> int:
    """Keep the lines of a metrics file that are complete and earlier than ``start_iter``.

    Returns:
        The last iteration in the file; -1 if there is none.
    """
    if not path.exists():
        return -1
    kept, last = [], -1
    for line in path.read_text(errors="replace").splitlines():
        try:
            iteration = json.loads(line)["iteration"]
        except (json.JSONDecodeError, KeyError, TypeError):
            continue  # cut off when the process died
        if iteration < start_iter:
            kept.append(line + "\n")
            last = iteration
    with atomic_write(path, "w") as file:
        file.writelines(kept)
    return last
