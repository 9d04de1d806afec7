"""Teaching of sim2city: a teacher labels the Cityscapes images; cars only."""

from ...common.data.street_scenes import evaluator as _evaluator
from ...common.stages.teaching import dataloader, loss_hooks, lr_multiplier, model, optimizer, train

dataloader.train.dataset = "sim10k_train"
dataloader.test.dataset = "cityscapes_caronly_val"
dataloader.evaluator = _evaluator
model.transformer.num_classes = 1
loss_hooks.masked_autoencoder.loader.dataset = "cityscapes_caronly_train"
loss_hooks.teacher.loader.dataset = "cityscapes_caronly_train"

# MRT: 20 epochs of the smaller set's 2975 images, masked autoencoding for 10, retraining after 10;
# it starts from model_best.pth, which target labels chose, and ours does not
optimizer.lr = 2e-4
loss_hooks.masked_autoencoder.duration = 0.5
loss_hooks.teacher.threshold.scale = 0.5
loss_hooks.teacher.threshold.highest = 0.5

train.max_iter = 7450
train.best_metric = "bbox/AP50"
train.init_checkpoint = "output/sim2city/cross_domain/model_final.pth"
train.output_dir = "output/sim2city/teaching"
