"""The description of the environment that reports of faults carry."""

import os
import subprocess
import sys
from pathlib import Path

from medmask.layers import available_implementations
from medmask.version import __version__

ROOT = Path(__file__).parents[1]


def describe(**environment: str) -> dict[str, str]:
    """What the module prints, row by row."""
    done = subprocess.run(
        [sys.executable, "-m", "medmask.collect_env"],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    rows = (line.partition("  ") for line in done.stdout.splitlines())
    return {name: value.strip() for name, _, value in rows}


def test_rows(datasets):
    home = str(datasets.parent)
    rows = describe(DETECTRON2_DATASETS=str(datasets), HOME=home, OMP_NUM_THREADS="1")
    assert rows["medmask"] == __version__
    assert rows["deformable attention"] == ", ".join(available_implementations())
    assert ("not built" in rows["its CUDA kernels"]) != ("cuda" in available_implementations())
    assert rows["OMP_NUM_THREADS"] == rows["PyTorch's threads"] == "1"
    assert rows["DETECTRON2_DATASETS"] == f"~/{datasets.name}"
    assert rows["data sets there"] == (
        "phantom_ffdm_train, phantom_ffdm_val, phantom_film_train, phantom_film_val"
    )
    for package in ("pydicom", "open_clip_torch", "DICOM decoders", "PyTorch", "numpy", "Python"):
        assert rows[package], package


def test_commit_is_that_of_the_clone():
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    )
    expected = done.stdout.strip() if done.returncode == 0 else "not in a clone"
    assert describe()["commit"].removesuffix(", with changes") == expected
