"""All of MRT on phantoms, as published: teaching, masked autoencoding and retraining."""

from ...common.data.phantom import unlabeled_pairs as _pairs
from ...common.stages.short_teaching import add_mrt as _add_mrt
from .cross_domain import dataloader, loss_hooks, lr_multiplier, model, optimizer, train

_add_mrt(loss_hooks, _pairs)

train.init_checkpoint = "output/phantom2ffdm/cross_domain/model_final.pth"
train.output_dir = "output/phantom2ffdm/masked_retraining_teacher"
