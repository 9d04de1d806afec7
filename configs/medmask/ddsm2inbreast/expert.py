"""Stage 3 of BCD-DDSM to INbreast: BiomedCLIP teaches the detector of stage 2."""

from ...common.stages.expert import dataloader, loss_hooks, lr_multiplier, model, optimizer, train
from ._benchmark import datasets

train.init_checkpoint = "output/ddsm2inbreast/cross_domain/model_final.pth"
train.output_dir = "output/ddsm2inbreast/expert"
