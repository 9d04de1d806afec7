"""Failures that wait for the end of a step."""

import signal

import pytest

from medmask.engine.step_failures import StepFailures
from medmask.engine.stop_request import StopRequest
from medmask.utils.signals import StoppedBySignal


def test_work_does_not_begin_after_a_signal():
    request = StopRequest()
    request.number = signal.SIGTERM
    failures, done = StepFailures(request), []
    failures.run_interruptible(lambda: done.append(1))
    assert not done
    with pytest.raises(StoppedBySignal):
        failures.raise_after_step(is_last=True)


def test_error_of_interruptible_work_waits_for_the_end_of_the_step():
    failures = StepFailures(StopRequest())
    failures.run_interruptible(lambda: next(iter(())))
    with pytest.raises(StopIteration):
        failures.raise_after_step(is_last=True)
