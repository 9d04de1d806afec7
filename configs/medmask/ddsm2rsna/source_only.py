"""Stage 1 of BCD-DDSM to RSNA-BSD1K: supervised on BCD-DDSM, tested on RSNA-BSD1K."""

from ...common.stages.source_only import dataloader, lr_multiplier, model, optimizer, train
from ._benchmark import datasets

train.output_dir = "output/ddsm2rsna/source_only"
