"""Pasting lesions of one mammogram into the breast of another (copy-paste, Ghiasi et al., 2021).

A lesion is copied with a border around its box. In the border the copy fades into the image below,
and its gray levels are shifted so that both agree there on the mean: film and digital images differ
in level, and a step around a box would be easier to see than the lesion.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from detectron2.structures import Boxes
from torch import Tensor

from medmask.data.breast import find_breast


class Patch(NamedTuple):
    """A lesion with its border."""

    pixels: Tensor
    """(3, h, w) float32 in [0, 255]"""
    opacity: Tensor
    """(h, w) in (0, 1]: 1 in the box, less and less in the border"""
    box: tuple[float, float, float, float]
    """(x0, y0, x1, y1) of the lesion in pixels of the patch"""


def copy_lesion(image: Tensor, box: Tensor, border: int) -> Patch | None:
    """Copy a lesion.

    Args:
        image: (3, H, W) in [0, 255].
        box: (4,) corners of the lesion, within the image.
        border: pixels around it that fade, 1 or more.

    Returns:
        The lesion; None if its border does not lie in the image.
    """
    x0, y0, x1, y1 = box.tolist()
    left, top = math.floor(x0) - border, math.floor(y0) - border
    right, bottom = math.ceil(x1) + border, math.ceil(y1) + border
    height, width = image.shape[-2:]
    if left < 0 or top < 0 or right > width or bottom > height:
        return None
    opacity = torch.minimum(
        _fading(bottom - top, border)[:, None], _fading(right - left, border)[None]
    )
    pixels = image[:, top:bottom, left:right].float()
    return Patch(pixels, opacity, (x0 - left, y0 - top, x1 - left, y1 - top))


def find_places(breast: np.ndarray, boxes: Tensor, size: tuple[int, int]) -> np.ndarray:
    """Find where a patch lies in the breast and on none of the boxes.

    Args:
        breast: (H, W) bool.
        boxes: (T, 4) corners of what must stay visible.
        size: (h, w) of the patch.

    Returns:
        (P, 2) rows and columns of the patch's upper left pixel, in order; P may be 0.
    """
    free = breast.copy()
    for x0, y0, x1, y1 in boxes.tolist():
        free[
            max(math.floor(y0), 0) : max(math.ceil(y1), 0),
            max(math.floor(x0), 0) : max(math.ceil(x1), 0),
        ] = False
    height, width = size
    if height > free.shape[0] or width > free.shape[1]:
        return np.empty((0, 2), dtype=np.int64)
    # Sums over all rectangles above and to the left give the sum over any in four terms.
    taken = np.pad((~free).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    sums = (
        taken[height:, width:]
        - taken[:-height, width:]
        - taken[height:, :-width]
        + taken[:-height, :-width]
    )
    return np.argwhere(sums == 0)


def find_breast_mask(image: Tensor) -> np.ndarray:
    """(3, H, W) -> (H, W) bool: the breast; false everywhere if there is none."""
    height, width = image.shape[-2:]
    breast = find_breast(image[0].numpy())
    if breast is None:
        return np.zeros((height, width), dtype=bool)
    rows, columns = breast.mask.shape
    return breast.mask[np.arange(height) * rows // height][:, np.arange(width) * columns // width]


def paste(image: Tensor, patch: Patch, place: tuple[int, int]) -> Tensor:
    """Blend a patch into a copy of an image.

    Args:
        image: (3, H, W) in [0, 255], uint8 or float32; the result has its type.
        patch: of the lesion.
        place: row and column of its upper left pixel; it lies wholly in the image.
    """
    height, width = patch.opacity.shape
    rows, columns = slice(place[0], place[0] + height), slice(place[1], place[1] + width)
    below = image[:, rows, columns].float()
    border = patch.opacity < 1
    shift = (below[:, border] - patch.pixels[:, border]).mean(dim=1)
    above = patch.pixels + shift[:, None, None]
    blended = torch.lerp(below, above, patch.opacity).clamp(0, 255)
    result = image.clone()
    if not image.is_floating_point():
        blended = blended.round()
    result[:, rows, columns] = blended.to(image.dtype)
    return result


def paste_lesions(
    image: Tensor,
    boxes: Boxes,
    donor: Tensor,
    donor_boxes: Boxes,
    *,
    border: int,
    generator: torch.Generator,
) -> tuple[Tensor, Boxes, Tensor]:
    """Paste all lesions of one image into the breast of another, at random places.

    A lesion is left out if its border does not lie in its own image, or if there is no place for it
    in the breast that covers no lesion.

    Args:
        image: (3, H, W) in [0, 255] on the CPU.
        boxes: of its own lesions, which stay visible.
        donor: (3, H', W') likewise.
        donor_boxes: (L, 4) lesions of the donor.
        border: pixels around each box that fade.
        generator: draws the places.

    Returns:
        The image, the (P, 4) boxes of what was pasted, and the (P,) index of each in
        ``donor_boxes``.
    """
    pasted: list[list[float]] = []
    index: list[int] = []
    breast = find_breast_mask(image) if len(donor_boxes) else None
    taken = boxes.tensor
    for i, box in enumerate(donor_boxes.tensor):
        patch = copy_lesion(donor, box, border)
        if patch is None:
            continue
        places = find_places(breast, taken, tuple(patch.opacity.shape))
        if not len(places):
            continue
        chosen = int(torch.randint(len(places), (), generator=generator))
        row, column = places[chosen].tolist()
        image = paste(image, patch, (row, column))
        x0, y0, x1, y1 = patch.box
        pasted.append([x0 + column, y0 + row, x1 + column, y1 + row])
        index.append(i)
        taken = torch.cat((taken, taken.new_tensor(pasted[-1:])))
    return (
        image,
        Boxes(torch.tensor(pasted, dtype=torch.float32).reshape(-1, 4)),
        torch.tensor(index, dtype=torch.int64),
    )


def _fading(length: int, border: int) -> Tensor:
    """(length,): 1 in the middle, and linearly down over ``border`` pixels at either end."""
    from_end = torch.arange(1, length + 1, dtype=torch.float32)
    return (torch.minimum(from_end, from_end.flip(0)) / (border + 1)).clamp(max=1)
