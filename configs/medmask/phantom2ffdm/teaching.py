"""Teaching on phantoms: labeled film, and an averaged teacher's labels on ffdm images."""

from ...common.data.phantom import unlabeled_pairs as _pairs
from ...common.stages.short_teaching import set_up_short_teaching
from .cross_domain import dataloader, loss_hooks, lr_multiplier, model, optimizer, train

set_up_short_teaching(loss_hooks, _pairs)

train.init_checkpoint = "output/phantom2ffdm/cross_domain/model_final.pth"
train.output_dir = "output/phantom2ffdm/teaching"
