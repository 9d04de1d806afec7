"""Stage 1 on INbreast: supervised training at full size, from ImageNet weights."""

from ...common.stages.source_only import dataloader, lr_multiplier, model, optimizer, train

dataloader.train.dataset = "inbreast_train"
dataloader.test.dataset = "inbreast_val"

train.output_dir = "output/inbreast/source_only"
