"""However a run ends its last iteration, model_final.pth holds the weights after it."""

from pathlib import Path

import pytest
import torch
from detectron2.engine import hooks
from detectron2.utils.env import seed_all_rng
from torch import nn
from toy_detector import ToyDetector

from medmask.checkpoint import MedMaskCheckpointer
from medmask.engine import MedMaskTrainer
from medmask.engine.periodic_checkpointer import PeriodicCheckpointer


class Model(ToyDetector):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(1, 4), nn.Dropout(0.5), nn.Linear(4, 1))

    def losses(self, batch):
        return {"loss": (self.layers(batch) - 1).square().mean()}


class Numbers:
    def iterate_from(self, iteration):
        while True:
            yield torch.full((2, 1), 0.1 + iteration)
            iteration += 1


@pytest.fixture
def train(tmp_path):
    """Trains, or goes on, in a folder; returns the folder."""

    def train(folder, max_iter):
        seed_all_rng(0)
        model = Model()
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
        trainer = MedMaskTrainer(model, Numbers(), optimizer, clip_gradient_norm=1.0)
        parts = {"optimizer": optimizer, "trainer": trainer}
        path = tmp_path / folder
        path.mkdir(exist_ok=True)
        checkpointer = MedMaskCheckpointer(model, str(path), **parts)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2)
        periodic = PeriodicCheckpointer(checkpointer, 2, max_to_keep=2)
        trainer.register_hooks([hooks.LRScheduler(optimizer, schedule), periodic])
        start = trainer.iter + 1 if checkpointer.resume() else 0
        trainer.train(start, max_iter)
        return path

    return train


def content(folder):
    content = torch.load(folder / "model_final.pth", weights_only=True)
    del content["random_states"][0]["numpy"][0]  # a text
    return content


def set_last(folder, name):
    (folder / "last_checkpoint").write_text(name)


def test_run_that_died_before_its_final_checkpoint_makes_up_for_it(train):
    folder = train("run", max_iter=4)
    expected = content(folder)
    (folder / "model_final.pth").unlink()
    set_last(folder, "model_0000003.pth")
    train("run", max_iter=4)
    torch.testing.assert_close(content(folder), expected, rtol=0, atol=0)
    assert (folder / "last_checkpoint").read_text() == "model_final.pth"


def test_run_that_becomes_shorter_ends_with_its_final_checkpoint(train):
    expected = content(train("short", max_iter=4))
    folder = train("long", max_iter=6)
    set_last(folder, "model_0000003.pth")
    train("long", max_iter=4)
    torch.testing.assert_close(content(folder), expected, rtol=0, atol=0)


def test_finished_run_is_left_alone(train):
    folder = train("run", max_iter=4)
    before = (folder / "model_final.pth").stat().st_mtime_ns
    train("run", max_iter=4)
    assert (folder / "model_final.pth").stat().st_mtime_ns == before


def test_checkpoints_of_the_run_before_give_way_to_new_ones(train):
    train("run", max_iter=4)
    folder = train("run", max_iter=8)
    kept = sorted(path.name for path in folder.glob("model_0*.pth"))
    assert kept == ["model_0000005.pth", "model_0000007.pth"]


def test_checkpoints_of_all_starts_give_way_to_new_ones(train, tmp_path):
    train("run", 4)
    for iteration in (0, 2):  # of stops between two saves
        (tmp_path / "run" / f"model_{iteration:07d}.pth").touch()
    folder = train("run", 8)
    assert [x.name for x in sorted(folder.glob("model_[0-9]*"))] == [
        "model_0000005.pth",
        "model_0000007.pth",
    ]


def test_only_the_main_process_removes_checkpoints(run_in_two_processes, tmp_path):
    run_in_two_processes(str(Path(__file__).with_name("two_processes_prune.py")), str(tmp_path))
