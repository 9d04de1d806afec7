"""Stage 3 at full size: BiomedCLIP's embeddings of the labeled images teach the detector."""

from ..loss_hooks.expert_distillation import expert_distillation as _hook
from .later import dataloader, lr_multiplier, model, optimizer, train

loss_hooks = dict(expert_distillation=_hook)
loss_hooks["expert_distillation"].stores = ["output/experts/biomedclip/${datasets.train}"]
