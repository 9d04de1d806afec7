"""Stage 3 on BCD-DDSM: BiomedCLIP teaches the detector of stage 2."""

from ...common.stages.expert import dataloader, loss_hooks, lr_multiplier, model, optimizer, train
from ._benchmark import datasets

train.init_checkpoint = "output/ddsm/cross_domain/model_best.pth"
train.output_dir = "output/ddsm/expert"
