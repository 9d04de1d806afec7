"""Mapper from a dataset dict of Detectron2 to an input of the detector."""

from typing import Any, NamedTuple

import detectron2.data.transforms as T
import numpy as np
import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor

from medmask.data.breast import sets_window
from medmask.data.dataset_dicts import box_corners, read_dataset_image
from medmask.data.outlines import IGNORED, LesionMapDrawer
from medmask.data.photometric import change_pixels
from medmask.data.pixel_spacing import PixelSpacing, pixel_spacing_of, uses_pixel_spacing
from medmask.errors import InputError

_SLIVER = 1e-3
"""Pixels: rounding leaves this much of a box that a crop cut away at its very edge."""


Matrix = tuple[tuple[float, ...], ...]
"""Rows of numbers"""


class AugmentedImage(NamedTuple):
    """An image after an augmentation, and the way to it."""

    pixels: np.ndarray
    """(H, W, 3)"""
    transform: T.Transform
    original_corners: tuple[float, float, float, float] | None
    """(x0, y0, x1, y1): where the upper left and the lower right corner of the result lie in the
    original image, in its pixels; x0 > x1 if it is mirrored. None if it is turned."""
    to_original: Matrix | None
    """(2, 3), which takes a point (x, y, 1) of the result to (x, y) in the original image,
    both in pixels from the upper left corner. None where no matrix does, as after a bend."""


def augment_image(
    image: np.ndarray, augmentation: T.Augmentation, pixel_spacing_mm: PixelSpacing | None = None
) -> AugmentedImage:
    """Augment an (H, W, 3) image, and find out which part of it the result shows.

    Args:
        image: in [0, 255].
        augmentation: of the pixels and their places.
        pixel_spacing_mm: height and width of a pixel in millimeters, if they are known.
    """
    augmentation_input = T.AugInput(image)
    augmentation_input.pixel_spacing_mm = pixel_spacing_mm
    transform = augmentation(augmentation_input)
    pixels = augmentation_input.image
    corners = _original_corners(transform, image.shape[:2], pixels.shape[:2])
    to_original = matrix_to_original(transform, image.shape[:2])
    return AugmentedImage(pixels, transform, corners, to_original)


class DetectionMapper:
    """Reads the image of a dataset dict, augments it, and transforms its boxes likewise.

    Args:
        with_boxes: give the boxes; test images, and unlabeled images in training, go without.
        augmentation: applied to image and boxes.
        photometric: applied to the pixels after that; see
            :func:`build_photometric_augmentation`.
        lesion_map: draws the outlines of lesions, too, where there are boxes; None for no map.

    Raises:
        InputError: ``augmentation`` is no augmentation, such as a list of several.
    """

    def __init__(
        self,
        *,
        with_boxes: bool,
        augmentation: T.Augmentation,
        photometric: T.Augmentation | None = None,
        lesion_map: LesionMapDrawer | None = None,
    ) -> None:
        if not callable(augmentation):
            raise InputError(
                f"the mapper's augmentation is a {type(augmentation).__name__}, but must be one "
                "Augmentation of Detectron2: put several into "
                "detectron2.data.transforms.AugmentationList"
            )
        self.with_boxes = with_boxes
        self.augmentation = augmentation
        self.photometric = photometric
        self.lesion_map = lesion_map

    def __call__(self, dataset_dict: dict[str, Any]) -> dict[str, Any]:
        """Prepare one image.

        Args:
            dataset_dict: of an image, in Detectron2's format; it is not changed.

        Returns:
            The fields of the dict (``file_name``, ``image_id``, ``height`` and ``width`` of the
            original image, ``patient_id``, ...) without ``annotations``, and:

            - ``image``: (3, H, W) RGB tensor in [0, 255], uint8 or (from more than 8 bits) float32.
            - ``original_corners``: the part of the original image that ``image`` shows, see
              :class:`AugmentedImage`; the detector maps its boxes back by it.
            - ``to_original``: the matrix to the original image, likewise.
            - ``instances``, with ``with_boxes``: ``gt_boxes`` (N, 4) in pixels of ``image``,
              clipped to it, ``gt_classes`` (N,) int64, and ``gt_annotation_index`` (N,) int64, the
              index of each box in the dict's ``annotations``. Crowds, and boxes that a crop
              emptied, are left out.
            - ``lesion_map``, with ``with_boxes`` and a drawer: (H, W) uint8, see
              :class:`LesionMapDrawer`; corners that a rotation leaves empty are ignored.

        Raises:
            InputError: the image cannot be read, or has another size than the dict says, or an
                outline is faulty.
        """
        image = read_dataset_image(dataset_dict, apply_voi=not sets_window(self.augmentation))
        uses_spacing = uses_pixel_spacing(self.augmentation)
        spacing = pixel_spacing_of(dataset_dict) if uses_spacing else None
        augmented = augment_image(image, self.augmentation, spacing)
        image = augmented.pixels
        if self.photometric is not None:
            image = change_pixels(image, self.photometric)
        sample = {key: value for key, value in dataset_dict.items() if key != "annotations"}
        sample["image"] = image_to_tensor(image)
        sample["original_corners"] = augmented.original_corners
        sample["to_original"] = augmented.to_original
        if self.with_boxes:
            sample["instances"] = _transform_annotations(
                dataset_dict["annotations"], augmented.transform, image.shape[:2]
            )
            if self.lesion_map is not None:
                lesion_map = self.lesion_map.draw(
                    dataset_dict, augmented.to_original, image.shape[:2]
                )
                if augmented.original_corners is None:
                    size = (dataset_dict["height"], dataset_dict["width"])
                    lesion_map[~_find_content(augmented.transform, size)] = IGNORED
                sample["lesion_map"] = torch.from_numpy(lesion_map)
        return sample


