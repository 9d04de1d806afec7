"""Metrics of a run on their way to trackers, none of which can harm it."""

import logging
import threading
import time
from pathlib import Path

import pytest
from detectron2.utils.events import EventStorage

from medmask.engine.tracking.tracked_run import TrackedRun
from medmask.engine.tracking.tracker import Tracker
from medmask.engine.tracking.writer import TrackingWriter

RUN = TrackedRun("0123456789abcdef", Path("output/here"), {"train": {"seed": 3}}, {})
MAX_ITER = 6


class Recorder(Tracker):
    name = "recorder"

    def __init__(self, fails_in=None):
        self.fails_in, self.calls = fails_in, []

    def _take(self, method, *arguments):
        if method == self.fails_in:
            raise ConnectionError("no route\nto host")
        self.calls.append((method, *arguments))

    def open(self, run):
        self._take("open", run.id)

    def log(self, metrics, iteration):
        self._take("log", dict(metrics), iteration)

    def close(self, finished):
        self._take("close", finished)


def train(writer, start=0, stop=MAX_ITER, **metrics):
    with EventStorage(start) as storage:
        for storage.iter in range(start, stop):
            storage.put_scalar("total_loss", storage.iter / 4)
            writer.write()
        writer.close()


def test_a_tracker_gets_each_metric_once_in_order():
    tracker = Recorder()
    train(TrackingWriter(tracker, RUN, MAX_ITER))
    logged = [("log", {"total_loss": i / 4}, i) for i in range(MAX_ITER)]
    assert tracker.calls == [("open", RUN.id), *logged, ("close", True)]


def test_a_run_that_stops_early_is_not_finished():
    tracker = Recorder()
    train(TrackingWriter(tracker, RUN, MAX_ITER), stop=3)
    assert tracker.calls[-1] == ("close", False)


def test_a_resumed_run_hands_over_what_the_one_before_owed_and_no_more():
    tracker = Recorder()
    past = {"total_loss": (0.5, 2), "froc/R@0.3": (0.75, 3), "undefined": (None, 3)}
    train(TrackingWriter(tracker, RUN, MAX_ITER, past=past, last_iter=2), start=4, stop=5)
    assert tracker.calls[1:-1] == [
        ("log", {"froc/R@0.3": 0.75}, 3),
        ("log", {"total_loss": 1.0}, 4),
    ]


def test_metrics_that_are_not_finite_are_left_out():
    tracker = Recorder()
    writer = TrackingWriter(tracker, RUN, MAX_ITER)
    with EventStorage(0) as storage:
        storage.put_scalars(loss=1.0, undefined=float("nan"), endless=float("inf"))
        writer.write()
        writer.close()
    assert tracker.calls[1] == ("log", {"loss": 1.0}, 0)


@pytest.mark.parametrize("method", ["open", "log", "close"])
def test_a_tracker_that_fails_costs_one_warning(method, caplog):
    with caplog.at_level(logging.WARNING):
        train(TrackingWriter(Recorder(fails_in=method), RUN, MAX_ITER))
    assert caplog.messages == [
        "The tracker recorder failed (ConnectionError: no route to host): the run goes on without "
        "it, and all metrics are in output/here/metrics.json"
    ]


def test_a_tracker_that_hangs_costs_the_closing_time_and_one_warning(caplog):
    released = threading.Event()

    class Hanging(Recorder):
        def log(self, metrics, iteration):
            released.wait(60)
            raise ConnectionError("at last")

    writer = TrackingWriter(Hanging(), RUN, MAX_ITER, closing_seconds=0.2)
    start = time.monotonic()
    with caplog.at_level(logging.WARNING):
        train(writer)
        assert time.monotonic() - start < 10
        released.set()
        writer._thread.join()
    assert len(caplog.messages) == 1
    assert "has not taken all metrics within" in caplog.messages[0]


def test_a_run_that_writes_nothing_opens_nothing():
    tracker = Recorder()
    TrackingWriter(tracker, RUN, MAX_ITER).close()
    assert tracker.calls == []
