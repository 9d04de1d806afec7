"""All of MRT, mini-MIAS to INbreast: teaching, masked autoencoding and retraining.

It starts from stage 1, as the other later stages here do, not from stage 2.
"""

from ...common.data.real_mammograms import unlabeled_pairs as _pairs
from ...common.stages.short_teaching import add_mrt as _add_mrt
from .cross_domain import dataloader, datasets, loss_hooks, lr_multiplier, model, optimizer, train

_add_mrt(loss_hooks, _pairs)

train.output_dir = "output/mias2inbreast/masked_retraining_teacher"
