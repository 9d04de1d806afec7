"""Stage 2 on phantoms: labelled film, and masked autoencoding of unlabelled ffdm images."""

from ...common.data.unlabelled_phantom import unlabelled as _unlabelled
from ...common.loss_hooks.masked_autoencoder import masked_autoencoder as _hook
from .control_strong import dataloader, lr_multiplier, model, optimizer, train

loss_hooks = dict(masked_autoencoder=_hook)
loss_hooks["masked_autoencoder"].targets.res5 = [8, 6]
loss_hooks["masked_autoencoder"].loader = _unlabelled

train.output_dir = "output/phantom2ffdm/cross_domain"
