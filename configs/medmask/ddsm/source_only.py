"""Stage 1 on BCD-DDSM: supervised training at full size, from ImageNet weights."""

from ...common.stages.source_only import dataloader, lr_multiplier, model, optimizer, train

dataloader.train.dataset = "ddsm_train"
dataloader.test.dataset = "ddsm_val"

train.output_dir = "output/ddsm/source_only"
