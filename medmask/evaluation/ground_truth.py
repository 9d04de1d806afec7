"""Ground truth of a COCO annotation file."""

import os

from medmask.coco import column, read_coco
from medmask.evaluation.boxes import to_xyxy
from medmask.evaluation.structures import GroundTruth, to_image_sizes


def read_ground_truth(path: str | os.PathLike) -> GroundTruth:
    """Read a COCO annotation file.

    Image records may carry ``patient_id`` and ``laterality``; annotations may carry ``iscrowd``.
    The images themselves are not looked for, and records need no name and no size of theirs.

    Args:
        path: a JSON object with the lists ``images``, ``annotations`` and ``categories``.

    Returns:
        The images and boxes in the order of the file.

    Raises:
        InputError: if the file is missing, is not JSON, or has problems.
    """
    tables = read_coco(path)
    annotations = tables.annotations
    return GroundTruth(
        image_ids=tuple(column(tables.images, "id")),
        category_ids=tuple(column(tables.categories, "id")),
        category_names=tuple(str(c["name"] or c["id"]) for c in tables.categories),
        boxes=to_xyxy(annotations.clipped_boxes()),
        image_indices=annotations.image_indices,
        category_indices=annotations.category_indices,
        is_crowd=annotations.is_crowd(),
        patients=tuple(column(tables.images, "patient_id")),
        lateralities=tuple(column(tables.images, "laterality")),
        file_names=tuple(column(tables.images, "file_name")),
        image_sizes=to_image_sizes(column(tables.images, "width"), column(tables.images, "height")),
    )
