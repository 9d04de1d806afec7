"""Data sets, image reading, augmentation and loaders.

Importing this package registers the data sets with Detectron2 by name and touches no disk.
"""

from medmask.data.augmentation import build_test_augmentation, build_train_augmentation
from medmask.data.catalog import register_coco_dataset, register_datasets
from medmask.data.loaders import build_test_loader, build_train_loader
from medmask.data.mapper import DetectionMapper
from medmask.data.mixup import Mixup
from medmask.data.outlines import LesionMapDrawer
from medmask.data.paired_view_mapper import PairedViewMapper
from medmask.data.photometric import build_photometric_augmentation
from medmask.data.sample_pasting import LesionPasting
from medmask.images import count_frames, read_image

register_datasets()

__all__ = [
    "DetectionMapper",
    "LesionMapDrawer",
    "LesionPasting",
    "Mixup",
    "PairedViewMapper",
    "build_photometric_augmentation",
    "build_test_augmentation",
    "build_test_loader",
    "build_train_augmentation",
    "build_train_loader",
    "count_frames",
    "read_image",
    "register_coco_dataset",
    "register_datasets",
]
