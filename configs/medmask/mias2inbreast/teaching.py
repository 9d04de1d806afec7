"""Teaching of mini-MIAS to INbreast: an averaged teacher labels the INbreast images."""

from ...common.data.real_mammograms import unlabeled_pairs as _pairs
from ...common.stages.short_teaching import add_teacher as _add_teacher
from .control_strong import dataloader, datasets, loss_hooks, lr_multiplier, model, optimizer, train

_add_teacher(loss_hooks, _pairs)

train.output_dir = "output/mias2inbreast/teaching"
