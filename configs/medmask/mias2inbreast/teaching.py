"""Teaching of mini-MIAS to INbreast: an averaged teacher labels the INbreast images.

Domain discriminators all the time, masked autoencoding in the first third of the run.
"""

from ...common.data.real_mammograms import unlabeled_pairs as _pairs
from ...common.loss_hooks.teaching import domain_adversarial as _domain_adversarial
from ...common.loss_hooks.teaching import selective_retraining as _selective_retraining
from ...common.loss_hooks.teaching import teacher as _teacher
from .cross_domain import dataloader, datasets, loss_hooks, lr_multiplier, model, optimizer, train

loss_hooks.masked_autoencoder.duration = 0.33
loss_hooks.teacher = _teacher
loss_hooks.teacher.loader = _pairs
loss_hooks.teacher.ema_decay = 0.99
loss_hooks.teacher.teach_boxes = True  # as D-MASTER on mammograms
loss_hooks.domain_adversarial = _domain_adversarial
loss_hooks.selective_retraining = _selective_retraining

train.output_dir = "output/mias2inbreast/teaching"
