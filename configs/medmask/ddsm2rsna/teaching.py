"""Teaching of BCD-DDSM to RSNA-BSD1K: a teacher labels the RSNA-BSD1K images."""

from ...common.stages.teaching import dataloader, loss_hooks, lr_multiplier, model, optimizer, train
from ._benchmark import datasets

train.init_checkpoint = "output/ddsm2rsna/cross_domain/model_final.pth"
train.output_dir = "output/ddsm2rsna/teaching"
