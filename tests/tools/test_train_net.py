"""The training tool as a user runs it: in processes of its own, killed, resumed, distributed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from medmask.data.phantom import PhantomParameters, make_phantom_dataset

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools" / "lazyconfig_train_net.py"
CONFIG = ROOT / "configs" / "medmask" / "phantom" / "source_only.py"


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    root = tmp_path_factory.mktemp("datasets")
    make_phantom_dataset(
        root / "phantom",
        PhantomParameters(width=48, height=64, positive_fraction=0.9),
        split_sizes={"train": 12, "val": 4},
        domains=["film"],
    )
    return root


@pytest.fixture
def command(datasets, monkeypatch):
    """Builds the command line of a short run."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(datasets))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def build(output, *options, launcher=(sys.executable,)):
        return [
            *launcher,
            str(TOOL),
            "--config-file",
            str(CONFIG),
            f"train.output_dir={output}",
            "train.device=cpu",
            "train.log_period=1",
            "train.eval_period=0",
            "train.max_iter=12",
            "train.checkpointer.period=5",
            "dataloader.train.total_batch_size=2",
            "dataloader.train.num_workers=0",
            "dataloader.test.num_workers=0",
            # what needs the random generators' state in the checkpoint
            "model.transformer.dropout=0.1",
            *options,
        ]

    return build


def run(command, **kwargs):
    return subprocess.run(command, capture_output=True, text=True, timeout=600, **kwargs)


def losses(output):
    """{iteration: {name: value}} of a run."""
    lines = [json.loads(line) for line in (output / "metrics.json").read_text().splitlines()]
    return {x["iteration"]: {k: v for k, v in x.items() if "loss" in k} for x in lines}


def kill_at(command, output, iteration):
    """Start a run and kill it without warning once it has written ``iteration``."""
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        metrics = output / "metrics.json"
        if metrics.exists() and f'"iteration": {iteration},' in metrics.read_text():
            os.killpg(process.pid, signal.SIGKILL)
            break
        time.sleep(0.01)
    assert process.wait() == -signal.SIGKILL, "the run ended before it could be killed"


def check_resumed_run_equals_whole_run(command, tmp_path, kill_iteration, *options):
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    assert run(command(whole, *options)).returncode == 0
    kill_at(command(resumed, *options), resumed, kill_iteration)
    assert not (resumed / "model_final.pth").exists()
    # other workers must not change anything
    again = run(command(resumed, *options, "dataloader.train.num_workers=2", "--resume"))
    assert again.returncode == 0, again.stderr

    assert losses(resumed) == losses(whole)
    last = [torch.load(x / "model_final.pth", weights_only=True) for x in (whole, resumed)]
    assert last[0]["iteration"] == last[1]["iteration"]
    for key, value in last[0]["model"].items():
        assert torch.equal(value, last[1]["model"][key]), key


def test_killed_and_resumed_run_repeats_the_whole_run_bit_for_bit(command, tmp_path):
    check_resumed_run_equals_whole_run(command, tmp_path, 7)


@pytest.mark.slow
def test_thirty_steps_killed_and_resumed_to_sixty(command, tmp_path):
    options = ["train.max_iter=60", "train.checkpointer.period=30", "train.eval_period=20"]
    check_resumed_run_equals_whole_run(command, tmp_path, 43, *options)


def test_run_leaves_its_record_and_can_be_evaluated(command, tmp_path):
    result = run(command(tmp_path, "train.max_iter=2", "train.amp.enabled=True"))
    assert result.returncode == 0, result.stderr
    assert json.loads((tmp_path / "versions.json").read_text())["torch"]
    assert (tmp_path / "config.yaml").exists()
    assert list(tmp_path.glob("events.out.tfevents*"))
    assert "froc/R@0.3" in json.loads((tmp_path / "evaluations.json").read_text())[0]

    weights = f"train.init_checkpoint={tmp_path / 'model_final.pth'}"
    evaluation = run(command(tmp_path / "evaluation", "--eval-only", weights))
    assert evaluation.returncode == 0, evaluation.stderr
    assert "R@0.3" in evaluation.stdout + evaluation.stderr

    # a run that is complete has nothing left to do
    again = run(command(tmp_path, "train.max_iter=2", "--resume"))
    assert again.returncode == 0
    assert "Nothing to do" in again.stdout + again.stderr


@pytest.mark.parametrize("launcher", ["num-gpus", "torchrun"])
def test_two_processes_train_like_one_on_the_same_global_batch(command, tmp_path, launcher):
    if torch.cuda.device_count() == 1:
        pytest.skip("two processes would share one GPU")
    # BatchNorm sees a process's own images only; frozen, it cannot tell two processes from one
    options = ["+model.backbone.norm=FrozenBN", "train.max_iter=3", "model.transformer.dropout=0.0"]
    one, two = tmp_path / "one", tmp_path / "two"
    assert run(command(one, *options)).returncode == 0
    if launcher == "torchrun":
        torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone")
        result = run(command(two, *options, launcher=(*torchrun, "--nproc-per-node=2")))
    else:
        result = run(command(two, *options, "--num-gpus=2"))
    assert result.returncode == 0, result.stderr

    for iteration, values in losses(one).items():
        assert losses(two)[iteration] == pytest.approx(values, rel=2e-3, abs=1e-4)
    states = torch.load(two / "model_final.pth", weights_only=True)["random_states"]
    assert len(states) == 2


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("train.max_itr=3", "did you mean train.max_iter?"),
        ("train.amp.dtype=int8", "train.amp.dtype"),
        ("train.init_checkpoint=nowhere.pth", "nowhere.pth does not exist"),
        ("dataloader.train.dataset=inbreast_train", "datasets/README.md"),
        ("dataloader.train.dataset=imbreast_train", "imbreast_train"),
        ("train.best_metric=froc/R@7", "train.best_metric"),
    ],
)
def test_mistake_gives_one_sentence_and_no_traceback(command, tmp_path, option, words):
    result = run(command(tmp_path, "train.max_iter=1", option))
    assert result.returncode == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr + result.stdout
