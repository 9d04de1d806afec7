"""The control of mini-MIAS to INbreast: stage 1 continued for the steps of the later stages."""

from ...common.stages.real_mammograms_later import (
    dataloader,
    loss_hooks,
    lr_multiplier,
    model,
    optimizer,
    train,
)
from ._benchmark import datasets

train.init_checkpoint = "output/mias2inbreast/source_only/model_final.pth"
train.output_dir = "output/mias2inbreast/control"
