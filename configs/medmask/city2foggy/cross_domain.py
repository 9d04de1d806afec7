"""Stage 2 of city2foggy: masked autoencoding of unlabeled Foggy Cityscapes images."""

from ...common.data.street_scenes import set_up_street_scenes
from ...common.stages.cross_domain import (
    dataloader,
    loss_hooks,
    lr_multiplier,
    model,
    optimizer,
    train,
)
from ._benchmark import datasets, num_classes

set_up_street_scenes(dataloader, model, train, num_classes)

# MRT: 40 epochs of 2975 images, 30 of them at the full rate, which is that of stage 1
optimizer.lr = 2e-4
lr_multiplier.milestones = [0.75]

train.max_iter = 14900
train.init_checkpoint = "output/city2foggy/source_only/model_final.pth"
train.output_dir = "output/city2foggy/cross_domain"
