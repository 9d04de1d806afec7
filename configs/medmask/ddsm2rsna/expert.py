"""Stage 3 of BCD-DDSM to RSNA-BSD1K: BiomedCLIP teaches the detector of stage 2."""

from ...common.stages.expert import dataloader, loss_hooks, lr_multiplier, model, optimizer, train
from ._benchmark import datasets

train.init_checkpoint = "output/ddsm2rsna/cross_domain/model_final.pth"
train.output_dir = "output/ddsm2rsna/expert"
