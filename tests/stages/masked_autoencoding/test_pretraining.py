"""Pretraining by masked autoencoding alone, as configs/medmask/phantom/pretraining.py has it."""

from pathlib import Path

import torch
from detectron2.config import instantiate
from training_fixtures import Loader

from medmask.config import load_config

PAGE = Path(__file__).parents[3] / "configs" / "medmask" / "phantom" / "pretraining.py"


def pretrain(make_trainer, labeled, max_iter):
    config = load_config(str(PAGE))
    torch.manual_seed(0)
    detector = instantiate(config.model)
    start = {name: value.clone() for name, value in detector.named_parameters()}
    config.loss_hooks.masked_autoencoder.loader = None
    config.loss_hooks.masked_autoencoder.picture_period = None
    hook = instantiate(config.loss_hooks.masked_autoencoder)
    hook.loader = Loader(seed=500)
    trainer = make_trainer(detector, hook)
    trainer.loader = labeled
    torch.manual_seed(1)
    trainer.train(0, max_iter)
    return trainer, start


class WithoutBoxes(Loader):
    def sample(self, iteration, width):
        sample = super().sample(iteration, width)
        return sample | {"instances": sample["instances"][:0]}


def test_backbone_and_encoder_learn_and_labels_do_not_count(make_trainer):
    trainer, start = pretrain(make_trainer, Loader(seed=0), 3)
    moved = {}
    for name, value in trainer.detector.named_parameters():
        assert value.grad is not None, name  # as distributed training asks for
        if name in start:
            moved[name] = (value - start[name]).abs().max().item()
    for part in ("backbone.", "neck.", "transformer.encoder.layers."):
        names = [name for name in moved if name.startswith(part)]
        assert names
        assert sum(moved[name] > 1e-4 for name in names) > 0.8 * len(names), part
    for name, distance in moved.items():
        if name.startswith(("transformer.decoder.", "transformer.proposal")):
            assert distance < 1e-4 * (1 + start[name].abs().max().item()), name  # weight decay
    without, _ = pretrain(make_trainer, WithoutBoxes(seed=0), 3)
    for name, value in without.detector.named_parameters():
        torch.testing.assert_close(value, dict(trainer.detector.named_parameters())[name])


def test_only_masked_autoencoding_has_a_loss(make_trainer):
    trainer, _ = pretrain(make_trainer, Loader(seed=0), 1)
    losses = {k: v[0] for k, v in trainer.storage.latest().items() if k.startswith("loss_")}
    assert losses.pop("loss_mae") > 0
    assert losses
    assert set(losses.values()) == {0.0}
