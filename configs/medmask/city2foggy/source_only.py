"""Stage 1 of city2foggy: supervised on Cityscapes, tested on Foggy Cityscapes."""

from ...common.data.street_scenes import set_up_street_scenes
from ...common.stages.source_only import dataloader, lr_multiplier, model, optimizer, train
from ._benchmark import datasets, num_classes

set_up_street_scenes(dataloader, model, train, num_classes)

# MRT: 50 epochs of 2975 images, 40 of them at the full rate
train.max_iter = 18600
train.output_dir = "output/city2foggy/source_only"
