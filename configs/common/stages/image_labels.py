"""Labels of whole images at full size: supervised losses, and images of which the label is known.

The detector's own scores are held to these labels; boxes of these images are not needed.
"""

from ..data.unlabeled import unlabeled as _images
from ..loss_hooks.image_labels import image_labels as _hook
from ..loss_hooks.weight_averaging import weight_averaging as _weight_averaging
from .later import dataloader, lr_multiplier, model, optimizer, train

loss_hooks = dict(image_labels=_hook, weight_averaging=_weight_averaging)
loss_hooks["image_labels"].loader = _images
