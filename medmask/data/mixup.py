"""Mixup for detection (Zhang et al., 2019): two images become one, with the lesions of both.

Of the ways to mix images this one suits detectors of lesions. CutMix and mosaics cut breasts and
lesions in pieces, whose boxes then say less than half of the truth. A radiograph is a projection:
tissue that lies over tissue adds up, and a weighted sum of two mammograms is a denser breast with
both lesions whole, at lower contrast. The share of either image is bounded from below, so that what
a box says is still to be seen.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor
from torch.nn import functional as F

from medmask.data.sample_mix import SampleMix
from medmask.errors import InputError

_VIEWS = ("image", "strong_image")


class Mixup(SampleMix):
    """Mixes samples with others of the same stream."""

    def __init__(
        self, *, probability: float = 0.5, share_range: Sequence[float] = (0.3, 0.5)
    ) -> None:
        """Create the augmentation.

        Args:
            probability: that a sample is mixed with another.
            share_range: least and greatest share of the other image, drawn evenly; in (0, 0.5].

        Raises:
            InputError: a number makes no sense.
        """
        super().__init__(probability)
        if len(share_range) != 2 or not 0 < share_range[0] <= share_range[1] <= 0.5:
            raise InputError(
                f"Mixup: share_range is {tuple(share_range)}, but must be (least, greatest) in "
                "(0, 0.5]"
            )
        least, greatest = share_range
        self.share_range = (least, greatest)

    def __call__(self, sample: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
        """Mix, with a share from numpy's global generator; see :func:`mix_samples`."""
        return mix_samples(sample, other, np.random.uniform(*self.share_range))


def mix_samples(sample: dict[str, Any], other: dict[str, Any], share: float) -> dict[str, Any]:
    """Mix two samples, whose upper left corners lie on each other.

    Args:
        sample: of a mapper.
        other: of the same mapper.
        share: of the other image, in [0, 1].

    Returns:
        The fields of ``sample``, and anew: its views, (1 - share) of its own and ``share`` of the
        other's, black where either ends; ``instances`` and ``lesion_map``, if there, with the
        ``gt_boxes``, ``gt_classes`` and outlines of both; ``original_corners`` and ``to_original``
        None, for it shows no part of one image.
    """
    mixed = {**sample, "original_corners": None, "to_original": None}
    for view in _VIEWS:
        if view in sample:
            mixed[view] = _mix(sample[view], other[view], share)
    if "instances" in sample:
        both = sample["instances"], other["instances"]
        mixed["instances"] = Instances(
            tuple(mixed["image"].shape[-2:]),
            gt_boxes=Boxes.cat([i.gt_boxes for i in both]),
            gt_classes=torch.cat([i.gt_classes for i in both]),
        )
    if "lesion_map" in sample:
        both = sample["lesion_map"], other["lesion_map"]
        mixed["lesion_map"] = torch.maximum(*_pad_to_larger(*both))
    return mixed


def _mix(image: Tensor, other: Tensor, share: float) -> Tensor:
    """Two (3, H, W) -> (3, H, W) of the larger height and width; bytes stay bytes."""
    first, second = _pad_to_larger(image.float(), other.float())
    mixed = first.lerp(second, share)
    return mixed if image.is_floating_point() or other.is_floating_point() else mixed.round().byte()


def _pad_to_larger(image: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Pad two (..., H, W) with zeros to the larger height and width."""
    height, width = (max(a, b) for a, b in zip(image.shape[-2:], other.shape[-2:], strict=True))
    first, second = (
        F.pad(x, (0, width - x.shape[-1], 0, height - x.shape[-2])) for x in (image, other)
    )
    return first, second
