"""Maps of which pixels of an image lie in a lesion, for losses on pixels."""

from typing import Any

import numpy as np

from medmask.data.dataset_dicts import box_corners
from medmask.data.outlines.drawing import Canvas
from medmask.data.outlines.reading import has_outline, read_outline
from medmask.errors import InputError

BACKGROUND, IGNORED, LESION = 0, 1, 2
"""Values of a lesion map. Where two maps lie on each other, the larger value is right."""

WITHOUT_OUTLINE = ("ignore", "ellipse")


class LesionMapDrawer:
    """Draws the annotations of an image as a map of its pixels.

    A pixel is ``LESION`` if its center lies in an outline; several polygons of one annotation are
    joined. It is ``IGNORED`` in a crowd region, and in the box of a lesion without an outline, of
    which nobody knows how much it fills; all else is known to be ``BACKGROUND``. What is lesion in
    one annotation and ignored in another is lesion.
    """

    def __init__(self, *, without_outline: str = "ignore") -> None:
        """Create the drawer.

        Args:
            without_outline: what becomes of lesions that have a box alone: ``"ignore"`` leaves the
                pixels of the box out, ``"ellipse"`` takes the ellipse in the box for the lesion.

        Raises:
            InputError: it is something else.
        """
        if without_outline not in WITHOUT_OUTLINE:
            raise InputError(
                f"LesionMapDrawer: without_outline is {without_outline!r}: choose "
                f"{' or '.join(WITHOUT_OUTLINE)}"
            )
        self.without_outline = without_outline

    def draw(
        self, record: dict[str, Any], to_original: Any, image_size: tuple[int, int]
    ) -> np.ndarray:
        """Draw.

        Args:
            record: dataset dict of the original image, with ``annotations``, ``height`` and
                ``width``.
            to_original: the matrix from the augmented image to it, see
                :class:`medmask.data.mapper.AugmentedImage`.
            image_size: (height, width) of the augmented image.

        Returns:
            (H, W) uint8.

        Raises:
            InputError: an outline is faulty, or the augmentation is one that no matrix describes.
        """
        if to_original is None:
            raise InputError(
                "outlines cannot follow an augmentation that bends the image: leave out what is "
                "not a crop, flip, resize or rotation, or set the mapper's lesion_map to null"
            )
        canvas = Canvas(to_original, image_size)
        lesion_map = np.zeros(image_size, dtype=np.uint8)
        annotations = record["annotations"]
        boxes = box_corners(annotations).tolist()
        for index, (annotation, box) in enumerate(zip(annotations, boxes, strict=True)):
            is_known = has_outline(annotation) or self.without_outline == "ellipse"
            value = LESION if is_known and not annotation.get("iscrowd", 0) else IGNORED
            region = self._region(canvas, record, index, tuple(box))
            lesion_map[region] = np.maximum(lesion_map[region], value)
        return lesion_map

    def _region(
        self,
        canvas: Canvas,
        record: dict[str, Any],
        index: int,
        box: tuple[float, float, float, float],
    ) -> np.ndarray:
        """The pixels of an annotation: (H, W) bool."""
        annotation = record["annotations"][index]
        if not has_outline(annotation):
            fills_box = self.without_outline == "ignore" or annotation.get("iscrowd", 0)
            return canvas.box(box) if fills_box else canvas.ellipse(box)
        try:
            outline = read_outline(annotation, (record["height"], record["width"]))
        except InputError as error:
            raise InputError(
                f"the segmentation of annotation {index} of {record['file_name']} (from 0) is "
                f"faulty: {error}"
            ) from error
        if outline.bitmap is not None:
            return canvas.bitmap(outline.bitmap)
        region = np.zeros(canvas.size, dtype=bool)
        for polygon in outline.polygons:
            region |= canvas.polygon(polygon)
        return region
