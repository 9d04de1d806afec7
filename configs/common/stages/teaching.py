"""Teaching at full size: an averaged teacher labels the target images, without their labels.

Domain discriminators all the time, masked autoencoding in the first quarter. The numbers are
D-MASTER's for mammograms: 20 epochs at a constant rate, masked autoencoding for 5, retraining after
10, thresholds renewed once an epoch, pseudo boxes that teach where they are.

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

loss_hooks.masked_autoencoder.duration = 0.25
loss_hooks.teacher = _teacher
loss_hooks.teacher.loader = _pairs
loss_hooks.teacher.teach_boxes = True
loss_hooks.teacher.threshold.scale = 0.9
loss_hooks.teacher.threshold.highest = 0.6
loss_hooks.domain_adversarial = _domain_adversarial
loss_hooks.selective_retraining = _selective_retraining
