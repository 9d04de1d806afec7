"""Jobs begin in order, when what they wait for is there, and failures keep none of the others."""

import threading

import pytest

from medmask.errors import InputError
from medmask.utils.job_queue import do_jobs


class Jobs:
    """Jobs by name, each of which waits for others; ``failing`` ones fail."""

    def __init__(self, waits_for, failing=()):
        self.waits_for, self.failing = waits_for, failing
        self.results, self.failures, self.begun = {}, {}, []
        self.most_at_once = self.at_once = 0
        self.lock = threading.Lock()

    def work(self, job):
        with self.lock:
            self.begun.append(job)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if job in self.failing:
                raise InputError(f"{job} failed")
            return job.upper()
        finally:
            with self.lock:
                self.at_once -= 1

    def run(self, at_once):
        do_jobs(
            self.waits_for,
            self.work,
            at_once=at_once,
            may_begin=lambda job: self.results.keys() >= set(self.waits_for[job]),
            on_result=self.results.__setitem__,
            on_failure=self.failures.__setitem__,
        )


def test_each_begins_after_what_it_waits_for():
    jobs = Jobs({"late": ["early"], "early": [], "other": []})
    jobs.run(at_once=1)
    assert jobs.begun == ["early", "late", "other"]
    assert jobs.results == {"late": "LATE", "early": "EARLY", "other": "OTHER"}


def test_no_more_at_once_than_asked_for():
    jobs = Jobs({str(number): [] for number in range(8)})
    jobs.run(at_once=2)
    assert len(jobs.results) == 8
    assert jobs.most_at_once <= 2


def test_failure_keeps_only_what_waits_for_it():
    jobs = Jobs({"early": [], "late": ["early"], "other": []}, failing=["early"])
    with pytest.raises(InputError, match="early failed"):
        jobs.run(at_once=1)
    assert jobs.results == {"other": "OTHER"}
    assert jobs.failures.keys() == {"early"}


def test_no_jobs():
    Jobs({}).run(at_once=1)
