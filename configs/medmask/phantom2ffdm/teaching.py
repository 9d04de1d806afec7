"""Teaching on phantoms: labeled film, and an averaged teacher's labels on ffdm images."""

from ...common.data.phantom import unlabeled_pairs as _pairs
from ...common.stages.short_teaching import add_teacher as _add_teacher
from .control_strong import dataloader, lr_multiplier, model, optimizer, train

loss_hooks = {}
_add_teacher(loss_hooks, _pairs)

train.output_dir = "output/phantom2ffdm/teaching"
