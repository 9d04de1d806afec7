"""Writer that hands metrics to a tracker, beside the training and without a say in it."""

import logging
import queue
import threading
from collections.abc import Mapping

from detectron2.utils.events import EventWriter

from medmask.engine.metric_values import Metrics, metrics_after
from medmask.engine.tracking.tracked_run import TrackedRun
from medmask.engine.tracking.tracker import Tracker
from medmask.utils.failures import one_line

logger = logging.getLogger(__name__)

CLOSING_SECONDS = 60.0
"""Time at the end of a run in which a tracker may send what it has not sent."""

PATIENCE_SECONDS = 2.0
"""Time after which the log says what the end of the run waits for."""

_END = None


class TrackingWriter(EventWriter):
    """Hands metrics over to a thread that calls the tracker.

    A server that is slow does not slow the training, and one that fails costs one warning: the
    run goes on without it. What is not finite is left out.
    """

    def __init__(
        self,
        tracker: Tracker,
        run: TrackedRun,
        max_iter: int,
        *,
        past: Metrics | None = None,
        last_iter: int = -1,
        closing_seconds: float = CLOSING_SECONDS,
    ) -> None:
        """Create the writer; the tracker is opened when the first metrics are written.

        Args:
            tracker: receives the metrics.
            run: the run.
            max_iter: iterations of the whole run.
            past: the latest values of the run that is resumed.
            last_iter: the last iteration of which metrics were written before.
            closing_seconds: time that the tracker may take at the end.
        """
        self._tracker, self._run, self._max_iter = tracker, run, max_iter
        self._past, self._last_iter = past or {}, last_iter
        self._closing_seconds = closing_seconds
        self._queue: queue.SimpleQueue[tuple[int, Mapping[str, float]] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._has_warned = False

    def write(self) -> None:
        if self._thread is None:
            # a daemon: a tracker that hangs does not keep the process
            self._thread = threading.Thread(target=self._work, name=self._tracker.name, daemon=True)
            self._thread.start()
        for iteration, values in metrics_after(self._last_iter, self._past).items():
            self._last_iter = iteration
            if self._thread.is_alive():
                finite = {name: value for name, value in values.items() if value is not None}
                self._queue.put((iteration, finite))

    def close(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            return
        self._queue.put(_END)
        patience = min(PATIENCE_SECONDS, self._closing_seconds)
        self._thread.join(patience)
        if self._thread.is_alive():
            seconds = f"{self._closing_seconds:.0f} s"
            logger.info(f"Waiting up to {seconds} for {self._tracker.name} to take all metrics.")
            self._thread.join(self._closing_seconds - patience)
            if self._thread.is_alive():
                self._warn(f"has not taken all metrics within {seconds}")

    def _work(self) -> None:
        try:
            self._tracker.open(self._run)
            for iteration, metrics in iter(self._queue.get, _END):
                self._tracker.log(metrics, iteration)
            self._tracker.close(finished=self._last_iter + 1 >= self._max_iter)
        except Exception as error:  # of any kind: it is another project's code
            reason = one_line(error)[:300]
            self._warn(f"failed ({type(error).__name__}: {reason})")

    def _warn(self, what: str) -> None:
        if self._has_warned:
            return
        self._has_warned = True
        logger.warning(
            f"The tracker {self._tracker.name} {what}: the run goes on without it, and all metrics "
            f"are in {self._run.output_dir / 'metrics.json'}"
        )
