"""Finding everything that is wrong with a COCO annotation file, at once.

A box is [x, y, width, height] in pixels of the image, with (x, y) its upper left corner and (0, 0)
the upper left corner of the image. Boxes may reach up to one pixel beyond the image, as rounding
makes them do: the loader clips those without complaint.
"""

import math
import os
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from medmask.data.categories import map_categories
from medmask.errors import InputError

OVERHANG_TOLERANCE = 1.0
"""Pixels by which a box may reach beyond its image."""

_TOP_LEVEL_KEYS = ("images", "annotations", "categories")


def find_problems(
    content: Any,
    *,
    image_root: str | os.PathLike | None = None,
    thing_classes: Sequence[str] | None = None,
) -> list[str]:
    """List every problem of a COCO file.

    Args:
        content: the parsed JSON.
        image_root: the folder that the file names are relative to; None leaves out the check that
            every image exists.
        thing_classes: the classes of the data set, see :func:`map_categories`.

    Returns:
        One sentence a problem, each with the id of the record. Empty if the file is sound.
    """
    problems = list(structure_problems(content))
    if problems:
        return problems
    images, annotations = content["images"], content["annotations"]
    category_problems = list(_category_problems(content["categories"], thing_classes))
    problems += category_problems
    problems += _image_problems(images)
    # without sound categories there is no telling which annotations are of the wanted classes
    wanted = None if category_problems else thing_classes
    problems += _annotation_problems(annotations, content["categories"], wanted)
    problems += _box_problems(annotations, images)
    if image_root is not None:
        problems += _missing_files(images, Path(image_root))
    return problems


def find_cautions(annotations: list[dict]) -> list[str]:
    """List what training does not mind, but Detectron2's ``COCOEvaluator`` does."""
    cautions = []
    for field in ("area", "iscrowd"):
        ids = [annotation["id"] for annotation in annotations if field not in annotation]
        if ids:
            cautions.append(
                f"{len(ids)} annotations have no '{field}' ({_some(ids)}), which COCOEvaluator "
                "needs; FROC is not concerned"
            )
    if any(annotation["id"] == 0 for annotation in annotations):
        cautions.append(
            "an annotation has the id 0, which COCOEvaluator takes for 'not matched', so its AP "
            "misses that lesion; number the annotations from 1"
        )
    return cautions


def is_box(box: Any) -> bool:
    """Whether ``box`` is four finite numbers with a positive width and height."""
    return _box_fault(box) is None


def is_size(value: Any) -> bool:
    """Whether ``value`` is a positive whole number (of type int or float, never text)."""
    return _is_number(value) and value > 0 and value == int(value)


def structure_problems(content: Any) -> Iterator[str]:
    """Find what keeps ``content`` from being lists of records with ids, as COCO has them."""
    if not isinstance(content, dict):
        yield f"the top level is a {type(content).__name__}, not an object with {_TOP_LEVEL_KEYS}"
        return
    for key in _TOP_LEVEL_KEYS:
        if key not in content:
            yield f"the top-level key '{key}' is missing"
        elif not isinstance(content[key], list):
            yield f"the top-level key '{key}' is a {type(content[key]).__name__}, not a list"
        else:
            for index, record in enumerate(content[key]):
                if not isinstance(record, dict):
                    yield f"{key}[{index}] is a {type(record).__name__}, not an object"
                elif not isinstance(record.get("id"), int | str):
                    yield f"{key}[{index}] has no usable 'id' (it is {record.get('id')!r})"


def _category_problems(
    categories: list[dict], thing_classes: Sequence[str] | None
) -> Iterator[str]:
    faulty = list(_duplicates("category id", (category["id"] for category in categories)))
    for category in categories:
        if not isinstance(category["id"], int):
            faulty.append(f"category id {category['id']!r} is not a whole number")
        if not isinstance(category.get("name"), str):
            faulty.append(f"category {category['id']!r} has no name")
    yield from faulty
    if not faulty:
        try:
            map_categories(categories, thing_classes)
        except InputError as error:
            yield str(error)


def _image_problems(images: list[dict]) -> Iterator[str]:
    yield from _duplicates("image id", (image["id"] for image in images))
    file_names = [image.get("file_name") for image in images]
    yield from _duplicates("file name", (name for name in file_names if isinstance(name, str)))
    for image in images:
        if not isinstance(image.get("file_name"), str) or not image["file_name"]:
            yield f"image {image['id']!r} has no file_name"
        for field in ("height", "width"):
            value = image.get(field)
            if isinstance(value, str):
                yield f"{image_label(image)} gives its {field} as text ({value!r}); write a number"
            elif not is_size(value):
                yield f"{image_label(image)}: its {field} {value!r} is not a positive whole number"


