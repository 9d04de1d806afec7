"""Data sets, image reading, augmentation and loaders.

Importing this package registers the data sets with Detectron2 by name and touches no disk.
"""

from medmask.data.catalog import register_coco_dataset, register_datasets

register_datasets()

__all__ = ["register_coco_dataset", "register_datasets"]
