"""Stage 1 of city2foggy: supervised on Cityscapes, tested on Foggy Cityscapes."""

from ...common.data.street_scenes import evaluator as _evaluator
from ...common.stages.source_only import dataloader, lr_multiplier, model, optimizer, train

dataloader.train.dataset = "cityscapes_train"
dataloader.test.dataset = "foggy_cityscapes_val"
dataloader.evaluator = _evaluator
model.transformer.num_classes = 8

# MRT: 50 epochs of 2975 images, 40 of them at the full rate
train.max_iter = 18600
train.best_metric = "bbox/AP50"
train.output_dir = "output/city2foggy/source_only"
