"""Boxes as the detector sees them: (cx, cy, w, h) in [0, 1] of the unpadded image."""

from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import box_convert


class DetectionTarget(NamedTuple):
    """Ground truth of one image."""

    labels: Tensor
    """(T,) int64, class of each object; T may be 0."""
    boxes: Tensor
    """(T, 4) as (cx, cy, w, h) in [0, 1]."""


def generalized_box_iou(a: Tensor, b: Tensor) -> Tensor:
    """Generalized intersection over union (Rezatofighi et al., 2019), element by element.

    Args:
        a: (..., 4) as (cx, cy, w, h).
        b: (..., 4) likewise; the leading dimensions broadcast against those of ``a``.

    Returns:
        (...) in [-1, 1]. Where the union is empty (both boxes have no area) it is 0 minus the
        empty share of the hull. Neither it nor its gradient is ever NaN or infinite.
    """
    a = box_convert(a, "cxcywh", "xyxy")
    b = box_convert(b, "cxcywh", "xyxy")
    overlap = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(
        0
    )
    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    intersection = overlap.prod(-1)
    union = _area(a) + _area(b) - intersection
    hull_area = hull.clamp(0).prod(-1)
    # Below any real box, and large enough for the gradient of a quotient to stay finite.
    eps = torch.finfo(a.dtype).eps
    return intersection / union.clamp(eps) - (hull_area - union) / hull_area.clamp(eps)


def _area(xyxy: Tensor) -> Tensor:
    return (xyxy[..., 2:] - xyxy[..., :2]).clamp(0).prod(-1)
