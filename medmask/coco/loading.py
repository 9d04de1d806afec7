"""Reading a COCO annotation file, for training and for evaluation."""

import os
from collections.abc import Sequence
from pathlib import Path

from detectron2.structures import BoxMode

from medmask.coco.categories import map_categories
from medmask.coco.check import category_problems, structure_problems, table_problems
from medmask.coco.tables import CocoTables
from medmask.errors import InputError
from medmask.utils.json_files import read_json

_MOST_PROBLEMS_SHOWN = 20
_NOT_CARRIED = ("id", "license", "flickr_url", "coco_url", "date_captured")


def read_coco(
    json_file: str | os.PathLike,
    image_root: str | os.PathLike | None = None,
    thing_classes: Sequence[str] | None = None,
) -> CocoTables:
    """Read an annotation file and check it.

    The loader of data sets, the evaluation of detections and the tools all read annotations here,
    so that they agree on what a file says, and on whether it is sound.

    Args:
        json_file: a COCO annotation file.
        image_root: the folder that the file names are relative to; None if the images are not to
            be read, see :func:`medmask.coco.check.find_problems`.
        thing_classes: the classes, see :func:`medmask.coco.categories.map_categories`.

    Returns:
        The records, none of which has a fault.

    Raises:
        InputError: the file cannot be read, or has problems; the message lists the first of them.
    """
    content = read_json(json_file, "annotation file")
    problems = list(structure_problems(content))
    if not problems:
        tables = CocoTables(content)
        problems = table_problems(tables, image_root=image_root, thing_classes=thing_classes)
    if problems:
        raise InputError(_describe(problems, json_file, image_root))
    return tables


def read_categories(
    json_file: str | os.PathLike, thing_classes: Sequence[str] | None = None
) -> list[dict]:
    """Read the categories alone, each with ``id`` and ``name``; arguments as :func:`read_coco`."""
    content = read_json(json_file, "annotation file")
    problems = list(structure_problems(content))
    if not problems:
        categories = CocoTables({**content, "annotations": []}).categories
        problems = category_problems(categories, thing_classes)
    if problems:
        raise InputError(_describe(problems, json_file))
    return categories


def load_coco(
    json_file: str | os.PathLike,
    image_root: str | os.PathLike,
    thing_classes: Sequence[str] | None = None,
) -> list[dict]:
    """Load a data set after checking it.

    Images without annotations stay: most mammograms are negative. All other fields of an image
    record (``patient_id``, ``view``, ``laterality``, ...) are carried over.

    Args:
        json_file: a COCO annotation file.
        image_root: the folder that the file names are relative to.
        thing_classes: the classes, see :func:`medmask.coco.categories.map_categories`.

    Returns:
        A list of dicts in Detectron2's format: ``file_name``, ``image_id``, ``height``, ``width``
        and ``annotations``, each with ``bbox`` ([x, y, width, height], within the image),
        ``bbox_mode``, ``category_id`` (contiguous) and ``iscrowd``.

    Raises:
        InputError: the file has problems; the message lists the first of them.
    """
    tables = read_coco(json_file, image_root, thing_classes)
    records = [_to_record(image, image_root) for image in tables.images]
    annotations = tables.annotations
    classes = map_categories(tables.categories, thing_classes)
    for image_index, category_id, box, is_crowd in zip(
        annotations.image_indices.tolist(),
        annotations.category_ids,
        annotations.clipped_boxes().tolist(),
        annotations.is_crowd().tolist(),
        strict=True,
    ):
        records[image_index]["annotations"].append(
            {
                "bbox": box,
                "bbox_mode": BoxMode.XYWH_ABS,
                "category_id": classes[category_id],
                "iscrowd": int(is_crowd),
            }
        )
    return records


def _to_record(image: dict, image_root: str | os.PathLike) -> dict:
    return {
        **{key: value for key, value in image.items() if key not in _NOT_CARRIED},
        "file_name": str(Path(image_root, image["file_name"])),
        "image_id": image["id"],
        "annotations": [],
    }


def _describe(
    problems: list[str], json_file: str | os.PathLike, image_root: str | os.PathLike | None = None
) -> str:
    if len(problems) == 1:
        return f"annotation file {json_file} has a problem: {problems[0]}"
    lines = [f"annotation file {json_file} has {len(problems)} problems:"]
    lines += [f"  {problem}" for problem in problems[:_MOST_PROBLEMS_SHOWN]]
    if len(problems) > _MOST_PROBLEMS_SHOWN:
        images = "DIR" if image_root is None else image_root
        lines.append(
            f"  and {len(problems) - _MOST_PROBLEMS_SHOWN} more; run "
            f"tools/check_dataset.py --json {json_file} --images {images}"
        )
    return "\n".join(lines)
