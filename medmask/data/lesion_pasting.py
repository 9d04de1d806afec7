"""Pasting lesions of one mammogram into the breast of another (copy-paste, Ghiasi et al., 2021).

A radiograph is a projection: what a lesion attenuates adds to what lies before and behind it. So a
lesion is not put over the tissue but added to it: what it has more than its surroundings, which a
plane through the gray levels around it stands for. Over a margin around the ellipse in its box that
fades to nothing. Nothing is cut at the edge of a box, then, and film and digital images, which
differ in level, need no further agreement. A lesion that is copied with its background shows as a
rectangle, which is easier to see than the lesion.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor

from medmask.data.breast import find_breast

Corners = tuple[float, float, float, float]
DEFAULT_MARGIN = 0.4
_LEAST_MARGIN = 1.0  # pixels, so that some lie around the smallest box


class Contribution(NamedTuple):
    """Gray levels that a lesion adds to those around it."""

    gray_levels: Tensor
    """(3, h, w) float32, also below 0; 0 at and beyond the end of the margin"""
    box: Corners
    """(x0, y0, x1, y1) of the lesion in pixels of ``gray_levels``"""


def cut_out(image: Tensor, box: Tensor, margin: float) -> Contribution | None:
    """Take what a lesion adds to its surroundings.

    Args:
        image: (3, H, W) in [0, 255].
        box: (4,) corners of the lesion, within the image.
        margin: where it fades, from the ellipse in the box outward, as a share of its half axes;
            at least a pixel wide.

    Returns:
        The lesion; None if its margin does not lie in the image, or its box is empty, as that of
        a pseudo label may be.
    """
    x0, y0, x1, y1 = box.tolist()
    if not (x0 < x1 and y0 < y1):
        return None
    half_axes = ((x1 - x0) / 2, (y1 - y0) / 2)
    margins = tuple(max(margin * half, _LEAST_MARGIN) for half in half_axes)
    left, top = math.floor(x0 - margins[0]), math.floor(y0 - margins[1])
    right, bottom = math.ceil(x1 + margins[0]), math.ceil(y1 + margins[1])
    height, width = image.shape[-2:]
    if left < 0 or top < 0 or right > width or bottom > height:
        return None
    x = torch.arange(left, right)[None, :] + 0.5 - (x0 + x1) / 2  # from the center of the box
    y = torch.arange(top, bottom)[:, None] + 0.5 - (y0 + y1) / 2
    window = _window(x, y, half_axes, margins)
    pixels = image[:, top:bottom, left:right].float()
    around = (window > 0) & (window < 1)
    excess = pixels - _plane(pixels, x / half_axes[0], y / half_axes[1], around)
    return Contribution(window * excess, (x0 - left, y0 - top, x1 - left, y1 - top))


def turned(contribution: Contribution, way: int) -> Contribution:
    """Mirror and turn a lesion by right angles, in one of eight ways.

    Args:
        contribution: of the lesion.
        way: 0 to 7; its bits say whether to mirror it upside down, left to right, and along the
            diagonal, in this order.
    """
    gray_levels, (x0, y0, x1, y1) = contribution
    height, width = gray_levels.shape[-2:]
    if way & 1:
        gray_levels, y0, y1 = gray_levels.flip(1), height - y1, height - y0
    if way & 2:
        gray_levels, x0, x1 = gray_levels.flip(2), width - x1, width - x0
    if way & 4:
        gray_levels, x0, y0, x1, y1 = gray_levels.transpose(1, 2), y0, x0, y1, x1
    return Contribution(gray_levels, (x0, y0, x1, y1))


def find_places(breast: np.ndarray, boxes: Tensor, size: tuple[int, int]) -> np.ndarray:
    """Find where a rectangle lies in the breast and on none of the boxes.

    Args:
        breast: (H, W) bool.
        boxes: (T, 4) corners of what must stay visible.
        size: (h, w) of the rectangle.

    Returns:
        (P, 2) rows and columns of its upper left pixel, in order; P may be 0.
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


def add(image: Tensor, contribution: Contribution, place: tuple[int, int]) -> Tensor:
    """Add a lesion to a copy of an image.

    Args:
        image: (3, H, W) in [0, 255], uint8 or float32; the result has its type and range.
        contribution: of the lesion.
        place: row and column of its upper left pixel; it lies wholly in the image.
    """
    height, width = contribution.gray_levels.shape[-2:]
    region = image[:, place[0] : place[0] + height, place[1] : place[1] + width]
    sum_of_both = (region.float() + contribution.gray_levels).clamp(0, 255)
    if not image.is_floating_point():
        sum_of_both = sum_of_both.round()
    result = image.clone()
    result[:, place[0] : place[0] + height, place[1] : place[1] + width] = sum_of_both.to(
        image.dtype
    )
    return result


