"""Teaching at full size: an averaged teacher labels the target images, without their labels.

Domain discriminators all the time, masked autoencoding in the first quarter, a constant rate. The
numbers are D-MASTER's for mammograms.

Ours differs in the number of iterations (there an epoch is one of the smaller set, so that the
teacher, an average over 2,500 iterations, sees 400 to 1,700), and in thresholds: they start at 0.3
as in MRT (there at 0.1, below their own lowest) and follow the student, while D-MASTER's code has
the options of that rule but lets ConfidenceRefinement(soft=0.1, hard=0.8) have the last word.
"""

from ..data.unlabeled import unlabeled_pairs as _pairs
from ..loss_hooks.teaching import domain_adversarial as _domain_adversarial
from ..loss_hooks.teaching import selective_retraining as _selective_retraining
from ..loss_hooks.teaching import teacher as _teacher
from ..schedule import constant_schedule as lr_multiplier
from .cross_domain import dataloader, loss_hooks, model, optimizer, train
from .published_teaching import teach_as_d_master as _teach_as_d_master

loss_hooks.teacher = _teacher
loss_hooks.teacher.loader = _pairs
loss_hooks.domain_adversarial = _domain_adversarial
loss_hooks.selective_retraining = _selective_retraining

_teach_as_d_master(loss_hooks, optimizer)
