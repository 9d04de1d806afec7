"""Stage 2 of INbreast to mini-MIAS: masked autoencoding of unlabeled mini-MIAS images."""

from ...common.data.real_mammograms import unlabeled as _unlabeled
from ...common.loss_hooks.masked_autoencoder import masked_autoencoder as _hook
from .control_strong import dataloader, datasets, loss_hooks, lr_multiplier, model, optimizer, train

loss_hooks.masked_autoencoder = _hook
loss_hooks.masked_autoencoder.targets.res5 = [24, 18]
loss_hooks.masked_autoencoder.loader = _unlabeled

train.output_dir = "output/inbreast2mias/cross_domain"
