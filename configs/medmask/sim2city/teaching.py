"""Teaching of sim2city: a teacher labels the Cityscapes images; cars only."""

from ...common.data.street_scenes import set_up_street_scenes
from ...common.stages.teaching import dataloader, loss_hooks, lr_multiplier, model, optimizer, train
from ._benchmark import datasets, num_classes

set_up_street_scenes(dataloader, model, train, num_classes)

# MRT: 20 epochs of the smaller set's 2975 images, masked autoencoding for 10, retraining after 10
optimizer.lr = 2e-4
loss_hooks.masked_autoencoder.duration = 0.5
loss_hooks.teacher.threshold.scale = 0.5
loss_hooks.teacher.threshold.highest = 0.5

train.max_iter = 7450
train.init_checkpoint = "output/sim2city/cross_domain/model_final.pth"
train.output_dir = "output/sim2city/teaching"
