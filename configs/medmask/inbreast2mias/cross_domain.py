"""Stage 2 of INbreast to mini-MIAS: masked autoencoding of unlabeled mini-MIAS images."""

from ...common.data.real_mammograms import unlabeled as _unlabeled
from ...common.stages.short_cross_domain import add_masked_autoencoder as _add_masked_autoencoder
from .control_strong import dataloader, datasets, loss_hooks, lr_multiplier, model, optimizer, train

_add_masked_autoencoder(loss_hooks, optimizer, _unlabeled, map_size=[24, 18])

train.output_dir = "output/inbreast2mias/cross_domain"
