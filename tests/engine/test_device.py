import pytest
import torch
from detectron2.utils import comm

from medmask.engine.device import check_num_gpus, select_device
from medmask.errors import InputError


@pytest.mark.parametrize(
    ("name", "num_gpus", "num_processes", "words"),
    [
        ("gpu", 1, 1, "must be auto, cpu, cuda or cuda:N"),
        ("cuda", 0, 1, "no GPU is usable here: set it to cpu"),
        ("cuda:2", 2, 1, "the GPUs here are cuda:0 to cuda:1"),
        ("cuda:0", 2, 2, "each of several processes has a GPU of its own: set it to cuda"),
        ("cpu", 2, 2, "each of several processes has a GPU of its own: set it to cuda, or hide"),
    ],
)
def test_device_that_cannot_be_is_refused(monkeypatch, name, num_gpus, num_processes, words):
    pretend(monkeypatch, num_gpus, num_processes)
    with pytest.raises(InputError, match=f"^train.device is .*{words}"):
        select_device(name)
    with pytest.raises(InputError, match=f"^--device is .*{words}"):
        select_device(name, "--device")


@pytest.mark.parametrize(
    ("name", "num_gpus", "num_processes", "device"),
    [
        ("auto", 0, 2, "cpu"),
        ("auto", 2, 2, "cuda"),
        ("cpu", 0, 2, "cpu"),
        ("cpu", 2, 1, "cpu"),
        ("cuda:1", 2, 1, "cuda:1"),
    ],
)
def test_device_is_chosen(monkeypatch, name, num_gpus, num_processes, device):
    pretend(monkeypatch, num_gpus, num_processes)
    assert select_device(name) == device


def test_zero_gpus_mean_the_cpu():
    check_num_gpus(0, "cpu")
    check_num_gpus(1, "cuda")
    with pytest.raises(InputError, match=r"--num-gpus is 0, but train.device chooses cuda"):
        check_num_gpus(0, "cuda")
    with pytest.raises(InputError, match="but --device chooses cuda: set --device to cpu"):
        check_num_gpus(0, "cuda", "--device")


def pretend(monkeypatch, num_gpus, num_processes):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: num_gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: num_gpus)
    monkeypatch.setattr(comm, "get_world_size", lambda: num_processes)
