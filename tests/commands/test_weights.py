"""Loading the weights of a command line."""

from argparse import Namespace
from pathlib import Path

import pytest
import torch
from fresh_runs import write_fresh_run

from medmask.commands.weights import check_detector, load_weights
from medmask.errors import InputError
from medmask.utils import openmp


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_model_takes_no_more_threads_than_a_container_has_cores(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(openmp, "usable_cores", lambda: 1)
    args = Namespace(checkpoint=write_fresh_run(tmp_path), config_file=None, device="cpu")
    assert load_weights(args, 0.25).nms_iou == 0.25
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("name", [".", "nowhere.pth"])
def test_what_is_no_file_is_refused(name):
    with pytest.raises(InputError, match="does not exist: name one with --checkpoint, or train"):
        check_detector(Namespace(model=None, checkpoint=Path(name)))
