"""Real mammograms, cropped to the breast, at a size for training on a CPU.

The long edge of a breast has 768 pixels, about 0.25 mm each; 512 hardly resolve calcifications.
Between film and digital scanners, and from woman to woman, lesions differ in scale and gray levels;
the augmentation of stage 1 stands for that.
"""

from detectron2.config import LazyCall as L

from medmask.data import build_photometric_augmentation

from .mammography import dataloader
from .unlabeled import unlabeled, unlabeled_pairs

_LONG_EDGE = 768
_SCALE_RANGE = [0.8, 1.25]

dataloader.train.mapper.augmentation.short_edge_lengths = [_LONG_EDGE]
dataloader.train.mapper.augmentation.max_size = _LONG_EDGE
dataloader.train.mapper.augmentation.crop_probability = 0.0
dataloader.train.mapper.augmentation.breast_crop = True
dataloader.train.mapper.augmentation.scale_range = _SCALE_RANGE
dataloader.train.mapper.photometric = L(build_photometric_augmentation)(
    window_jitter=0.1,
    gamma_range=[0.6, 1.6],
    window_probability=1.0,
    jitter_probability=0.0,
    grayscale_probability=0.0,
    blur_probability=0.0,
)
dataloader.train.lesion_share = 0.5  # two of three films have none
dataloader.train.total_batch_size = 2
dataloader.train.num_workers = 1

dataloader.test.mapper.augmentation.short_edge_length = _LONG_EDGE
dataloader.test.mapper.augmentation.max_size = _LONG_EDGE
dataloader.test.mapper.augmentation.breast_crop = True
dataloader.test.num_workers = 1

for _loader in (unlabeled, unlabeled_pairs):
    _loader.mapper.augmentation.short_edge_lengths = [_LONG_EDGE]
    _loader.mapper.augmentation.max_size = _LONG_EDGE
    _loader.mapper.augmentation.breast_crop = True
    _loader.mapper.augmentation.scale_range = _SCALE_RANGE
    # about half of the full-size range, as the images are
    _loader.mapper.photometric.blur_sigma_range = [0.1, 1.0]
