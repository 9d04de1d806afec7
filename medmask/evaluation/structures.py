"""Ground truth and detections as flat arrays, from which every metric here is computed."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from medmask.coco import numbers


@dataclass(frozen=True)
class GroundTruth:
    """The annotated boxes of a set of N images.

    Every image of the set is listed, also those without a box: false positives are counted over all
    of them.

    Attributes:
        image_ids: N ids, as the annotation file gives them.
        category_ids: C ids, as detections name them.
        category_names: C names.
        boxes: (G, 4) float64, (x0, y0, x1, y1) in pixels.
        image_indices: (G,) index of each box's image in ``image_ids``.
        category_indices: (G,) index of each box's category in ``category_ids``.
        is_crowd: (G,) bool. A crowd box is a region to ignore, not a lesion.
        patients: N patient ids, None where an image carries none.
        lateralities: N breast sides ("L", "R"), None where an image carries none.
        file_names: N file names, as the annotation file gives them, None where an image carries
            none; None if no image carries one.
        image_sizes: (N, 2) float64 width and height in pixels, NaN where they are unknown; None if
            they all are.
    """

    image_ids: tuple[int | str, ...]
    category_ids: tuple[int, ...]
    category_names: tuple[str, ...]
    boxes: np.ndarray
    image_indices: np.ndarray
    category_indices: np.ndarray
    is_crowd: np.ndarray
    patients: tuple[Hashable | None, ...]
    lateralities: tuple[Hashable | None, ...]
    file_names: tuple[str | None, ...] | None = None
    image_sizes: np.ndarray | None = None

    @property
    def num_images(self) -> int:
        return len(self.image_ids)

    @property
    def num_lesions(self) -> int:
        return int(np.count_nonzero(~self.is_crowd))

    def images_with_lesions(self) -> np.ndarray:
        """(N,) bool: the images with at least one lesion."""
        labels = np.zeros(self.num_images, dtype=bool)
        labels[self.image_indices[~self.is_crowd]] = True
        return labels

    def patient_groups(self) -> np.ndarray:
        """(N,) int64: the patient of each image, counted from 0.

        An image without a patient id is a patient of its own.
        """
        keys = [
            ("image", index) if patient is None else ("patient", patient)
            for index, patient in enumerate(self.patients)
        ]
        return group_indices(keys)


@dataclass(frozen=True)
class Detections:
    """Scored boxes on the images of a :class:`GroundTruth`.

    Attributes:
        boxes: (D, 4) float64, (x0, y0, x1, y1) in pixels.
        scores: (D,) float64, finite and at least 0.
        image_indices: (D,) index into ``GroundTruth.image_ids``.
        category_indices: (D,) index into ``GroundTruth.category_ids``.
    """

    boxes: np.ndarray
    scores: np.ndarray
    image_indices: np.ndarray
    category_indices: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    def select(self, keep: np.ndarray) -> "Detections":
        """The detections at the indices, or where the mask, ``keep``."""
        return Detections(
            boxes=self.boxes[keep],
            scores=self.scores[keep],
            image_indices=self.image_indices[keep],
            category_indices=self.category_indices[keep],
        )


def given_category_names(ground_truth: GroundTruth) -> list[str | None]:
    """The C names of the categories, None where one has none and so is called by its id."""
    return [
        None if name == str(id_) else name
        for name, id_ in zip(ground_truth.category_names, ground_truth.category_ids, strict=True)
    ]


def to_image_sizes(widths: Sequence[object], heights: Sequence[object]) -> np.ndarray | None:
    """Make ``GroundTruth.image_sizes`` of N widths and heights; what is no number is unknown."""
    sizes = np.column_stack([numbers(widths), numbers(heights)])
    return None if np.isnan(sizes).all() else sizes


def rows_of_images(image_indices: np.ndarray, num_images: int) -> list[np.ndarray]:
    """Find the boxes of each image, of all images at once.

    Of 50,000 images with 100 boxes each that takes 2 seconds; a search through all boxes for each
    image takes 8 minutes.

    Args:
        image_indices: (R,) the image of each box, in [0, N).
        num_images: N.

    Returns:
        N ascending int64 arrays: the indices of the boxes of each image.
    """
    order = np.argsort(image_indices, kind="stable")
    starts = np.searchsorted(image_indices[order], np.arange(num_images + 1))
    return [order[start:end] for start, end in pairwise(starts)]


def group_indices(keys: Sequence[Hashable]) -> np.ndarray:
    """Number equal keys alike, from 0 in the order of first appearance: (len(keys),) int64."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)
