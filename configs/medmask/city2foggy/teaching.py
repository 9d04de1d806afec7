"""Teaching of city2foggy: a teacher labels the Foggy Cityscapes images."""

from ...common.data.street_scenes import evaluator as _evaluator
from ...common.stages.teaching import dataloader, loss_hooks, lr_multiplier, model, optimizer, train

dataloader.train.dataset = "cityscapes_train"
dataloader.test.dataset = "foggy_cityscapes_val"
dataloader.evaluator = _evaluator
model.transformer.num_classes = 8
loss_hooks.masked_autoencoder.loader.dataset = "foggy_cityscapes_train"
loss_hooks.teacher.loader.dataset = "foggy_cityscapes_train"

train.best_metric = "bbox/AP50"
train.init_checkpoint = "output/city2foggy/cross_domain/model_final.pth"
train.output_dir = "output/city2foggy/teaching"
