"""The common part of the stages after the first on real mammograms, and their control."""

from .real_mammograms import dataloader, loss_hooks, lr_multiplier, model, optimizer, train

optimizer.lr = 1e-4

train.init_checkpoint = "???"
train.max_iter = 300
