"""Stage 1 of phantom2ffdm: supervised on film, tested on the scanner to adapt to."""

from ..phantom.source_only import dataloader, lr_multiplier, model, optimizer, train

dataloader.test.dataset = "phantom_ffdm_val"

train.output_dir = "output/phantom2ffdm/source_only"
