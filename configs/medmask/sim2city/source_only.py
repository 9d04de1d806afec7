"""Stage 1 of sim2city: supervised on SIM10k, tested on the cars of Cityscapes."""

from ...common.data.street_scenes import set_up_street_scenes
from ...common.stages.source_only import dataloader, lr_multiplier, model, optimizer, train
from ._benchmark import datasets, num_classes

set_up_street_scenes(dataloader, model, train, num_classes)

# MRT: 50 epochs of 10,000 images, 40 of them at the full rate
train.max_iter = 62500
train.output_dir = "output/sim2city/source_only"
