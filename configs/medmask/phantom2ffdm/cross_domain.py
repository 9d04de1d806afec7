"""Stage 2 on phantoms: labeled film, and masked autoencoding of unlabeled ffdm images."""

from ...common.data.phantom import unlabeled as _unlabeled
from ...common.stages.short_cross_domain import add_masked_autoencoder as _add_masked_autoencoder
from .control_strong import dataloader, lr_multiplier, model, optimizer, train

loss_hooks = {}
_add_masked_autoencoder(loss_hooks, optimizer, _unlabeled, map_size=[8, 6])

train.output_dir = "output/phantom2ffdm/cross_domain"
