"""Masks on phantoms: the outlines of the lesions on labeled film teach the encoder, too."""

from ...common.loss_hooks.masks import lesion_map as _lesion_map
from ...common.loss_hooks.masks import masks as _hook
from .control_strong import dataloader, lr_multiplier, model, optimizer, train

dataloader.train.mapper.lesion_map = _lesion_map

loss_hooks = dict(masks=_hook)
loss_hooks["masks"].channels = 32
# Its decoder is fresh, and has a few hundred steps.
optimizer.params.lr_factors["mask_decoder"] = 5.0

train.output_dir = "output/phantom2ffdm/masks"
