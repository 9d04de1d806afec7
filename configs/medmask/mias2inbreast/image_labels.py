"""Weak labels of mini-MIAS to INbreast: INbreast images of which only the label is known.

Images that are not malignant do not count, as they may show benign lesions, which this detector is
to find. The labels are those of INbreast's training patients, so the held-out ones judge.
"""

from ...common.data.real_mammograms import unlabeled as _images
from ...common.loss_hooks.image_labels import image_labels as _hook
from .control_strong import dataloader, datasets, loss_hooks, lr_multiplier, model, optimizer, train

datasets.test = "inbreast_${.label}_heldout"

loss_hooks.image_labels = _hook
loss_hooks.image_labels.loader = _images
loss_hooks.image_labels.negatives = False

train.output_dir = "output/mias2inbreast/image_labels"
