"""Reading Label Studio's JSON export.

A task that was submitted has an annotation, which may be empty: the reader found nothing. One
without an annotation, or whose annotation was skipped or is a draft, was not reviewed.
"""

import re
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from medmask.annotation.reader_annotations import ReaderAnnotations, ReaderImage
from medmask.annotation.shapes import (
    Shape,
    ellipse_shape,
    numbers,
    polygon_shape,
    turned_box_shape,
)
from medmask.coco import is_length
from medmask.errors import InputError
from medmask.utils.json_files import show

_UPLOADED = re.compile(r"[0-9a-f]{8}-(.+)", re.DOTALL)
"""A file that was uploaded has eight digits and a dash in front of its name."""
_KINDS = ("rectanglelabels", "polygonlabels", "ellipselabels")
"""Types of results that are read; a result's value has its label under the same name."""


def read_label_studio(content: Any, path: Path) -> ReaderAnnotations:
    """Interpret the export.

    Args:
        content: the parsed JSON.
        path: of the file, for messages.

    Raises:
        InputError: it is another kind of file, or an image has several tasks.
    """
    is_export = isinstance(content, list) and all(
        isinstance(task, dict)
        and isinstance(task.get("data"), dict)
        and isinstance(task.get("annotations"), list)
        for task in content
    )
    if not is_export:
        raise InputError(
            f"{path} is not Label Studio's JSON export, a list of tasks with data and annotations: "
            "choose the format JSON, not JSON-MIN"
        )
    notes: list[str] = []
    images = tuple(_read_task(task, path, notes) for task in content)
    return ReaderAnnotations(images, tuple(notes))


def _read_task(task: dict[str, Any], path: Path, notes: list[str]) -> ReaderImage:
    name = _name(task, path)
    annotations = [x for x in task["annotations"] if isinstance(x, dict)]
    submitted = [x for x in annotations if not x.get("was_cancelled")]
    if not submitted:
        return ReaderImage(name, is_reviewed=False)
    chosen = [x for x in submitted if x.get("ground_truth")] or submitted
    if len(chosen) > 1:
        return ReaderImage(
            name,
            is_reviewed=True,
            problem=f"image {name} was annotated {len(chosen)} times: mark one of the annotations "
            "as ground truth in Label Studio, and export again",
        )
    try:
        regions = [_read_region(region, name, notes) for region in _regions(chosen[0])]
        sizes = {size for _, size in regions}
        if len(sizes) > 1:
            raise InputError("its results tell several sizes of the picture")
    except InputError as error:
        return ReaderImage(name, is_reviewed=True, problem=f"image {name}: {error}")
    shapes = tuple(shape for shape, _ in regions)
    return ReaderImage(name, is_reviewed=True, shapes=shapes, size=next(iter(sizes), None))


def _name(task: dict[str, Any], path: Path) -> str:
    """The name that the export gave the picture, or that of the file which the task shows."""
    data = task["data"]
    if isinstance(data.get("name"), str):
        return data["name"]
    if not isinstance(data.get("image"), str):
        raise InputError(
            f"{path}: task {show(task.get('id'))} has neither a name nor an image in its data"
        )
    stem = PurePosixPath(unquote(data["image"]).split("?d=")[-1]).stem
    uploaded = _UPLOADED.fullmatch(stem)
    return uploaded[1] if uploaded else stem


def _regions(annotation: dict[str, Any]) -> list[dict[str, Any]]:
    regions = annotation.get("result")
    if not isinstance(regions, list) or not all(isinstance(x, dict) for x in regions):
        raise InputError("its annotation has no list of results")
    return regions


def _read_region(
    region: dict[str, Any], name: str, notes: list[str]
) -> tuple[Shape, tuple[int, int]]:
    """The shape of a result, and (width, height) of the picture."""
    kind, value = region.get("type"), region.get("value")
    if kind not in _KINDS or not isinstance(value, dict):
        raise InputError(
            f"it has a result of type {show(kind)}; boxes, polygons and ellipses with labels are "
            "read"
        )
    if region.get("image_rotation") not in (None, 0):
        raise InputError("it was turned in Label Studio while it was annotated: turn it back")
    labels = value.get(kind)
    if not isinstance(labels, list) or len(labels) != 1 or not isinstance(labels[0], str):
        raise InputError(f"a result of it has the labels {show(labels)}; it must have one")
    size = _size(region)
    if kind == "polygonlabels":
        return _read_polygon(labels[0], value, size), size
    if kind == "ellipselabels":
        notes.append(f"image {name}: an ellipse became a polygon")
        return _read_ellipse(labels[0], value, size), size
    return _read_box(labels[0], value, size, name, notes), size


def _size(region: dict[str, Any]) -> tuple[int, int]:
    width: Any = region.get("original_width")
    height: Any = region.get("original_height")
    if not (is_length(width) and is_length(height)):
        raise InputError("a result of it does not tell the size of the picture")
    return width, height


def _read_box(
    label: str, value: dict[str, Any], size: tuple[int, int], name: str, notes: list[str]
) -> Shape:
    x, y, width, height = numbers([value.get(key) for key in ("x", "y", "width", "height")], 4)
    (degrees,) = numbers([value.get("rotation") or 0], 1)
    x, width = x * size[0] / 100, width * size[0] / 100
    y, height = y * size[1] / 100, height * size[1] / 100
    corners = [x, y, x + width, y + height]
    return turned_box_shape(label, corners, degrees, image=name, notes=notes, pivot=(x, y))


def _read_ellipse(label: str, value: dict[str, Any], size: tuple[int, int]) -> Shape:
    x, y, along_x, along_y = numbers([value.get(k) for k in ("x", "y", "radiusX", "radiusY")], 4)
    width, height = size[0] / 100, size[1] / 100
    (degrees,) = numbers([value.get("rotation") or 0], 1)
    return ellipse_shape(
        label, (x * width, y * height), (along_x * width, along_y * height), degrees
    )


def _read_polygon(label: str, value: dict[str, Any], size: tuple[int, int]) -> Shape:
    points = value.get("points")
    if not isinstance(points, list):
        raise InputError("a polygon of it has no points")
    outline: list[float] = []
    for point in points:
        x, y = numbers(point, 2)
        outline += [x * size[0] / 100, y * size[1] / 100]
    return polygon_shape(label, [outline])
