"""Stage 1 of sim2city: supervised on SIM10k, tested on the cars of Cityscapes."""

from ...common.data.street_scenes import evaluator as _evaluator
from ...common.stages.source_only import dataloader, lr_multiplier, model, optimizer, train

dataloader.train.dataset = "sim10k_train"
dataloader.test.dataset = "cityscapes_caronly_val"
dataloader.evaluator = _evaluator
model.transformer.num_classes = 1

# MRT: 50 epochs of 10,000 images, 40 of them at the full rate
train.max_iter = 62500
train.best_metric = "bbox/AP50"
train.output_dir = "output/sim2city/source_only"
