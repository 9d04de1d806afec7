"""The stricter control: stage 1 continued, with the strong augmentation of the later stages.

That takes the place of stage 1's random windows and gammas, which the later stages do without.
"""

from ...common.data.real_mammograms import unlabeled as _unlabeled
from .control import dataloader, datasets, loss_hooks, lr_multiplier, model, optimizer, train

dataloader.train.mapper.photometric = _unlabeled.mapper.photometric

train.output_dir = "output/mias2inbreast/control_strong"
