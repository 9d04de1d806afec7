import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from medmask.utils.openmp import busy_elsewhere, choose_num_threads, is_shared, usable_cores

ROOT = Path(__file__).parents[2]


def policy_of_child(imports, **environment):
    """What OpenMP's runtime sees when PyTorch loads it."""
    program = f"import {imports}, os; print(os.environ.get('OMP_WAIT_POLICY'))"
    clean = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    result = subprocess.run(
        [sys.executable, "-c", program],
        env=clean | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.strip()


@contextlib.contextmanager
def busy_processes(count):
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.skipif(not Path("/proc/loadavg").exists(), reason="looks at the load in /proc")
@pytest.mark.skipif(usable_cores() < 2, reason="one thread waits for no other")
def test_threads_sleep_beside_busy_processes_unless_the_user_says_otherwise():
    with busy_processes(os.cpu_count()):
        # the policy is set before any other module of the package is imported
        assert policy_of_child("medmask.utils.openmp") == "PASSIVE"
        assert policy_of_child("medmask.utils.openmp", OMP_WAIT_POLICY="ACTIVE") == "ACTIVE"
        assert policy_of_child("medmask.utils.openmp", GOMP_SPINCOUNT="1000") == "None"


@pytest.mark.parametrize(
    ("busy", "usable", "cores", "expected"),
    [
        (0, 2, 2, False),
        (1, 2, 2, True),
        (1, 1, 1, False),  # one thread waits for no other
        (3, 4, 8, False),
        (5, 4, 8, True),
    ],
)
def test_cores_are_shared_where_more_threads_want_to_run(busy, usable, cores, expected):
    assert is_shared(busy, usable, cores) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0.5 0.4 0.3 4/812 1234\n", 3), ("0.5 0.4 0.3 0/812 1\n", 0), ("odd", 0), ("a b c d", 0)],
)
def test_busy_threads_are_those_of_others(tmp_path, text, expected):
    file = tmp_path / "loadavg"
    file.write_text(text)
    assert busy_elsewhere(file) == expected
    assert busy_elsewhere(tmp_path / "absent") == 0


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("150000 100000", 2), ("1000 100000", 1), ("max 100000", None), ("nonsense", None)],
)
def test_quota_of_a_container_limits_the_cores(tmp_path, monkeypatch, quota, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    file = tmp_path / "cpu.max"
    file.write_text(quota)
    assert usable_cores(file) == (expected or 8)


def test_processes_of_a_run_share_the_cores(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    cores = usable_cores()
    assert choose_num_threads(cores + 1) == cores
    assert choose_num_threads(1) == 1
    assert choose_num_threads(cores, processes=10_000) == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert choose_num_threads(3, processes=2) == 3
