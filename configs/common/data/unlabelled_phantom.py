"""Unlabelled phantoms of 192 x 256 pixels (width x height), at their own size."""

from .unlabelled import unlabelled

unlabelled.dataset = "phantom_ffdm_train"
unlabelled.mapper.augmentation.short_edge_lengths = [192]
# A quarter of the full-size range, as the images are.
unlabelled.mapper.photometric.blur_sigma_range = [0.1, 0.5]
