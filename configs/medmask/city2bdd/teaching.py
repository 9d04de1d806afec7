"""Teaching of city2bdd: a teacher labels the BDD100K daytime images."""

from ...common.data.street_scenes import set_up_street_scenes
from ...common.stages.teaching import dataloader, loss_hooks, lr_multiplier, model, optimizer, train
from ._benchmark import datasets, num_classes

set_up_street_scenes(dataloader, model, train, num_classes)

# MRT: 20 epochs of the smaller set's 2975 images, and for the rest what the common stage does
train.max_iter = 7450
train.init_checkpoint = "output/city2bdd/cross_domain/model_final.pth"
train.output_dir = "output/city2bdd/teaching"
