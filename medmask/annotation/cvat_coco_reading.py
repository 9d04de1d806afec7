"""Reading the COCO files that CVAT exports, whose file names are those of the pictures.

They tell nothing of which images were looked at.
"""

from pathlib import Path
from typing import Any

from medmask.annotation.cvat_reading import picture_name
from medmask.annotation.reader_annotations import ReaderAnnotations, ReaderImage
from medmask.annotation.shapes import Shape, numbers, polygon_shape, turned_box_shape
from medmask.coco import CocoTables, is_length
from medmask.coco.check import structure_problems
from medmask.errors import InputError
from medmask.utils.json_files import show


def read_cvat_coco(content: Any, path: Path) -> ReaderAnnotations:
    """Interpret a COCO file, all of whose images were looked at.

    Args:
        content: the parsed JSON.
        path: of the file, for messages.

    Raises:
        InputError: it is no COCO file, or an annotation is of no image in it.
    """
    for problem in structure_problems(content):
        raise InputError(f"{path} is no COCO file of CVAT: {problem}")
    tables = CocoTables(content)
    notes: list[str] = []
    of_image: list[list[int]] = [[] for _ in tables.images]
    for index, image_index in enumerate(tables.annotations.image_indices.tolist()):
        if image_index < 0:
            raise InputError(f"{path}: {tables.annotations.label(index)} is of no image in it")
        of_image[image_index].append(index)
    images = tuple(
        _read_image(record, indices, tables, content["annotations"], path, notes)
        for record, indices in zip(tables.images, of_image, strict=True)
    )
    return ReaderAnnotations(images, tuple(notes))


def _read_image(
    record: dict[str, Any],
    indices: list[int],
    tables: CocoTables,
    annotations: list[dict[str, Any]],
    path: Path,
    notes: list[str],
) -> ReaderImage:
    if not isinstance(record.get("file_name"), str):
        raise InputError(f"{path}: image {show(record.get('id'))} has no file_name")
    name = picture_name(record["file_name"])
    try:
        width: Any = record.get("width")
        height: Any = record.get("height")
        if not (is_length(width) and is_length(height)):
            raise InputError("it has no width or height")
        shapes = []
        for index in indices:
            category = int(tables.annotations.category_indices[index])
            if category < 0:
                raise InputError(
                    f"{tables.annotations.label(index)} is of a category that the file does not "
                    "define"
                )
            label = str(tables.categories[category]["name"])
            shapes.append(_read_shape(annotations[index], label, name, notes))
    except InputError as error:
        return ReaderImage(name, is_reviewed=True, problem=f"image {name}: {error}")
    return ReaderImage(name, is_reviewed=True, shapes=tuple(shapes), size=(width, height))


def _read_shape(record: dict[str, Any], label: str, name: str, notes: list[str]) -> Shape:
    segmentation = record.get("segmentation")
    if isinstance(segmentation, dict):
        raise InputError("it has a mask; boxes and polygons are read")
    if segmentation:
        if not isinstance(segmentation, list):
            raise InputError("a segmentation of it is no list of polygons")
        return polygon_shape(label, segmentation)
    x, y, width, height = numbers(record.get("bbox"), 4)
    corners = [x, y, x + width, y + height]
    attributes = record.get("attributes")
    told = attributes.get("rotation") if isinstance(attributes, dict) else None
    (degrees,) = numbers([told or 0], 1)
    return turned_box_shape(label, corners, degrees, image=name, notes=notes)
