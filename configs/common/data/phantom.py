"""Generated mammograms of 192 x 256 pixels (width x height), at their own size."""

from .mammography import dataloader
from .unlabeled import unlabeled, unlabeled_pairs

dataloader.train.dataset = "phantom_film_train"
dataloader.train.mapper.augmentation.short_edge_lengths = [192]
dataloader.train.mapper.augmentation.crop_probability = 0.0
dataloader.train.num_workers = 2

dataloader.test.dataset = "phantom_film_val"
dataloader.test.mapper.augmentation.short_edge_length = 192
dataloader.test.batch_size = 8
dataloader.test.num_workers = 2

for _loader in (unlabeled, unlabeled_pairs):
    _loader.dataset = "phantom_ffdm_train"
    _loader.mapper.augmentation.short_edge_lengths = [192]
    # A quarter of the full-size range, as the images are.
    _loader.mapper.photometric.blur_sigma_range = [0.1, 0.5]
