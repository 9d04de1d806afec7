"""Weak labels of mini-MIAS to INbreast: INbreast images of which only the label is known.

The label is whether an image shows what is to be detected: any lesion, or a malignant one. It is
that of INbreast's training patients, so the held-out ones judge.
"""

from ...common.data.real_mammograms import unlabeled as _images
from ...common.loss_hooks.image_labels import image_labels as _hook
from .control_strong import dataloader, datasets, loss_hooks, lr_multiplier, model, optimizer, train

datasets.test = "inbreast_${.label}_heldout"

loss_hooks.image_labels = _hook
loss_hooks.image_labels.loader = _images
loss_hooks.image_labels.field = "${datasets.label}"

train.output_dir = "output/mias2inbreast/image_labels"
