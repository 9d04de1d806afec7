"""The hit rule of the method's public FROC script, for comparison with published figures only.

The public code of MedMask (``froc_metric.py``) has a lesion's box as center (x, y), width w and
height h, all as shares of the image, and takes it to reach from x - w/2 to x + w/2 across and from
w - h/2 to y + h/2 down: the upper edge takes the width for the center. Beside a lesion and below it
nothing changes. Above it, all that is lower than w - h/2 is a hit, mostly a strip that reaches far
up; a lesion near the top that is wider than it lies deep cannot be hit at all. A detection that
hits a lesion is spent on it: it finds no other one around its center. Nothing is suppressed before.
"""

import numpy as np

from medmask.errors import InputError
from medmask.evaluation.structures import GroundTruth


def published_regions(ground_truth: GroundTruth) -> np.ndarray:
    """The region in which the center of a detection hits, of each annotated box.

    A crowd box, which the script does not know, keeps its own region.

    Args:
        ground_truth: with the sizes of all images that have a lesion.

    Returns:
        (G, 4) float64 (x0, y0, x1, y1) in pixels; y0 may be below y1, and then nothing hits.

    Raises:
        InputError: an image with a lesion has no size.
    """
    regions = ground_truth.boxes.copy()
    lesions = np.flatnonzero(~ground_truth.is_crowd)
    images = ground_truth.image_indices[lesions]
    sizes = np.full((ground_truth.num_images, 2), np.nan)
    if ground_truth.image_sizes is not None:
        sizes = ground_truth.image_sizes
    width, height = sizes[images].T
    unknown = np.flatnonzero(~(width > 0) | ~(height > 0))
    if len(unknown):
        image_id = ground_truth.image_ids[images[unknown[0]]]
        raise InputError(
            "hit rule published_script needs the size of every image with a lesion: give width "
            f"and height of image {image_id!r} in the annotation file"
        )
    boxes = regions[lesions]
    widths, heights = (boxes[:, 2:] - boxes[:, :2]).T
    regions[lesions, 1] = widths / width * height - heights / 2
    return regions


def first_of_each(detections: np.ndarray) -> np.ndarray:
    """Index the first pair of each detection: (K,) int64.

    Args:
        detections: (P,) the detection of each pair, all pairs of one next to each other and in the
            order of the annotations.
    """
    return np.unique(detections, return_index=True)[1]
