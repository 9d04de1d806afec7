"""Corrections by readers of the pre-annotations of an image, in pixels of the stored image."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medmask.annotation.manifest import ExportedImage, clip_box
from medmask.annotation.overlaps import all_overlaps
from medmask.annotation.pixel_map import Box, Points, bounds
from medmask.annotation.reader_annotations import ReaderImage
from medmask.annotation.shapes import Shape, clip_polygon, has_area
from medmask.errors import InputError

KEPT, CHANGED, ADDED = "kept", "changed", "added"
"""Origin of a lesion: a pre-annotation as it is, one on about that place, none."""

_SAME = 0.05  # pixels of the picture; tools round to hundredths
_LEAST_IOU = 0.3  # of a pre-annotation and what became of it
_OVERHANG = 1.0  # pixels of the picture by which a box may reach out of it, as rounding makes it


@dataclass(frozen=True)
class Lesion:
    """A lesion as a reader left it.

    Attributes:
        label: name of its class.
        box: corners in pixels of the stored image.
        polygons: its outline, likewise; none if it is a box.
        origin: :data:`KEPT`, :data:`CHANGED` or :data:`ADDED`.
    """

    label: str
    box: Box
    polygons: tuple[Points, ...]
    origin: str


@dataclass(frozen=True)
class Correction:
    """A reader's word on an image.

    Attributes:
        image: as it was exported.
        lesions: on it; none if the reader found it normal.
        deleted: pre-annotations of which nothing is left.
    """

    image: ExportedImage
    lesions: tuple[Lesion, ...]
    deleted: int


def correct(exported: ExportedImage, reader: ReaderImage, classes: Sequence[str]) -> Correction:
    """Compare a reader's shapes with the pre-annotations, and take them to the stored image.

    A pre-annotation that was left as it is comes back with the very numbers of the detection.

    Args:
        exported: the image.
        reader: the same image, reviewed.
        classes: that shapes may be of.

    Raises:
        InputError: the picture was of another size, or a shape is of an unknown class or outside.
    """
    pixel_map = exported.pixel_map
    if reader.size not in (None, (pixel_map.width, pixel_map.height)):
        raise InputError(
            f"image {exported.name} was annotated at {reader.size} (width, height), but was "
            f"exported at {(pixel_map.width, pixel_map.height)}: annotate the exported pictures"
        )
    for shape in reader.shapes:
        if shape.label not in classes:
            raise InputError(
                f"image {exported.name} has a shape with the unknown label '{shape.label}'; the "
                f"classes are {', '.join(classes)}: correct it, or give --classes"
            )
    matches = _match(exported, reader.shapes)
    lesions = tuple(
        _to_lesion(exported, shape, match)
        for shape, match in zip(reader.shapes, matches, strict=True)
    )
    used = {index for index, _ in filter(None, matches)}
    return Correction(exported, lesions, len(exported.pre_annotations) - len(used))


def _match(exported: ExportedImage, shapes: Sequence[Shape]) -> list[tuple[int, bool] | None]:
    """For each shape the pre-annotation that it was, and whether it is unchanged.

    Each pre-annotation is used once, by a shape that is the same before any other, then by that of
    the largest overlap.
    """
    matches: list[tuple[int, bool] | None] = [None] * len(shapes)
    if not shapes or not exported.pre_annotations:
        return matches
    before = np.array(exported.shown_boxes)
    after = np.array([shape.box for shape in shapes])
    same = (np.abs(after[:, None] - before[None]) <= _SAME).all(axis=2)
    labels = np.array([x.label for x in exported.pre_annotations])
    same &= np.array([shape.label for shape in shapes])[:, None] == labels
    same[[bool(shape.polygons) for shape in shapes]] = False
    overlaps = all_overlaps(after, before) + same  # above 1 where it is the same
    free = set(range(len(before)))
    for pair in np.argsort(-overlaps, axis=None, kind="stable").tolist():
        i, j = divmod(pair, len(before))
        if overlaps[i, j] >= _LEAST_IOU and matches[i] is None and j in free:
            matches[i] = (j, bool(same[i, j]))
            free.remove(j)
    return matches


def _to_lesion(exported: ExportedImage, shape: Shape, match: tuple[int, bool] | None) -> Lesion:
    _check_inside(exported, shape)
    if match is not None and match[1]:
        return Lesion(shape.label, exported.pre_annotations[match[0]].box, (), KEPT)
    origin = ADDED if match is None else CHANGED
    width, height = exported.width, exported.height
    polygons = []
    for points in shape.polygons:
        polygon = clip_polygon(exported.pixel_map.to_stored(points), width, height)
        if len(polygon) and has_area(bounds(polygon)):
            polygons.append(polygon)
    if polygons:
        box = bounds(np.concatenate(polygons))
    else:
        box = clip_box(exported.pixel_map.box_to_stored(shape.box), width, height)
    return Lesion(shape.label, box, tuple(polygons), origin)


def _check_inside(exported: ExportedImage, shape: Shape) -> None:
    """Refuse a box that reaches out of the picture, and a polygon that lies beside it."""
    x0, y0, x1, y1 = shape.box
    width, height = exported.pixel_map.width, exported.pixel_map.height
    overhang = max(-x0, -y0, x1 - width, y1 - height)
    is_beside = not any(len(clip_polygon(points, width, height)) for points in shape.polygons)
    if is_beside and (overhang > _OVERHANG or min(x1, y1, width - x0, height - y0) <= 0):
        raise InputError(
            f"image {exported.name} has a shape that reaches {overhang:.1f} pixels out of the "
            "picture: correct it"
        )
