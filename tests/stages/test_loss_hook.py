import pytest
import torch
from detectron2.engine import SimpleTrainer

from medmask.errors import InputError
from medmask.stages import LossHook


def refuse(trainer):
    """Each would train on, without the losses of the hook."""
    trainer.register_hooks([LossHook()])
    with pytest.raises(InputError, match=r"LossHook is a loss hook.*as one of its loss_hooks"):
        trainer.train(0, 1)


def test_trainer_of_detectron2_is_refused(make_model, make_input):
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    refuse(SimpleTrainer(model, [[make_input(64, 64)]], optimizer))


def test_hook_that_is_registered_as_any_other_is_refused(make_detector, make_trainer):
    refuse(make_trainer(make_detector()))
