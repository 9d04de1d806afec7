"""Stage 2 on BCD-DDSM: masked autoencoding of its images, beside the supervised losses."""

from ...common.stages.cross_domain import (
    dataloader,
    loss_hooks,
    lr_multiplier,
    model,
    optimizer,
    train,
)
from ._benchmark import datasets

train.init_checkpoint = "output/ddsm/source_only/model_best.pth"
train.output_dir = "output/ddsm/cross_domain"
