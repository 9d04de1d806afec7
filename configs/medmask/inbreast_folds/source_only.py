"""Stage 1 on INbreast by patient folds: four of them train, ``datasets.fold`` tests."""

from ...common.stages.real_mammograms import (
    dataloader,
    loss_hooks,
    lr_multiplier,
    model,
    optimizer,
    train,
)
from ._benchmark import datasets

train.output_dir = "output/inbreast_folds/source_only"
