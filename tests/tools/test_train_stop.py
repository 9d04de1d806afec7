"""Training that is stopped, or cannot go on, saves its last complete step; nothing is lost."""

import copy
import re
import shutil
import signal
import subprocess
import sys

import pytest
import torch

CONFIG = "phantom/source_only.py"
# what needs the random generators' state in the checkpoint
DROPOUT = "model.transformer.dropout=0.1"


OPTIONS = (DROPOUT, "train.max_iter=6", "train.checkpointer.period=100")


@pytest.fixture(scope="module")
def command(training_runs):
    """Builds the command line of six iterations that save on the way out only."""
    return lambda output, *more: training_runs.command(CONFIG, output, *OPTIONS, *more)


@pytest.fixture(scope="module")
def whole(training_runs, command, tmp_path_factory):
    """The folder of a run without a stop."""
    folder = tmp_path_factory.mktemp("whole")
    done = training_runs.run(command(folder))
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("SIGTERM", 143),
        pytest.param("SIGINT", 130, marks=pytest.mark.slow),
        pytest.param("SIGHUP", 129, marks=pytest.mark.slow),
    ],
)
def test_signal_stops_after_a_complete_step(training_runs, command, whole, tmp_path, name, status):
    order = command(tmp_path)
    process = training_runs.start(order)
    training_runs.wait_for_iteration(process, tmp_path, 1)
    process.send_signal(getattr(signal, name))
    _, words = process.communicate(timeout=300)
    assert process.returncode == status, words
    saved = re.fullmatch(
        f"stopped by {name}: (\\d) of 6 iterations are done and saved; "
        "--resume goes on from there\n",
        words,
    )
    assert saved, words
    assert (tmp_path / f"model_{int(saved[1]) - 1:07}.pth").exists()
    again = training_runs.run([*order, "--resume"])
    assert again.returncode == 0, again.stderr
    training_runs.check_same(tmp_path, whole)


def test_broken_image_costs_no_complete_step(training_runs, command, whole, tmp_path, datasets):
    """The image of a later step is broken, mended, and the run goes on."""
    root = tmp_path / "datasets"
    shutil.copytree(datasets, root)
    images = sorted((root / "phantom/film").rglob("*train*/*.png"))
    assert len(images) == 12
    broken, content = images[0], images[0].read_bytes()
    broken.write_bytes(content[: len(content) // 2])
    output = tmp_path / "output"
    order = command(output)
    runs = copy.copy(training_runs)
    runs.environment = runs.environment | {"DETECTRON2_DATASETS": str(root)}
    stopped = runs.run(order)
    assert stopped.returncode == 2
    assert broken.name in stopped.stderr
    assert stopped.stderr.count("\n") == 1
    checkpoint = torch.load(next(output.glob("model_0*.pth")), weights_only=True)
    assert f"Saved the {checkpoint['iteration'] + 1} of 6 iterations" in stopped.stdout
    broken.write_bytes(content)
    again = runs.run([*order, "--resume"])
    assert again.returncode == 0, again.stderr
    training_runs.check_same(output, whole)


def test_run_that_cannot_start_does_not_cost_the_run_that_it_would_replace(
    training_runs, command, whole, tmp_path
):
    output, weights = tmp_path / "output", tmp_path / "weights.pth"
    shutil.copytree(whole, output)
    weights.write_bytes(b"no weights")
    before = {x: x.read_bytes() for x in output.rglob("*") if x.is_file()}
    order = command(output, f"train.init_checkpoint={weights}", "--overwrite")
    training_runs.check_refusal(order, "weights.pth cannot be read")
    assert {x: x.read_bytes() for x in output.rglob("*") if x.is_file()} == before


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own; gives the folder and a function that sets its size in MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=11m", "tmpfs", folder]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a file system cannot be mounted here")
    yield (
        folder,
        lambda size: subprocess.run(
            ["mount", "-o", f"remount,size={size}m", folder], check=True, capture_output=True
        ),
    )
    subprocess.run(["umount", folder], check=True)


def test_full_disk_keeps_the_last_checkpoint_that_fits(training_runs, command, whole, small_disk):
    output, resize = small_disk
    order = command(output, "train.checkpointer.period=2")
    stopped = training_runs.run(order)  # the second checkpoint does not fit beside the first
    assert stopped.returncode == 2, stopped.stderr
    assert "no space left on device" in stopped.stderr
    assert str(output) in stopped.stderr
    assert "Traceback" not in stopped.stdout + stopped.stderr
    assert (output / "last_checkpoint").read_text() == "model_0000001.pth"
    assert not list(output.glob(".model_*")), "what was not finished takes space"
    resize(64)
    again = training_runs.run([*order, "--resume"])
    assert again.returncode == 0, again.stderr
    training_runs.check_same(output, whole)
