"""Weak labels on phantoms: labeled film, and ffdm images of which only the label is known."""

from ...common.data.phantom import unlabeled as _images
from ...common.loss_hooks.image_labels import image_labels as _hook
from .control_strong import dataloader, lr_multiplier, model, optimizer, train

loss_hooks = dict(image_labels=_hook)
loss_hooks["image_labels"].loader = _images

train.output_dir = "output/phantom2ffdm/image_labels"
