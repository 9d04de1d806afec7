"""Masks of mini-MIAS to INbreast: mini-MIAS has circles, which are the ellipses in its boxes."""

from ...common.loss_hooks.masks import lesion_map as _lesion_map
from ...common.loss_hooks.masks import masks as _hook
from .control_strong import dataloader, datasets, loss_hooks, lr_multiplier, model, optimizer, train

dataloader.train.mapper.lesion_map = _lesion_map
dataloader.train.mapper.lesion_map.without_outline = "ellipse"

loss_hooks.masks = _hook
loss_hooks.masks.channels = 32
# Its decoder is fresh, and has a few hundred steps.
optimizer.params.lr_factors["mask_decoder"] = 5.0

train.output_dir = "output/mias2inbreast/masks"
