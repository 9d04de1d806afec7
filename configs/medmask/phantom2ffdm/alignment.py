"""Alignment of film and ffdm phantoms: discriminators make the features of both alike."""

from ...common.data.phantom import unlabeled as _unlabeled
from ...common.loss_hooks.teaching import domain_adversarial as _hook
from .control_strong import dataloader, lr_multiplier, model, optimizer, train

loss_hooks = dict(domain_adversarial=_hook)
loss_hooks["domain_adversarial"].loader = _unlabeled

train.output_dir = "output/phantom2ffdm/alignment"
