"""Unlabeled full-size mammograms, strongly augmented, and in pairs of a weak and a strong view."""

from copy import deepcopy

from detectron2.config import LazyCall as L

from medmask.data import (
    DetectionMapper,
    PairedViewMapper,
    build_photometric_augmentation,
    build_train_augmentation,
    build_train_loader,
)

unlabeled = L(build_train_loader)(
    dataset="${datasets.unlabeled}",
    mapper=L(DetectionMapper)(
        with_boxes=False,
        augmentation=L(build_train_augmentation)(
            short_edge_lengths=[800],
            max_size=1333,
            flip_probability=0.5,
            crop_probability=0.0,
            breast_crop=False,
            breast_window=False,
            pixel_spacing_mm=None,
        ),
        photometric=L(build_photometric_augmentation)(
            brightness=0.4,
            contrast=0.4,
            saturation=0.4,
            hue=0.1,
            jitter_probability=0.8,
            grayscale_probability=0.2,
            blur_sigma_range=[0.1, 2.0],
            blur_probability=0.5,
        ),
    ),
    total_batch_size="${dataloader.train.total_batch_size}",
    num_workers="${dataloader.train.num_workers}",
    seed="${train.seed}",
)

# Where the data set has boxes, they come along to log how good a teacher's labels are; nothing
# learns from them.
unlabeled_pairs = deepcopy(unlabeled)
unlabeled_pairs.mapper = L(PairedViewMapper)(
    with_boxes=True,
    augmentation=unlabeled_pairs.mapper.augmentation,
    photometric=unlabeled_pairs.mapper.photometric,
)
