"""Teaching of mini-MIAS to INbreast: an averaged teacher labels the INbreast images."""

from ...common.data.real_mammograms import unlabeled_pairs as _pairs
from ...common.stages.short_teaching import set_up_short_teaching
from .cross_domain import dataloader, datasets, loss_hooks, lr_multiplier, model, optimizer, train

set_up_short_teaching(loss_hooks, _pairs)

train.output_dir = "output/mias2inbreast/teaching"
