"""Stage 3 on INbreast: BiomedCLIP teaches the detector of stage 2."""

from ...common.stages.expert import dataloader, loss_hooks, lr_multiplier, model, optimizer, train
from ._benchmark import datasets

train.init_checkpoint = "output/inbreast/cross_domain/model_best.pth"
train.output_dir = "output/inbreast/expert"