def _annotation_problems(
    annotations: list[dict], categories: list[dict], thing_classes: Sequence[str] | None
) -> Iterator[str]:
    yield from _duplicates("annotation id", (annotation["id"] for annotation in annotations))
    names = {category["id"]: category.get("name") for category in categories}
    wanted = names if thing_classes is None else map_categories(categories, thing_classes)
    for annotation in annotations:
        crowd = annotation.get("iscrowd", 0)
        if crowd not in (0, 1):
            yield f"{_annotation_label(annotation)}: its iscrowd {crowd!r} is not 0 or 1"
        category = annotation.get("category_id")
        if not isinstance(category, int | str) or category not in names:
            yield (
                f"{_annotation_label(annotation)} has the unknown category {category!r}; "
                f"the file defines {list(names)}"
            )
        elif category not in wanted:
            yield (
                f"{_annotation_label(annotation)} is of category {category!r} "
                f"({names[category]}), which is none of the classes {list(thing_classes)}"
            )


class _PlacedBox(NamedTuple):
    """A sound box and the size of its image."""

    annotation: dict
    x: float
    y: float
    width: float
    height: float
    image_width: float
    image_height: float

    def overhang(self) -> float:
        """Pixels by which the box reaches beyond the image; infinite if it lies wholly outside."""
        right, bottom = self.x + self.width, self.y + self.height
        if self.x >= self.image_width or self.y >= self.image_height or right <= 0 or bottom <= 0:
            return math.inf
        return max(-self.x, -self.y, right - self.image_width, bottom - self.image_height)


def _box_problems(annotations: list[dict], images: list[dict]) -> Iterator[str]:
    sizes = {image["id"]: (image.get("width"), image.get("height")) for image in images}
    sound_sizes = {id_: size for id_, size in sizes.items() if all(map(is_size, size))}
    placed = []
    for annotation in annotations:
        image_id, box = annotation.get("image_id"), annotation.get("bbox")
        if not isinstance(image_id, int | str) or image_id not in sizes:
            yield f"{_annotation_label(annotation)}: no image has the id {image_id!r}"
            image_id = None
        fault = _box_fault(box)
        if fault:
            yield f"{_annotation_label(annotation)}: its bbox {box!r} {fault}"
        elif image_id in sound_sizes:
            placed.append(_PlacedBox(annotation, *box, *sound_sizes[image_id]))
    yield from _outside_problems(placed)


def _box_fault(box: Any) -> str | None:
    if not (isinstance(box, list) and len(box) == 4 and all(map(_is_number, box))):
        has_text = isinstance(box, list) and any(isinstance(value, str) for value in box)
        return "is not four finite numbers" + ("; write numbers, not text" if has_text else "")
    if box[2] <= 0 or box[3] <= 0:
        return "has a zero or negative width or height"
    return None


def _outside_problems(boxes: list[_PlacedBox]) -> Iterator[str]:
    outside = [box for box in boxes if box.overhang() > OVERHANG_TOLERANCE]
    if outside and _corners_are_lower_left(boxes):
        yield (
            f"{len(outside)} of {len(boxes)} boxes reach outside their image below "
            f"(annotations {_some(box.annotation['id'] for box in outside)}), while y - height is "
            "inside for every box: the boxes look like [xmin, ymax, width, height], a known fault "
            "of converters; COCO has [xmin, ymin, width, height], so subtract the height from y in "
            "all boxes"
        )
        return
    for box in outside:
        yield (
            f"{_annotation_label(box.annotation)}: its bbox {box.annotation['bbox']} is outside "
            f"the image, which is {box.image_width} x {box.image_height} (width x height)"
        )


def _corners_are_lower_left(boxes: list[_PlacedBox]) -> bool:
    """Whether all boxes make sense, if (x, y) is taken as the lower left corner.

    In a file that is right, boxes near the upper edge speak against it. Two boxes or fewer are too
    little evidence.
    """
    return len(boxes) > 2 and all(
        box._replace(y=box.y - box.height).overhang() <= OVERHANG_TOLERANCE for box in boxes
    )


def _missing_files(images: list[dict], image_root: Path) -> Iterator[str]:
    listings: dict[Path, set[str]] = {}  # one listing a folder is far cheaper than asking per file
    for image in images:
        if isinstance(image.get("file_name"), str):
            path = image_root / image["file_name"]
            if path.parent not in listings:
                listings[path.parent] = set(_list_folder(path.parent))
            if path.name not in listings[path.parent]:
                yield f"{image_label(image)} is not in {path.parent}"


def _list_folder(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _duplicates(what: str, values: Iterable[Hashable]) -> Iterator[str]:
    for value, count in Counter(values).items():
        if count > 1:
            yield f"{what} {value!r} is used by {count} records"


def _some(ids: Iterable[Hashable], most: int = 10) -> str:
    ids = [repr(id_) for id_ in ids]
    more = f" and {len(ids) - most} more" if len(ids) > most else ""
    return ", ".join(ids[:most]) + more


def image_label(image: dict) -> str:
    """Name an image record in a message."""
    return f"image {image['id']!r} ({image.get('file_name')})"


def _annotation_label(annotation: dict) -> str:
    return f"annotation {annotation['id']!r} (image {annotation.get('image_id')!r})"


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
