"""Several processes of a run fail, stop and end together."""

import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

from medmask.data.sample_stream import SampleStream

CONFIG = "phantom/source_only.py"
OPTIONS = (
    "model.transformer.dropout=0.1",
    "train.max_iter=6",
    "train.checkpointer.period=100",
    "train.seed=0",
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")


def children_of(process):
    """Ids of the processes that a process started, and those that they started."""
    children = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        for child in task.read_text().split():
            children += [int(child), *children_of(int(child))]
    return children


def wait_until_gone(processes, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        left = [p for p in processes if is_alive(p)]
        if not left:
            return
        time.sleep(0.1)
    raise AssertionError([Path(f"/proc/{p}/cmdline").read_text() for p in left])


def is_alive(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def sentence_of(stderr):
    """The one line by which a run ends; before it there may be warnings of PyTorch's."""
    assert "Traceback" not in stderr
    assert stderr.count("error: ") + stderr.count("stopped by") == 1
    return stderr.splitlines()[-1]


def test_killed_parent_leaves_no_process(training_runs, tmp_path):
    command = training_runs.command(
        CONFIG, tmp_path, *OPTIONS, "dataloader.train.num_workers=2", "train.max_iter=1000"
    )
    process = training_runs.start([*command, "--num-gpus=2"])
    training_runs.wait_for_iteration(process, tmp_path, 1)
    children = children_of(process.pid)
    assert len(children) >= 6  # two processes with two workers each
    process.kill()
    process.communicate()
    wait_until_gone(children, 120)


@pytest.mark.slow
def test_signal_and_broken_image_of_one_process(training_runs, tmp_path, datasets):
    """One sentence, a status, a checkpoint of all; the run goes on to the same end."""
    whole, stopped, broken = (tmp_path / name for name in ("whole", "stopped", "broken"))
    done = training_runs.run([*training_runs.command(CONFIG, whole, *OPTIONS), "--num-gpus=2"])
    assert done.returncode == 0, done.stderr

    command = [*training_runs.command(CONFIG, stopped, *OPTIONS), "--num-gpus=2"]
    process = training_runs.start(command)
    training_runs.wait_for_iteration(process, stopped, 1)
    process.send_signal(signal.SIGTERM)
    _, words = process.communicate(timeout=300)
    assert process.returncode == 143
    assert sentence_of(words).startswith("stopped by SIGTERM: ")
    assert training_runs.run([*command, "--resume"]).returncode == 0
    training_runs.check_same(stopped, whole)

    images = sorted((datasets / "phantom/film").rglob("*train*/*.png"))
    # seen at position 11, the last of the six batches of two: by the second process alone
    order = SampleStream(images, lambda path: {"path": path}, seed=0)
    last = order[11]["path"]
    content = last.read_bytes()
    last.write_bytes(content[: len(content) // 2])
    command = [*training_runs.command(CONFIG, broken, *OPTIONS), "--num-gpus=2"]
    try:
        done = training_runs.run(command)
    finally:
        last.write_bytes(content)
    assert done.returncode == 2
    assert last.name in sentence_of(done.stderr)
    assert (broken / "model_0000004.pth").exists()
    assert training_runs.run([*command, "--resume"]).returncode == 0
    training_runs.check_same(broken, whole)


def test_sentence_of_one_process_is_told_once_under_torchrun(training_runs, tmp_path):
    launcher = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    command = training_runs.command(
        CONFIG, tmp_path, *OPTIONS, "dataloader.train.total_batch_size=3", launcher=launcher
    )
    done = training_runs.run(command)
    assert done.returncode == 1  # torchrun's own
    assert done.stderr.count("error: ") == 1
    shutil.rmtree(tmp_path)
