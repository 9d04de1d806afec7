"""Teaching at full size: an averaged teacher labels the target images, without their labels.

Domain discriminators all the time, masked autoencoding in the first epochs.
"""

from ..data.unlabelled_pairs import unlabelled_pairs as _pairs
from ..loss_hooks.teaching import domain_adversarial as _domain_adversarial
from ..loss_hooks.teaching import selective_retraining as _selective_retraining
from ..loss_hooks.teaching import teacher as _teacher
from ..models.discriminators import discriminators as _discriminators
from .cross_domain import dataloader, loss_hooks, lr_multiplier, model, optimizer, train

model.training_modules.discriminators = _discriminators

loss_hooks.masked_autoencoder.last_epoch = 10
loss_hooks.teacher = _teacher
loss_hooks.teacher.loader = _pairs
loss_hooks.domain_adversarial = _domain_adversarial
loss_hooks.selective_retraining = _selective_retraining
