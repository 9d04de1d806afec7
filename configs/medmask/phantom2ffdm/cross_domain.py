"""Stage 2 on phantoms: labeled film, and masked autoencoding of unlabeled ffdm images."""

from ...common.data.phantom import unlabeled as _unlabeled
from ...common.loss_hooks.masked_autoencoder import masked_autoencoder as _hook
from .control_strong import dataloader, lr_multiplier, model, optimizer, train

loss_hooks = dict(masked_autoencoder=_hook)
loss_hooks["masked_autoencoder"].targets.res5 = [8, 6]
loss_hooks["masked_autoencoder"].loader = _unlabeled
loss_hooks["masked_autoencoder"].warmup = 0.2
loss_hooks["masked_autoencoder"].gradient_share = 0.3
# Its decoder is fresh, and has a few hundred steps.
optimizer.params.lr_factors["masked_autoencoder"] = 5.0

train.output_dir = "output/phantom2ffdm/cross_domain"
