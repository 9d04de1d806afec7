"""What a run tells while it trains: the progress line, metrics.json and TensorBoard."""

import datetime
import json
import logging
import resource
import sys
from pathlib import Path

import torch
from detectron2.utils.events import (
    EventWriter,
    JSONWriter,
    TensorboardXWriter,
    get_event_storage,
)

from medmask.utils.files import atomic_write

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


def build_writers(output_dir: str, start_iter: int, max_iter: int) -> list[EventWriter]:
    """The writers of a run that starts, or goes on, at ``start_iter``.

    Files hold the values of single iterations, not smoothed ones. What a run wrote after its last
    checkpoint before it died is dropped, because the resumed run writes it again.
    """
    metrics = Path(output_dir) / METRICS_FILE
    truncate_metrics(metrics, start_iter)
    return [
        ProgressLine(max_iter),
        JSONWriter(str(metrics), window_size=1),
        TensorboardXWriter(output_dir, window_size=1, purge_step=start_iter),
    ]


def truncate_metrics(path: Path, start_iter: int) -> None:
    """Keep the lines of a metrics file that are complete and earlier than ``start_iter``."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            iteration = json.loads(line)["iteration"]
        except (json.JSONDecodeError, KeyError):
            continue  # cut off when the process died
        if iteration < start_iter:
            kept.append(line + "\n")
    with atomic_write(path, "w") as file:
        file.writelines(kept)
