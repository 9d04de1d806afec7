"""Unlabelled full-size mammograms, strongly augmented; a benchmark names its data sets."""

from detectron2.config import LazyCall as L

from medmask.data import (
    DetectionMapper,
    build_photometric_augmentation,
    build_train_augmentation,
    build_train_loader,
)

unlabelled = L(build_train_loader)(
    dataset="???",
    mapper=L(DetectionMapper)(
        with_boxes=False,
        augmentation=L(build_train_augmentation)(
            short_edge_lengths=[800],
            max_size=1333,
            flip_probability=0.5,
            crop_probability=0.0,
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
