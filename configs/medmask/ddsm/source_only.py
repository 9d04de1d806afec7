"""Stage 1 on BCD-DDSM: supervised training at full size, from ImageNet weights."""

from ...common.stages.source_only import dataloader, lr_multiplier, model, optimizer, train
from ._benchmark import datasets

train.output_dir = "output/ddsm/source_only"
