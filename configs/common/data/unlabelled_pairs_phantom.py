"""Unlabelled phantoms in pairs of a weak and a strong view.

Their boxes come along, which exist for phantoms, to log how good a teacher's labels are.
"""

from detectron2.config import LazyCall as L

from medmask.data import PairedViewMapper

from .unlabelled_phantom import unlabelled as unlabelled_pairs

unlabelled_pairs.mapper = L(PairedViewMapper)(
    is_train=True,
    augmentation=unlabelled_pairs.mapper.augmentation,
    photometric=unlabelled_pairs.mapper.photometric,
)
