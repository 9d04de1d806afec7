"""COCO annotation files: the one reader of them, and the checks of their content.

The loader of data sets, the checker, the evaluation of detections and the tools all read
annotations by :func:`read_coco`, so that they agree on what a file says, and on whether it
is sound. Nothing here imports PyTorch or Detectron2.
"""

from medmask.coco.annotation_check import corners_are_lower_left
from medmask.coco.categories import (
    category_names,
    check_class_names,
    class_of_name,
    map_categories,
)
from medmask.coco.check import check_content
from medmask.coco.image_check import name_problems
from medmask.coco.reading import read_categories, read_coco
from medmask.coco.run_length import decode_mask, encode_mask
from medmask.coco.tables import AnnotationTable, CocoTables, image_label, is_length
from medmask.coco.values import (
    as_flag,
    as_given,
    as_id,
    as_label,
    column,
    look_up,
    numbers,
    quadruples,
    written_otherwise,
)

__all__ = [
    "AnnotationTable",
    "CocoTables",
    "as_flag",
    "as_given",
    "as_id",
    "as_label",
    "category_names",
    "check_class_names",
    "check_content",
    "class_of_name",
    "column",
    "corners_are_lower_left",
    "decode_mask",
    "encode_mask",
    "image_label",
    "is_length",
    "look_up",
    "map_categories",
    "name_problems",
    "numbers",
    "quadruples",
    "read_categories",
    "read_coco",
    "written_otherwise",
]
