"""Stage 1 of city2bdd: supervised on Cityscapes, tested on BDD100K daytime images."""

from ...common.data.street_scenes import evaluator as _evaluator
from ...common.stages.source_only import dataloader, lr_multiplier, model, optimizer, train

dataloader.train.dataset = "cityscapes_train"
dataloader.test.dataset = "bdd100k_daytime_val"
dataloader.evaluator = _evaluator
model.transformer.num_classes = 8

# MRT: 80 epochs of 2975 images, 60 of them at the full rate
lr_multiplier.milestones = [0.75]

train.max_iter = 29800
train.best_metric = "bbox/AP50"
train.output_dir = "output/city2bdd/source_only"
