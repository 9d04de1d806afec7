"""The place of a finding in the breast, told so that other views and the other breast have it too.

The nipple is the landmark that all views share: a finding lies about as deep behind it in the
craniocaudal as in the mediolateral oblique view, and a finding's mirror image in the other breast
about as deep and as far above or below it. Where the nipple is not in profile, the point of the
breast that is farthest from the chest wall stands for it.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from medmask.data.breast.finding import find_breast
from medmask.data.dataset_dicts import read_dataset_image
from medmask.utils.progress import with_progress

_OUTER_SHARE = 0.25
"""Of the breast's columns, on each side: the chest wall is where more of them is breast."""
_NIPPLE_COLUMNS = 2
"""Columns of the breast's small copy that the nipple's height is the mean of."""


@dataclass(frozen=True)
class BreastFrame:
    """Landmarks of a breast in an image.

    Attributes:
        nipple: (x, y) in pixels of the image.
        size: the longer side of the breast's box, in pixels.
    """

    nipple: tuple[float, float]
    size: float

    def places(self, boxes: np.ndarray) -> np.ndarray:
        """The places of boxes' centers, in shares of :attr:`size`.

        Args:
            boxes: (D, 4) corners (x0, y0, x1, y1) in pixels of the image.

        Returns:
            (D, 2): depth behind the nipple, at least 0, and height below it, negative above. The
            images of a left and of a right breast have the same depths.
        """
        centers = boxes[:, :2] / 2 + boxes[:, 2:] / 2  # the sum of the largest numbers is none
        offsets = (centers - self.nipple) / self.size
        return np.column_stack((np.abs(offsets[:, 0]), offsets[:, 1]))


def find_breast_frame(image: np.ndarray) -> BreastFrame | None:
    """Find the landmarks.

    Args:
        image: as :func:`medmask.data.breast.find_breast` takes it, upright, of either side.

    Returns:
        None where nothing in the image looks like a breast.
    """
    breast = find_breast(image)
    if breast is None:
        return None
    columns = np.flatnonzero(breast.mask.any(axis=0))
    outer = max(round(_OUTER_SHARE * len(columns)), 1)
    chest_is_left = breast.mask[:, columns[:outer]].sum() >= breast.mask[:, columns[-outer:]].sum()
    nearest = columns[::-1] if chest_is_left else columns
    rows = np.flatnonzero(breast.mask[:, nearest[:_NIPPLE_COLUMNS]].any(axis=1))
    (height, width), (num_rows, num_columns) = breast.image_size, breast.mask.shape
    x0, y0, x1, y1 = breast.box
    return BreastFrame(
        nipple=(
            float((nearest[0] + 0.5) * width / num_columns),
            float((rows.mean() + 0.5) * height / num_rows),
        ),
        size=float(max(x1 - x0, y1 - y0)),
    )


def read_breast_frames(
    dataset_dicts: Sequence[dict[str, Any] | None], *, show_progress: bool = False
) -> list[BreastFrame | None]:
    """Read images and find the landmarks of each, several at a time.

    Args:
        dataset_dicts: of the images; None for one that is not asked for, and has none.
        show_progress: whether to tell how far it is.

    Raises:
        InputError: an image cannot be read, or has another size than its dataset dict says.
    """
    with ThreadPoolExecutor() as pool:  # decoding and OpenCV leave the interpreter free
        frames: Iterator[BreastFrame | None] = pool.map(_read_frame, dataset_dicts)
        total = len(dataset_dicts)
        return list(
            with_progress(
                frames, "landmarks", "image", total=total, show_progress=show_progress, stays=False
            )
        )


def _read_frame(dataset_dict: dict[str, Any] | None) -> BreastFrame | None:
    return None if dataset_dict is None else find_breast_frame(read_dataset_image(dataset_dict))
