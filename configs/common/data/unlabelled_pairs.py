"""Unlabelled full-size mammograms in pairs of a weak and a strong view.

Where the data set has boxes, they come along to log how good a teacher's labels are; nothing learns
from them.
"""

from detectron2.config import LazyCall as L

from medmask.data import PairedViewMapper

from .unlabelled import unlabelled as unlabelled_pairs

unlabelled_pairs.mapper = L(PairedViewMapper)(
    with_boxes=True,
    augmentation=unlabelled_pairs.mapper.augmentation,
    photometric=unlabelled_pairs.mapper.photometric,
)
