"""Stage 2 of sim2city: masked autoencoding of unlabelled Cityscapes images; cars only."""

from ...common.data.street_scenes import evaluator as _evaluator
from ...common.stages.cross_domain import (
    dataloader,
    loss_hooks,
    lr_multiplier,
    model,
    optimizer,
    train,
)

dataloader.train.dataset = "sim10k_train"
dataloader.test.dataset = "cityscapes_caronly_val"
dataloader.evaluator = _evaluator
model.transformer.num_classes = 1
loss_hooks.masked_autoencoder.loader.dataset = "cityscapes_caronly_train"

# MRT: 40 epochs of the smaller set's 2975 images, 20 of them at the full rate, which is that of
# stage 1; it starts from model_best.pth, which target labels chose, and ours does not
optimizer.lr = 2e-4
lr_multiplier.milestones = [0.5]

train.max_iter = 14900
train.best_metric = "bbox/AP50"
train.init_checkpoint = "output/sim2city/source_only/model_final.pth"
train.output_dir = "output/sim2city/cross_domain"
