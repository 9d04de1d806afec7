"""Stage 2 at full size: supervised losses, and masked autoencoding of unlabeled images.

The mask ratio stays at 0.8, as in MRT and MedMask; D-MASTER lets the loss drive it
(LossDrivenMaskRatio).
"""

from ..data.unlabeled import unlabeled as _unlabeled
from ..loss_hooks.masked_autoencoder import masked_autoencoder as _hook
from .later import dataloader, lr_multiplier, model, optimizer, train

loss_hooks = dict(masked_autoencoder=_hook)
loss_hooks["masked_autoencoder"].loader = _unlabeled
