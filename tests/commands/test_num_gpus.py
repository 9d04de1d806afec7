"""``--num-gpus 0`` on a machine with a GPU: the CPU, or a refusal, before anything is loaded."""

import contextlib

import pytest
import torch

from medmask import engine
from medmask.commands import extract_embeddings, train
from medmask.data import loaders
from medmask.engine.run_folder import RunMode
from medmask.experts import expert

CONFIG = "configs/medmask/phantom/source_only.py"


class ReachedError(Exception):
    """The work was about to begin."""


@pytest.fixture(autouse=True)
def machine_with_a_gpu(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)


@pytest.fixture
def begin_training(monkeypatch):
    """Run `medmask train` up to the run's folder; returns the device and the mode."""
    monkeypatch.setattr(engine, "check_run", lambda *_: None)  # the data are not there
    begun = []

    @contextlib.contextmanager
    def open_run_folder(config, mode):
        begun.append((config.train.device, mode))
        raise ReachedError
        yield

    monkeypatch.setattr(engine, "open_run_folder", open_run_folder)

    def begin(*options):
        with contextlib.suppress(ReachedError):
            train.main(["--config-file", CONFIG, *options])
        return begun

    return begin


@pytest.fixture
def begin_extraction(monkeypatch, tmp_path):
    """Run `medmask extract-embeddings` up to the expert; returns its device."""
    monkeypatch.setattr(loaders, "load_dataset_dicts", lambda name: [])
    begun = []

    def load_expert(model, checkpoint, device, *others):
        begun.append(device)
        raise ReachedError

    monkeypatch.setattr(expert, "load_expert", load_expert)

    def begin(*options):
        with contextlib.suppress(ReachedError):
            extract_embeddings.main(["--dataset", "some", "--output", str(tmp_path), *options])
        return begun

    return begin


def assert_refused(begin, capsys, key, options):
    with pytest.raises(SystemExit) as caught:
        begin("--num-gpus", "0", *options)
    assert caught.value.code == 2
    assert f"--num-gpus is 0, but {key} chooses cuda: set {key} to cpu" in capsys.readouterr().err


@pytest.mark.parametrize("mode", [(), ("--eval-only",)], ids=["train", "evaluate"])
@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_training_on_a_gpu_is_refused(begin_training, capsys, mode, device):
    assert_refused(begin_training, capsys, "train.device", [*mode, f"train.device={device}"])


def test_training_on_the_cpu_begins(begin_training):
    assert begin_training("--num-gpus", "0", "train.device=cpu") == [("cpu", RunMode.NEW)]


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_extraction_on_a_gpu_is_refused(begin_extraction, capsys, device):
    assert_refused(begin_extraction, capsys, "--device", ["--device", device])


@pytest.mark.parametrize(
    ("options", "device"),
    [(("--num-gpus", "0", "--device", "cpu"), "cpu"), ((), "cuda")],
    ids=["cpu", "gpu"],
)
def test_extraction_takes_the_device(begin_extraction, options, device):
    assert begin_extraction(*options) == [device]
