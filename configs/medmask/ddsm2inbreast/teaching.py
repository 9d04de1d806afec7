"""Teaching of BCD-DDSM to INbreast: a teacher labels the INbreast images."""

from ...common.stages.teaching import dataloader, loss_hooks, lr_multiplier, model, optimizer, train
from ._benchmark import datasets

train.init_checkpoint = "output/ddsm2inbreast/cross_domain/model_final.pth"
train.output_dir = "output/ddsm2inbreast/teaching"
