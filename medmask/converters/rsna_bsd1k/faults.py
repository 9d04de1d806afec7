"""Faults that the annotation files of RSNA-BSD1K are known for, and their repair.

The converter by which such files were made writes the sizes of images as text, and boxes as
``[xmin, ymax, width, height]``, where COCO has ``[xmin, ymin, width, height]``.
"""

import logging
import re
from pathlib import Path
from typing import Any

from medmask.coco import CocoTables, corners_are_lower_left

logger = logging.getLogger(__name__)

_NUMBER = re.compile(r"\s*[-+]?[0-9]{1,9}(\.[0-9]{0,9})?\s*")


def repair(content: dict[str, list[dict]], path: Path) -> None:
    """Mend the known faults of an annotation file in place, and log what was mended.

    Args:
        content: lists of records with ids, see :func:`medmask.coco.check.structure_problems`.
        path: of the file, for the message.
    """
    numbers = [
        _to_numbers(image, key) for image in content["images"] for key in ("width", "height")
    ]
    numbers += [_to_numbers(annotation, "bbox") for annotation in content["annotations"]]
    if any(numbers):
        logger.warning("%s has %d numbers as text, which are read as numbers", path, sum(numbers))
    table = CocoTables(content).annotations
    if not corners_are_lower_left(table):
        return
    for annotation, (x, y, width, height) in zip(
        content["annotations"], table.boxes.tolist(), strict=True
    ):
        annotation["bbox"] = [x, y - height, width, height]
    logger.warning(
        "%s has %d boxes as [xmin, ymax, width, height], a known fault: the height is subtracted "
        "from y in all of them",
        path,
        len(table),
    )


def _to_numbers(record: dict, key: str) -> int:
    """Make numbers of a field's texts, and count them."""
    value = record.get(key)
    if isinstance(value, list):
        count = sum(map(_is_number_text, value))
        record[key] = [_to_number(part) for part in value]
        return count
    record[key] = _to_number(value)
    return int(_is_number_text(value))


def _is_number_text(value: Any) -> bool:
    return isinstance(value, str) and _NUMBER.fullmatch(value) is not None


def _to_number(value: Any) -> Any:
    return float(value) if _is_number_text(value) else value
