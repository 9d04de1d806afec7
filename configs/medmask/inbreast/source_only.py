"""Stage 1 on INbreast: supervised training at full size, from ImageNet weights."""

from ...common.stages.source_only import dataloader, lr_multiplier, model, optimizer, train
from ._benchmark import datasets

train.output_dir = "output/inbreast/source_only"
