"""Stage 1 of INbreast to mini-MIAS: supervised on INbreast, tested on mini-MIAS."""

from ...common.stages.real_mammograms import (
    dataloader,
    loss_hooks,
    lr_multiplier,
    model,
    optimizer,
    train,
)
from ._benchmark import datasets

train.output_dir = "output/inbreast2mias/source_only"
