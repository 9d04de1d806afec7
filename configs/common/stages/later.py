"""What the stages after the first have in common: they go on from its weights, more slowly."""

from .source_only import dataloader, lr_multiplier, model, optimizer, train

model.transformer.dropout = 0.0
optimizer.lr = 2e-5

train.init_checkpoint = "???"
train.max_iter = 5000
