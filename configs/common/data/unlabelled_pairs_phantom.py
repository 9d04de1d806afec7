"""Unlabelled phantoms in pairs of a weak and a strong view."""

from .unlabelled_pairs import unlabelled_pairs
from .unlabelled_phantom import unlabelled as _unlabelled

unlabelled_pairs.dataset = _unlabelled.dataset
unlabelled_pairs.mapper.augmentation = _unlabelled.mapper.augmentation
unlabelled_pairs.mapper.photometric = _unlabelled.mapper.photometric