def paste_lesions(
    image: Tensor,
    boxes: Boxes,
    donor: Tensor,
    donor_boxes: Boxes,
    *,
    margin: float,
    generator: torch.Generator,
) -> tuple[Tensor, Boxes, Tensor]:
    """Add all lesions of one image to the breast of another, turned, at random places.

    A lesion is left out if its margin does not lie in its own image, if its box is empty, or if
    there is no place for it in the breast that covers no lesion.

    Args:
        image: (3, H, W) in [0, 255] on the CPU.
        boxes: of its own lesions, which stay as they are.
        donor: (3, H', W') likewise.
        donor_boxes: (L, 4) lesions of the donor.
        margin: over which a lesion fades, see :func:`cut_out`.
        generator: draws turns and places.

    Returns:
        The image, the (P, 4) boxes of what was pasted, and the (P,) index of each in
        ``donor_boxes``.
    """
    pasted: list[list[float]] = []
    index: list[int] = []
    breast = find_breast_mask(image) if len(donor_boxes) else np.empty((0, 0), dtype=bool)
    taken = boxes.tensor
    for i, box in enumerate(donor_boxes.tensor):
        lesion = cut_out(donor, box, margin)
        if lesion is None:
            continue
        lesion = turned(lesion, _draw(8, generator))
        height, width = lesion.gray_levels.shape[-2:]
        places = find_places(breast, taken, (height, width))
        if not len(places):
            continue
        row, column = places[_draw(len(places), generator)].tolist()
        image = add(image, lesion, (row, column))
        x0, y0, x1, y1 = lesion.box
        pasted.append([x0 + column, y0 + row, x1 + column, y1 + row])
        index.append(i)
        taken = torch.cat((taken, taken.new_tensor(pasted[-1:])))
    return (
        image,
        Boxes(torch.tensor(pasted, dtype=torch.float32).reshape(-1, 4)),
        torch.tensor(index, dtype=torch.int64),
    )


def paste_into_sample(
    sample: dict[str, Any], donor: dict[str, Any], *, margin: float, generator: torch.Generator
) -> tuple[dict[str, Any], int]:
    """Add the lesions of one sample to another, with their boxes and classes.

    Args:
        sample: with ``image`` and ``instances`` on the CPU; it stays as it is.
        donor: likewise.
        margin: see :func:`cut_out`.
        generator: see :func:`paste_lesions`.

    Returns:
        The sample, and how many lesions it got. If any, its ``instances`` have ``gt_boxes`` and
        ``gt_classes`` alone.
    """
    own, given = sample["instances"], donor["instances"]
    image, boxes, index = paste_lesions(
        sample["image"],
        own.gt_boxes,
        donor["image"],
        given.gt_boxes,
        margin=margin,
        generator=generator,
    )
    if not len(index):
        return sample, 0
    instances = Instances(
        own.image_size,
        gt_boxes=Boxes.cat([own.gt_boxes, boxes]),
        gt_classes=torch.cat((own.gt_classes, given.gt_classes[index])),
    )
    return {**sample, "image": image, "instances": instances}, len(index)


def _window(
    x: Tensor, y: Tensor, half_axes: tuple[float, float], margins: tuple[float, ...]
) -> Tensor:
    """(1, w) and (h, 1) from the center -> (h, w): 1 in the ellipse, 0 from the outer one on.

    Between the two it falls as half a cosine of the way from one to the other.
    """
    inner, outer = (
        ((x / axes[0]) ** 2 + (y / axes[1]) ** 2).sqrt()
        for axes in (half_axes, (half_axes[0] + margins[0], half_axes[1] + margins[1]))
    )
    within, beyond = (1 - outer).clamp(min=0), (inner - 1).clamp(min=0)
    return 0.5 - 0.5 * torch.cos(math.pi * within / (within + beyond))


def _plane(pixels: Tensor, x: Tensor, y: Tensor, around: Tensor) -> Tensor:
    """Fit a plane to the marked pixels of each channel, by least squares: (3, h, w)."""
    height, width = around.shape
    terms = torch.stack(
        (torch.ones(height, width), x.expand(height, width), y.expand(height, width)), dim=-1
    )
    fitted = torch.linalg.lstsq(terms[around], pixels[:, around].T).solution  # (3, 3)
    return (terms @ fitted).permute(2, 0, 1)


def _draw(number: int, generator: torch.Generator) -> int:
    return int(torch.randint(number, (), generator=generator))
