"""Stage 1 of mini-MIAS to INbreast: supervised on mini-MIAS, tested on INbreast."""

from ...common.stages.real_mammograms import (
    dataloader,
    loss_hooks,
    lr_multiplier,
    model,
    optimizer,
    train,
)
from ._benchmark import datasets

train.output_dir = "output/mias2inbreast/source_only"
