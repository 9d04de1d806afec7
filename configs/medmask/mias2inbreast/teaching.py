"""Teaching of mini-MIAS to INbreast: an averaged teacher labels the INbreast images.

It starts from stage 1, as the other later stages here do, not from stage 2.
"""

from ...common.data.real_mammograms import unlabeled_pairs as _pairs
from ...common.stages.short_teaching import set_up_short_teaching
from .cross_domain import dataloader, datasets, loss_hooks, lr_multiplier, model, optimizer, train

set_up_short_teaching(loss_hooks, _pairs)

train.output_dir = "output/mias2inbreast/teaching"
