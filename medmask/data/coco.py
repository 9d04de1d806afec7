"""Reading a COCO annotation file into Detectron2's dataset dicts."""

import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detectron2.structures import BoxMode

from medmask.data.categories import map_categories
from medmask.data.coco_check import find_cautions, find_problems
from medmask.errors import InputError

logger = logging.getLogger(__name__)

_MOST_PROBLEMS_SHOWN = 20
_NOT_CARRIED = ("id", "license", "flickr_url", "coco_url", "date_captured")


def read_coco_json(json_file: str | os.PathLike) -> Any:
    """Parse a JSON file.

    Raises:
        InputError: the file is absent, or its JSON is broken or cut off; the message gives the
            line and the offset.
    """
    try:
        content = Path(json_file).read_bytes()
    except OSError as error:
        raise InputError(f"annotation file {json_file}: {error.strerror}") from error
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        at_end = error.pos >= len(error.doc.rstrip()) - 1 or error.msg.startswith("Unterminated")
        what = "is cut off" if at_end else "is not valid JSON"
        raise InputError(
            f"annotation file {json_file} {what} at line {error.lineno}, column {error.colno} "
            f"(offset {error.pos}): {error.msg}; copy or write the file again"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"annotation file {json_file} is not UTF-8 text (offset {error.start}); "
            "copy or write the file again"
        ) from error


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
        thing_classes: the classes, see :func:`medmask.data.categories.map_categories`.

    Returns:
        A list of dicts in Detectron2's format: ``file_name``, ``image_id``, ``height``, ``width``
        and ``annotations``, each with ``bbox`` ([x, y, width, height], within the image),
        ``bbox_mode``, ``category_id`` (contiguous) and ``iscrowd``.

    Raises:
        InputError: the file has problems; the message lists the first of them.
    """
    content = read_coco_json(json_file)
    problems = find_problems(content, image_root=image_root, thing_classes=thing_classes)
    if problems:
        raise InputError(_describe(problems, json_file, image_root))
    for caution in find_cautions(content["annotations"]):
        logger.warning("%s: %s", json_file, caution)
    classes = map_categories(content["categories"], thing_classes)
    records = {image["id"]: _to_record(image, image_root) for image in content["images"]}
    for annotation in content["annotations"]:
        record = records[annotation["image_id"]]
        record["annotations"].append(
            {
                "bbox": _clip(annotation["bbox"], record["width"], record["height"]),
                "bbox_mode": BoxMode.XYWH_ABS,
                "category_id": classes[annotation["category_id"]],
                "iscrowd": annotation.get("iscrowd", 0),
            }
        )
    return list(records.values())


def _to_record(image: dict, image_root: str | os.PathLike) -> dict:
    return {
        **{key: value for key, value in image.items() if key not in _NOT_CARRIED},
        "file_name": os.path.join(image_root, image["file_name"]),
        "image_id": image["id"],
        "height": int(image["height"]),
        "width": int(image["width"]),
        "annotations": [],
    }


def _clip(box: list[float], image_width: int, image_height: int) -> list[float]:
    """Cut off what reaches beyond the image; a box inside is returned with its very numbers."""
    x, y, width, height = box
    right, bottom = x + width, y + height
    if x >= 0 and y >= 0 and right <= image_width and bottom <= image_height:
        return box
    left, top = max(x, 0), max(y, 0)
    return [left, top, min(right, image_width) - left, min(bottom, image_height) - top]


def _describe(
    problems: list[str], json_file: str | os.PathLike, image_root: str | os.PathLike
) -> str:
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    lines = [f"annotation file {json_file} has {count}:"]
    lines += [f"  {problem}" for problem in problems[:_MOST_PROBLEMS_SHOWN]]
    if len(problems) > _MOST_PROBLEMS_SHOWN:
        lines.append(
            f"  and {len(problems) - _MOST_PROBLEMS_SHOWN} more; run "
            f"tools/check_dataset.py --json {json_file} --images {image_root}"
        )
    return "\n".join(lines)
