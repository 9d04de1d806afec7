"""Alignment of BCD-DDSM and RSNA-BSD1K: discriminators make the features of both alike."""

from ...common.stages.alignment import (
    dataloader,
    loss_hooks,
    lr_multiplier,
    model,
    optimizer,
    train,
)
from ._benchmark import datasets

train.init_checkpoint = "output/ddsm2rsna/source_only/model_final.pth"
train.output_dir = "output/ddsm2rsna/alignment"
