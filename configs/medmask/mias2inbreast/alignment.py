"""Alignment of mini-MIAS and INbreast: discriminators make the features of both alike."""

from ...common.data.real_mammograms import unlabeled as _unlabeled
from ...common.loss_hooks.teaching import domain_adversarial as _hook
from .control_strong import dataloader, datasets, loss_hooks, lr_multiplier, model, optimizer, train

loss_hooks.domain_adversarial = _hook
loss_hooks.domain_adversarial.loader = _unlabeled

train.output_dir = "output/mias2inbreast/alignment"
