"""Real mammograms in copies of 640 pixels, at the size that the benchmarks on them share."""

from .mammography import dataloader
from .unlabeled import unlabeled, unlabeled_pairs

_SHORT_EDGE = 448
_LONGEST_EDGE = 640

dataloader.train.mapper.augmentation.short_edge_lengths = [_SHORT_EDGE]
dataloader.train.mapper.augmentation.max_size = _LONGEST_EDGE
dataloader.train.mapper.augmentation.crop_probability = 0.0
dataloader.train.num_workers = 1

dataloader.test.mapper.augmentation.short_edge_length = _SHORT_EDGE
dataloader.test.mapper.augmentation.max_size = _LONGEST_EDGE
dataloader.test.num_workers = 1

for _loader in (unlabeled, unlabeled_pairs):
    _loader.mapper.augmentation.short_edge_lengths = [_SHORT_EDGE]
    _loader.mapper.augmentation.max_size = _LONGEST_EDGE
    # about half of the full-size range, as the images are
    _loader.mapper.photometric.blur_sigma_range = [0.1, 1.0]
