"""Stage 2 of city2bdd: masked autoencoding of unlabelled BDD100K daytime images."""

from ...common.data.street_scenes import evaluator as _evaluator
from ...common.schedule import constant_schedule as lr_multiplier
from ...common.stages.cross_domain import dataloader, loss_hooks, model, optimizer, train

dataloader.train.dataset = "cityscapes_train"
dataloader.test.dataset = "bdd100k_daytime_val"
dataloader.evaluator = _evaluator
model.transformer.num_classes = 8
loss_hooks.masked_autoencoder.loader.dataset = "bdd100k_daytime_train"

# MRT: 20 epochs of the smaller set's 2975 images, at a constant rate; it starts from
# model_best.pth, which target labels chose, and ours does not
train.max_iter = 7450
train.best_metric = "bbox/AP50"
train.init_checkpoint = "output/city2bdd/source_only/model_final.pth"
train.output_dir = "output/city2bdd/cross_domain"
