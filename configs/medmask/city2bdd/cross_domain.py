"""Stage 2 of city2bdd: masked autoencoding of unlabeled BDD100K daytime images."""

from ...common.data.street_scenes import set_up_street_scenes
from ...common.schedule import constant_schedule as lr_multiplier
from ...common.stages.cross_domain import dataloader, loss_hooks, model, optimizer, train
from ._benchmark import datasets, num_classes

set_up_street_scenes(dataloader, model, train, num_classes)

# MRT: 20 epochs of the smaller set's 2975 images, at a constant rate
train.max_iter = 7450
train.init_checkpoint = "output/city2bdd/source_only/model_final.pth"
train.output_dir = "output/city2bdd/cross_domain"