def image_to_tensor(image: np.ndarray) -> Tensor:
    """(H, W, 3) array -> (3, H, W) tensor with memory of its own."""
    return torch.from_numpy(np.array(image.transpose(2, 0, 1), order="C"))


def matrix_to_original(transform: T.Transform, original_size: tuple[int, int]) -> Matrix | None:
    """Invert what a transform does to places, see :class:`AugmentedImage`.

    Args:
        transform: of the original image.
        original_size: its (height, width) in pixels.
    """
    height, width = original_size
    corners = np.array([[0, 0], [width, 0], [0, height]], dtype=np.float64)
    inner = np.array([[width / 2, height / 2], [width / 3, height], [width, height / 3]])
    moved, moved_inner = (transform.apply_coords(points.copy()) for points in (corners, inner))
    forward = np.linalg.solve(_homogeneous(corners), moved).T  # (2, 3)
    if not np.allclose(_homogeneous(inner) @ forward.T, moved_inner, rtol=0, atol=1e-4):
        return None
    inverse = np.linalg.inv(np.vstack((forward, (0, 0, 1))))
    return tuple(tuple(row) for row in inverse[:2].tolist())


def _find_content(transform: T.Transform, original_size: tuple[int, int]) -> np.ndarray:
    """Mark the pixels of a turned image that show something of the original: (H, W) bool.

    A matrix cannot tell: what a crop has cut away before the turn lies in the empty corners.
    """
    return transform.apply_segmentation(np.ones(original_size, dtype=np.uint8)).astype(bool)


def _homogeneous(points: np.ndarray) -> np.ndarray:
    """(P, 2) -> (P, 3), with a 1 behind each point."""
    return np.hstack((points, np.ones((len(points), 1))))


def _original_corners(
    transform: T.Transform, original_size: tuple[int, int], size: tuple[int, int]
) -> tuple[float, float, float, float] | None:
    """The corners of the result in the original, from those of the original in the result.

    Crops need no inverse this way, which Detectron2's random ones do not have. What moves along the
    axes, whatever was cropped, mirrored, resized or padded, is linear in x and in y.
    """
    height, width = original_size
    points = np.array([[0, 0], [width, height], [width, 0]], dtype=np.float64)
    (left, top), (right, bottom), other = transform.apply_coords(points)
    if not np.allclose(other, (right, top), rtol=0, atol=1e-6):
        return None
    x0, x1 = (width * (x - left) / (right - left) for x in (0, size[1]))
    y0, y1 = (height * (y - top) / (bottom - top) for y in (0, size[0]))
    return float(x0), float(y0), float(x1), float(y1)


def _transform_annotations(
    annotations: list[dict], transform: T.Transform, image_size: tuple[int, int]
) -> Instances:
    index = [i for i, annotation in enumerate(annotations) if not annotation.get("iscrowd", 0)]
    annotations = [annotations[i] for i in index]
    corners = transform.apply_box(box_corners(annotations))
    boxes = Boxes(torch.from_numpy(corners).float())
    boxes.clip(image_size)
    instances = Instances(image_size)
    instances.gt_boxes = boxes
    instances.gt_classes = torch.tensor(
        [annotation["category_id"] for annotation in annotations], dtype=torch.int64
    )
    instances.gt_annotation_index = torch.tensor(index, dtype=torch.int64)
    return instances[boxes.nonempty(threshold=_SLIVER)]
