"""Training steps taken one at a time, to be measured."""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from detectron2.config import LazyCall as L
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from omegaconf import DictConfig

from medmask.engine.trainer import MedMaskTrainer

Batch = list[dict[str, Any]]


class RandomBatches:
    """A loader of noise: one batch, again and again; each image has a lesion and a second view.

    Args:
        total_batch_size: images of the batch.
        height: of the images in pixels.
        width: of the images in pixels.
    """

    def __init__(self, *, total_batch_size: int, height: int, width: int) -> None:
        generator = torch.Generator().manual_seed(0)
        size = (3, height, width)
        self.batch: Batch = []
        for _ in range(total_batch_size):
            instances = Instances((height, width))
            lesion = [0.4 * width, 0.4 * height, 0.6 * width, 0.6 * height]
            instances.gt_boxes = Boxes(torch.tensor([lesion]))
            instances.gt_classes = torch.zeros(1, dtype=torch.int64)
            pixels = torch.randint(0, 256, size, generator=generator, dtype=torch.uint8)
            self.batch.append({"image": pixels, "strong_image": pixels, "instances": instances})

    def iterate_from(self, iteration: int) -> Iterator[Batch]:
        """Yield the batch without end."""
        return itertools.repeat(self.batch)


def use_random_images(config: DictConfig, height: int, width: int) -> None:
    """Have all loaders of a training config give noise of one size in pixels instead of data."""
    owners = [(config.dataloader, "train")]
    owners += [(h, "loader") for h in config.get("loss_hooks", {}).values() if "loader" in h]
    for owner, key in owners:
        size = owner[key].total_batch_size
        owner[key] = L(RandomBatches)(total_batch_size=size, height=height, width=width)


@contextlib.contextmanager
def ready_to_step(trainer: MedMaskTrainer, max_iter: int) -> Iterator[Callable[[], None]]:
    """Begin to train, as :meth:`MedMaskTrainer.train` does, but leave the steps to the caller.

    Args:
        trainer: what begins.
        max_iter: what it takes for the length of the run.

    Returns:
        A context; in it, a function that takes one step.
    """

    def take_step() -> None:
        """One iteration with all hooks, to the end of the device's work."""
        trainer.before_step()
        trainer.run_step()
        trainer.after_step()
        trainer.iter += 1
        if trainer.device.type == "cuda":
            torch.cuda.synchronize(trainer.device)

    with EventStorage() as trainer.storage:
        trainer.set_run_length(max_iter)
        trainer.iter = trainer.start_iter = 0
        trainer.before_train()
        yield take_step
