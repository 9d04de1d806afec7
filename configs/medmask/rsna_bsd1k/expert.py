"""Stage 3 on RSNA-BSD1K: BiomedCLIP teaches the detector of stage 2."""

from ...common.stages.expert import dataloader, loss_hooks, lr_multiplier, model, optimizer, train
from ._benchmark import datasets

train.init_checkpoint = "output/rsna_bsd1k/cross_domain/model_best.pth"
train.output_dir = "output/rsna_bsd1k/expert"
