"""A run that ends early leaves the state of its last complete step, to the bit."""

import errno
import os
import signal

import pytest
import torch
from detectron2.engine import HookBase
from torch import nn
from toy_detector import ToyDetector

from medmask.checkpoint import MedMaskCheckpointer
from medmask.engine import MedMaskTrainer
from medmask.engine.last_step_checkpointer import LastStepCheckpointer
from medmask.errors import InputError
from medmask.stages.loss_hook import LossHook
from medmask.utils.signals import StoppedBySignal

MAX_ITER = 8


class Images:
    """A number as the batch of each iteration; that of one may be broken."""

    def __init__(self, broken=None):
        self.broken = broken

    def iterate_from(self, iteration):
        while True:
            if iteration == self.broken:
                raise InputError(f"image {iteration} is broken")
            yield torch.full((4, 1), 0.1 + iteration)
            iteration += 1


class Model(ToyDetector):
    """Has all that a step changes on its way: BatchNorm statistics and dropout."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(1, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1)
        )
        self.fails_at = None

    def losses(self, x):
        loss = (self.layers(x) - 1).square().mean()
        if self.fails_at is not None and x[0, 0] > self.fails_at:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return {"loss": loss}


class CountingHook(LossHook):
    """Has batches and a state of its own."""

    def __init__(self, loader):
        super().__init__(loader)
        self.seen = 0.0

    def step_losses(self):
        self.batch = self.next_batch()
        return {"loss_own": self.trainer.model(self.batch, step=None).losses["loss"]}

    def after_step(self):
        self.seen += self.batch.sum().item()

    def state_dict(self):
        return {"seen": self.seen}

    def load_state_dict(self, state_dict):
        self.seen = state_dict["seen"]


class Acting(HookBase):
    """Does something after a step."""

    def __init__(self, iteration, action):
        self.iteration = iteration
        self.action = action

    def after_step(self):
        if self.trainer.iter == self.iteration:
            self.action()


@pytest.fixture
def build(tmp_path):
    """Builds a trainer whose run ends with a checkpoint, and its checkpointer."""

    def build(loader=None, own_loader=None, hooks=()):
        torch.manual_seed(0)
        model = Model()
        trainer = MedMaskTrainer(
            model,
            loader or Images(),
            torch.optim.AdamW(model.parameters(), lr=0.1),
            clip_gradient_norm=1.0,
            loss_hooks=[CountingHook(own_loader or Images())],
        )
        parts = {"optimizer": trainer.optimizer, "trainer": trainer}
        checkpointer = MedMaskCheckpointer(model, str(tmp_path), **parts)
        trainer.register_hooks([LastStepCheckpointer(checkpointer), *hooks])
        return trainer, checkpointer

    return build


def state(trainer):
    return {
        "model": trainer.model.state_dict(),
        "optimizer": trainer.optimizer.state_dict(),
        "hooks": trainer.loss_hooks[0].state_dict(),
        "generator": torch.get_rng_state(),
    }


@pytest.fixture
def check_resume(build):
    """The run that ended early and was resumed ends as one without a stop."""

    def check(num_complete):
        torch.manual_seed(99)
        resumed, checkpointer = build()
        assert checkpointer.resume()
        assert resumed.iter + 1 == num_complete
        resumed.train(num_complete, MAX_ITER)
        ended = state(resumed)
        whole, _ = build()
        whole.train(0, MAX_ITER)
        torch.testing.assert_close(ended, state(whole), rtol=0, atol=0)

    return check


@pytest.mark.parametrize("which", ["loader", "own_loader"])
def test_broken_image(build, check_resume, which):
    trainer, _ = build(**{which: Images(broken=5)})
    with pytest.raises(InputError, match="image 5 is broken"):
        trainer.train(0, MAX_ITER)
    check_resume(5)


def test_broken_first_image_leaves_nothing(build, tmp_path):
    trainer, _ = build(Images(broken=0))
    with pytest.raises(InputError, match="image 0 is broken"):
        trainer.train(0, MAX_ITER)
    assert not list(tmp_path.iterdir())


def test_error_amid_a_step_is_undone(build, check_resume):
    trainer, _ = build()
    trainer.model.fails_at = 4
    with pytest.raises(torch.OutOfMemoryError):
        trainer.train(0, MAX_ITER)
    check_resume(4)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal(build, check_resume, number):
    trainer, _ = build(hooks=[Acting(2, lambda: os.kill(os.getpid(), number))])
    before = signal.getsignal(number)
    with pytest.raises(StoppedBySignal) as stopped:
        trainer.train(0, MAX_ITER)
    assert stopped.value.status == 128 + number
    assert signal.getsignal(number) == before
    check_resume(3)


def test_signal_while_images_are_waited_for(build, check_resume):
    class Slow(Images):
        def iterate_from(self, iteration):
            for batch in super().iterate_from(iteration):
                if iteration == 3:
                    os.kill(os.getpid(), signal.SIGTERM)
                    signal.pause()  # for ever
                yield batch
                iteration += 1

    trainer, _ = build(Slow())
    with pytest.raises(StoppedBySignal):
        trainer.train(0, MAX_ITER)
    check_resume(3)


def test_error_of_a_hook_that_writes(build, check_resume):
    def write():
        raise OSError(errno.ENOSPC, "No space left on device", "metrics.json")

    trainer, _ = build(hooks=[Acting(4, write)])
    with pytest.raises(OSError, match=r"metrics\.json"):
        trainer.train(0, MAX_ITER)
    check_resume(5)


def test_disk_that_is_full_for_the_checkpoint_too(build, monkeypatch, caplog):
    def save(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device", "model.pth")

    trainer, checkpointer = build(Images(broken=3))
    monkeypatch.setattr(checkpointer, "save", save)
    with pytest.raises(InputError, match="image 3"):
        trainer.train(0, MAX_ITER)
    assert "3 complete iterations could not be saved: model.pth: no space" in caplog.text
    trainer, checkpointer = build(hooks=[Acting(2, lambda: os.kill(os.getpid(), signal.SIGTERM))])
    monkeypatch.setattr(checkpointer, "save", save)
    with pytest.raises(OSError, match="No space"):  # who stops a run must know
        trainer.train(0, MAX_ITER)


def test_error_amid_the_update_saves_nothing(build, tmp_path, monkeypatch):
    trainer, _ = build()
    step = trainer.optimizer.step

    def fail_at_three(*args, **kwargs):
        step()
        if trainer.iter == 3:
            raise RuntimeError("half an update")

    monkeypatch.setattr(trainer.optimizer, "step", fail_at_three)
    with pytest.raises(RuntimeError, match="half an update"):
        trainer.train(0, MAX_ITER)
    assert not list(tmp_path.iterdir())
