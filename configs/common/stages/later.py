"""The common part of the stages after the first.

They go on from its weights, more slowly, with strong augmentation of labeled images, too.
"""

from ..data.unlabeled import unlabeled as _unlabeled
from .source_only import dataloader, lr_multiplier, model, optimizer, train

dataloader.train.mapper.augmentation = _unlabeled.mapper.augmentation
dataloader.train.mapper.photometric = _unlabeled.mapper.photometric

model.transformer.dropout = 0.0
optimizer.lr = 2e-5

train.init_checkpoint = "???"
# MedMask: 20 epochs of 2 images an iteration, which are 2,000 (INbreast) to 10,000 (BCD-DDSM)
# iterations; ours has 8 images in each.
train.max_iter = 5000
