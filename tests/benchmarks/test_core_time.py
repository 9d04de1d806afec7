"""The clock of a training's cores."""

import multiprocessing
import time

import pytest
from real_mammograms.core_time import CoreTime


def compute(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_waiting_does_not_count():
    clock = CoreTime(cores=1)
    time.sleep(0.3)
    assert clock.seconds() < 0.2


@pytest.mark.parametrize("cores", [1, 2])
def test_computing_counts_by_the_cores_there_are(cores):
    clock = CoreTime(cores)
    compute(0.3)
    assert 0.3 / cores <= clock.seconds() < 0.5 / cores


def compute_and_stay(event):
    compute(0.3)
    event.set()
    time.sleep(60)


def test_workers_count():
    context = multiprocessing.get_context("fork")
    event = context.Event()
    clock = CoreTime(cores=1)
    worker = context.Process(target=compute_and_stay, args=(event,), daemon=True)
    worker.start()
    try:
        assert event.wait(60)
        assert clock.seconds() > 0.25
    finally:
        worker.kill()
        worker.join()
