"""Stage 1 on RSNA-BSD1K: supervised training at full size, from ImageNet weights."""

from ...common.stages.source_only import dataloader, lr_multiplier, model, optimizer, train

dataloader.train.dataset = "rsna_bsd1k_train"
dataloader.test.dataset = "rsna_bsd1k_val"

train.output_dir = "output/rsna_bsd1k/source_only"
