"""Stage 1 of city2bdd: supervised on Cityscapes, tested on BDD100K daytime images."""

from ...common.data.street_scenes import set_up_street_scenes
from ...common.stages.source_only import dataloader, lr_multiplier, model, optimizer, train
from ._benchmark import datasets, num_classes

set_up_street_scenes(dataloader, model, train, num_classes)

# MRT: 80 epochs of 2975 images, 60 of them at the full rate
lr_multiplier.milestones = [0.75]

train.max_iter = 29800
train.output_dir = "output/city2bdd/source_only"
