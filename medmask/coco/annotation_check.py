"""The check of the annotations of a COCO annotation file.

A box is [x, y, width, height] in pixels of the image, with (x, y) its upper left corner and (0, 0)
the upper left corner of the image. Boxes may reach up to one pixel beyond the image, as rounding
makes them do: readers clip those without complaint.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from medmask.coco.categories import map_categories
from medmask.coco.tables import AnnotationTable
from medmask.coco.values import find_duplicates, written_otherwise
from medmask.utils.json_files import show

OVERHANG_TOLERANCE = 1.0
"""Pixels by which a box may reach beyond its image."""
_FEW_BOXES = 2
"""So many are too little evidence of a fault that all boxes of a file have."""
_MOST_IDS = 10  # in one message


def annotation_problems(
    table: AnnotationTable, categories: list[dict], thing_classes: Sequence[str] | None
) -> Iterator[str]:
    """Find the problems of all fields but ``bbox``.

    Args:
        table: the annotations.
        categories: those of the file, without problems if there are ``thing_classes``.
        thing_classes: the only classes that annotations may be of; None allows all categories.
    """
    yield from find_duplicates("annotation id", (id_ for id_ in table.ids if id_ is not None))
    yield from _each(
        table,
        [flag not in (0, 1) if type(flag) is int else True for flag in table.crowd_flags],
        lambda i: f"its iscrowd {show(table.crowd_flags[i])} is not 0 or 1",
    )
    known = [category["id"] for category in categories]
    yield from _each(
        table,
        table.category_indices < 0,
        lambda i: (
            f"it has the unknown category {show(table.category_ids[i])}; the file defines "
            f"{show(known)}"
        ),
    )
    if thing_classes is None:
        return
    classes = map_categories(categories, thing_classes)
    is_unwanted = np.array([id_ not in classes for id_ in known] + [False], dtype=bool)
    yield from _each(
        table,
        is_unwanted[table.category_indices],
        lambda i: (
            f"it is of category {show(table.category_ids[i])} "
            f"({categories[table.category_indices[i]]['name']}), which is none of the classes "
            f"{list(thing_classes)}"
        ),
    )


def box_problems(table: AnnotationTable, images: list[dict]) -> Iterator[str]:
    """Find the problems of the boxes, and of the images that they are in.

    Args:
        table: the annotations.
        images: the image records of the file.
    """
    known = {image["id"] for image in images}
    is_box = np.isfinite(table.boxes).all(axis=1)
    has_area = (table.boxes[:, 2:] > 0).all(axis=1)
    yield from _each(
        table,
        table.image_indices < 0,
        lambda i: (
            f"no image has the id {show(table.image_ids[i])}"
            + _advise_on_image_id(table.image_ids[i], known)
        ),
    )
    yield from _each(
        table,
        ~is_box,
        lambda i: (
            f"its bbox {show(table.given_boxes[i])} is not four finite numbers"
            + _advise_on_box(table, i)
        ),
    )
    yield from _each(
        table,
        is_box & ~has_area,
        lambda i: f"its bbox {show(table.given_boxes[i])} has a zero or negative width or height",
    )
    sound = _sound_boxes(table)
    with np.errstate(over="ignore", invalid="ignore"):
        yield from _outside_problems(table, sound)
        if _are_shares(table.boxes[sound]):
            yield (
                f"all {np.count_nonzero(sound)} boxes lie within the first pixel of their images: "
                "they look like shares of width and height, a known fault of converters; COCO has "
                "pixels, so multiply x and width by the width of the image, y and height by its "
                "height"
            )


def _are_shares(boxes: np.ndarray) -> bool:
    """Tell whether (N, 4) boxes are in shares of their images' sides, as some formats have them."""
    return len(boxes) > _FEW_BOXES and bool((boxes[:, :2] + boxes[:, 2:] <= 1).all())


def corners_are_lower_left(table: AnnotationTable) -> bool:
    """Tell whether (x, y) of all boxes is their lower left corner, a known fault of converters.

    It is, if boxes reach out of their images as they are, and none does with (x, y) as the lower
    left corner; in a file that is right, boxes near the upper edge speak against that. Two boxes or
    fewer are too little evidence.
    """
    sound = _sound_boxes(table)
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(_is_outside(table)[sound].any()) and _corners_fit(table, sound)


def _sound_boxes(table: AnnotationTable) -> np.ndarray:
    """Mark boxes of finite numbers and positive size in a known image: (A,) bool."""
    is_box = np.isfinite(table.boxes).all(axis=1)
    return is_box & (table.boxes[:, 2:] > 0).all(axis=1) & (table.image_indices >= 0)


def _is_outside(table: AnnotationTable) -> np.ndarray:
    return ~(_overhang(table.boxes, table.image_sizes) <= OVERHANG_TOLERANCE)


def _advise_on_image_id(image_id: Any, known: set[Any]) -> str:
    """Point at an image whose id is the same but that one is text, and the other a number."""
    other = written_otherwise(image_id, known)
    return "" if other is None else f", but one has {show(other)}: write ids one way"


def _advise_on_box(table: AnnotationTable, index: int) -> str:
    box = table.given_boxes[index]
    if isinstance(box, list) and any(isinstance(value, str) for value in box):
        return "; write numbers, not text"
    if box is None and table.segmentations[index] is not None:
        return "; boxes are not made of the segmentation: add the box around it"
    return ""


def _outside_problems(table: AnnotationTable, sound: np.ndarray) -> Iterator[str]:
    outside = sound & _is_outside(table)
    if corners_are_lower_left(table):
        ids = [table.ids[i] for i in np.flatnonzero(outside)]
        yield (
            f"{len(ids)} of {np.count_nonzero(sound)} boxes reach outside their image below "
            f"(annotations {_some(ids)}), while y - height is inside for every box: the boxes look "
            "like [xmin, ymax, width, height], a known fault of converters; COCO has [xmin, ymin, "
            "width, height], so subtract the height from y in all boxes"
        )
        return
    yield from _each(
        table,
        outside,
        lambda i: (
            f"its bbox {show(table.given_boxes[i])} is outside the image"
            + _describe_size(table.image_sizes[i])
        ),
    )


def _describe_size(size: np.ndarray) -> str:
    if not np.isfinite(size).all():
        return ""
    width, height = size.astype(int)
    return f", which is {width} x {height} (width x height)"


def _overhang(boxes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Measure by how many pixels (A,) boxes reach beyond their images; infinite if wholly."""
    near, far = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    beyond = np.maximum(-near, far - sizes).max(axis=1)
    return np.where(((near >= sizes) | (far <= 0)).any(axis=1), np.inf, beyond)


def _corners_fit(table: AnnotationTable, sound: np.ndarray) -> bool:
    """Tell whether all boxes are within their images, if (x, y) is their lower left corner."""
    boxes = table.boxes[sound]
    boxes[:, 1] -= boxes[:, 3]
    fits = _overhang(boxes, table.image_sizes[sound]) <= OVERHANG_TOLERANCE
    return len(boxes) > _FEW_BOXES and bool(fits.all())


def _each(
    table: AnnotationTable, faulty: Sequence[bool] | np.ndarray, describe: Callable[[int], str]
) -> Iterator[str]:
    for index in np.flatnonzero(faulty).tolist():
        yield f"{table.label(index)}: {describe(index)}"


def _some(ids: Sequence[Any]) -> str:
    more = f" and {len(ids) - _MOST_IDS} more" if len(ids) > _MOST_IDS else ""
    return ", ".join(map(show, ids[:_MOST_IDS])) + more
