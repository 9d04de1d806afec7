"""Masked autoencoding alone, on all film images: pretraining for a detector with few labels.

The losses of detection have weight 0, so that no label is used and the decoder stays as it starts;
its two images an iteration are there because every parameter must take part. What is rebuilt are
maps of the backbone as it starts, a random projection of the image.
"""

from ...common.data.phantom import unlabeled as _images
from ...common.loss_hooks.masked_autoencoder import masked_autoencoder as _hook
from .source_only import dataloader, lr_multiplier, model, optimizer, train

_images.dataset = "phantom_film_train"
_images.total_batch_size = 8
dataloader.train.total_batch_size = 2

model.criterion.class_weight = 0.0
model.criterion.box_weight = 0.0
model.criterion.giou_weight = 0.0

loss_hooks = dict(masked_autoencoder=_hook)
loss_hooks["masked_autoencoder"].targets = {"res4": [16, 12], "res5": [8, 6]}
loss_hooks["masked_autoencoder"].loader = _images

train.output_dir = "output/phantom/pretraining"
train.max_iter = 500
train.eval_period = 0
