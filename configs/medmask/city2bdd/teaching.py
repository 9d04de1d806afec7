"""Teaching of city2bdd: a teacher labels the BDD100K daytime images."""

from ...common.data.street_scenes import evaluator as _evaluator
from ...common.stages.teaching import dataloader, loss_hooks, lr_multiplier, model, optimizer, train

dataloader.train.dataset = "cityscapes_train"
dataloader.test.dataset = "bdd100k_daytime_val"
dataloader.evaluator = _evaluator
model.transformer.num_classes = 8
loss_hooks.masked_autoencoder.loader.dataset = "bdd100k_daytime_train"
loss_hooks.teacher.loader.dataset = "bdd100k_daytime_train"

# MRT: 20 epochs of the smaller set's 2975 images, and for the rest what the common stage does; it
# starts from model_best.pth, which target labels chose, and ours does not
train.max_iter = 7450
train.best_metric = "bbox/AP50"
train.init_checkpoint = "output/city2bdd/cross_domain/model_final.pth"
train.output_dir = "output/city2bdd/teaching"
