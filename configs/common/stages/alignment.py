"""Alignment at full size: supervised losses, and discriminators that tell the domains apart.

Their gradient is reversed, so the features of labeled and of unlabeled images become alike. It is
the part of teaching that needs no teacher.
"""

from ..data.unlabeled import unlabeled as _unlabeled
from ..loss_hooks.teaching import domain_adversarial as _hook
from ..loss_hooks.weight_averaging import weight_averaging as _weight_averaging
from .later import dataloader, lr_multiplier, model, optimizer, train

loss_hooks = dict(domain_adversarial=_hook, weight_averaging=_weight_averaging)
loss_hooks["domain_adversarial"].loader = _unlabeled
