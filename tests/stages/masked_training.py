"""Training of the small detector with masked autoencoding, on images of their position."""

from pathlib import Path

import torch
from detectron2.config import LazyConfig, instantiate
from detectron2.structures import Boxes, Instances

from medmask.engine import MedMaskTrainer
from medmask.engine.building import distribute
from medmask.stages.masked_autoencoding import ConstantMaskRatio, MaskedAutoencoderHook

ROOT = Path(__file__).parents[2]


class Loader:
    """Batches of two random images, a function of the position; counts those that it gave."""

    def __init__(self, is_labeled):
        self.is_labeled = is_labeled
        self.given = 0

    @property
    def stream(self):
        return self

    def __getitem__(self, position):
        generator = torch.Generator().manual_seed(2 * position + self.is_labeled)
        image = torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8, generator=generator)
        sample = {"image": image}
        if self.is_labeled:
            instances = Instances((64, 96))
            instances.gt_boxes = Boxes(torch.tensor([[5.0, 10.0, 30.0, 40.0]]))
            instances.gt_classes = torch.zeros(1, dtype=torch.int64)
            sample["instances"] = instances
        return sample

    def iterate_from(self, iteration):
        while True:
            self.given += 1
            yield [self[2 * iteration], self[2 * iteration + 1]]
            iteration += 1


def make_model():
    torch.manual_seed(1)
    config = LazyConfig.load(str(ROOT / "configs/common/models/medmask_small.py")).model
    config.transformer.dropout = 0.1
    return instantiate(config)


def make_trainer(model, **options):
    schedule = options.pop("mask_ratio", None) or ConstantMaskRatio(0.5)
    trainer_options = {
        name: options.pop(name)
        for name in ("amp_dtype", "gradient_accumulation")
        if name in options
    }
    options = {"mask_ratio": schedule, "targets": {"res5": (2, 3)}} | options
    hook = MaskedAutoencoderHook(Loader(is_labeled=False), **options)
    generator = torch.get_rng_state()
    hook.build(model)
    torch.set_rng_state(generator)
    trainer = MedMaskTrainer(
        distribute(model),
        Loader(is_labeled=True),
        torch.optim.SGD(model.parameters(), lr=0.01),
        clip_gradient_norm=1.0,
        loss_hooks=[hook],
        **trainer_options,
    )
    return trainer, hook


def history(trainer, name):
    return [value for value, _ in trainer.storage.history(name).values()]


def assert_same_weights(model, other):
    for (name, value), expected in zip(
        model.state_dict().items(), other.state_dict().values(), strict=True
    ):
        assert torch.equal(value, expected), name
