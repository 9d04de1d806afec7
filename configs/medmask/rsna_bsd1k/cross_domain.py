"""Stage 2 on RSNA-BSD1K: masked autoencoding of its images, beside the supervised losses."""

from ...common.stages.cross_domain import (
    dataloader,
    loss_hooks,
    lr_multiplier,
    model,
    optimizer,
    train,
)
from ._benchmark import datasets

train.init_checkpoint = "output/rsna_bsd1k/source_only/model_best.pth"
train.output_dir = "output/rsna_bsd1k/cross_domain"
