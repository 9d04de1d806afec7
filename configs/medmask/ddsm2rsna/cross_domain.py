"""Stage 2 of BCD-DDSM to RSNA-BSD1K: masked autoencoding of unlabeled RSNA-BSD1K images."""

from ...common.stages.cross_domain import (
    dataloader,
    loss_hooks,
    lr_multiplier,
    model,
    optimizer,
    train,
)
from ._benchmark import datasets

# D-MASTER: 20 of 30 epochs at the full rate
lr_multiplier.milestones = [0.67]

train.init_checkpoint = "output/ddsm2rsna/source_only/model_final.pth"
train.output_dir = "output/ddsm2rsna/cross_domain"
