"""The stricter control: stage 1 continued, with the strong augmentation of the later stages."""

from ...common.data.phantom import unlabeled as _unlabeled
from .control import dataloader, lr_multiplier, model, optimizer, train

dataloader.train.mapper.photometric = _unlabeled.mapper.photometric

train.output_dir = "output/phantom2ffdm/control_strong"
