"""Stage 1 of BCD-DDSM to INbreast: supervised on BCD-DDSM, tested on INbreast."""

from ...common.stages.source_only import dataloader, lr_multiplier, model, optimizer, train
from ._benchmark import datasets

train.output_dir = "output/ddsm2inbreast/source_only"
