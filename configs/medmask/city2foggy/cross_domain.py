"""Stage 2 of city2foggy: masked autoencoding of unlabelled Foggy Cityscapes images."""

from ...common.data.street_scenes import evaluator as _evaluator
from ...common.stages.cross_domain import (
    dataloader,
    loss_hooks,
    lr_multiplier,
    model,
    optimizer,
    train,
)

dataloader.train.dataset = "cityscapes_train"
dataloader.test.dataset = "foggy_cityscapes_val"
dataloader.evaluator = _evaluator
model.transformer.num_classes = 8
loss_hooks.masked_autoencoder.loader.dataset = "foggy_cityscapes_train"

# MRT: 40 epochs of 2975 images, 30 of them at the full rate, which is that of stage 1
optimizer.lr = 2e-4
lr_multiplier.milestones = [0.75]

train.max_iter = 14900
train.best_metric = "bbox/AP50"
train.init_checkpoint = "output/city2foggy/source_only/model_final.pth"
train.output_dir = "output/city2foggy/cross_domain"
