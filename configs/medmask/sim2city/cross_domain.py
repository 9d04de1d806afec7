"""Stage 2 of sim2city: masked autoencoding of unlabeled Cityscapes images; cars only."""

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

# MRT: 40 epochs of the smaller set's 2975 images, 20 of them at the full rate, which is that of
# stage 1
optimizer.lr = 2e-4
lr_multiplier.milestones = [0.5]

train.max_iter = 14900
train.init_checkpoint = "output/sim2city/source_only/model_final.pth"
train.output_dir = "output/sim2city/cross_domain"
