"""The common part of the stages after the first on real mammograms, and their control.

As in the full-size detector, BatchNorm is frozen: its statistics would mix two scanners wherever a
stage sees both.
"""

from .real_mammograms import dataloader, lr_multiplier, model, optimizer, train

model.backbone.norm = "FrozenBN"

optimizer.lr = 2e-4

train.init_checkpoint = "???"
train.max_iter = 400
