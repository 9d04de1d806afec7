"""Stage 2 of INbreast to mini-MIAS: masked autoencoding of unlabeled mini-MIAS images."""

from ...common.data.real_mammograms import unlabeled as _unlabeled
from ...common.loss_hooks.masked_autoencoder import masked_autoencoder as _hook
from .control_strong import dataloader, datasets, lr_multiplier, model, optimizer, train

loss_hooks = dict(masked_autoencoder=_hook)
loss_hooks["masked_autoencoder"].targets.res5 = [18, 14]
loss_hooks["masked_autoencoder"].loader = _unlabeled

train.output_dir = "output/inbreast2mias/cross_domain"
