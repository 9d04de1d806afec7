"""Teaching of city2foggy: a teacher labels the Foggy Cityscapes images."""

from ...common.data.street_scenes import set_up_street_scenes
from ...common.stages.published_teaching import teach_as_mrt
from ...common.stages.teaching import dataloader, loss_hooks, lr_multiplier, model, optimizer, train
from ._benchmark import datasets, num_classes

set_up_street_scenes(dataloader, model, train, num_classes)

teach_as_mrt(loss_hooks, optimizer)

# MRT: 80 epochs of 2975 images
train.max_iter = 29800
train.init_checkpoint = "output/city2foggy/cross_domain/model_final.pth"
train.output_dir = "output/city2foggy/teaching"
