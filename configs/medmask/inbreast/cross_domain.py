"""Stage 2 on INbreast: masked autoencoding of its images, beside the supervised losses."""

from ...common.stages.cross_domain import (
    dataloader,
    loss_hooks,
    lr_multiplier,
    model,
    optimizer,
    train,
)
from ._benchmark import datasets

train.init_checkpoint = "output/inbreast/source_only/model_best.pth"
train.output_dir = "output/inbreast/cross_domain"
