"""Weak labels of BCD-DDSM to RSNA-BSD1K: RSNA-BSD1K images of which only the label is known."""

from ...common.stages.image_labels import (
    dataloader,
    loss_hooks,
    lr_multiplier,
    model,
    optimizer,
    train,
)
from ._benchmark import datasets

train.init_checkpoint = "output/ddsm2rsna/source_only/model_final.pth"
train.output_dir = "output/ddsm2rsna/image_labels"
