"""Pasting the lesions of one labeled image into another of the same data set.

Lesions are rare, and each has been seen on one breast alone. Pasted into others, and turned, it
stands before tissue that it was never seen on, while what is no lesion stays what it is.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch

from medmask.data.dataset_dicts import has_lesions
from medmask.data.lesion_pasting import DEFAULT_MARGIN, paste_into_sample
from medmask.data.sample_mix import SampleMix
from medmask.errors import InputError


class LesionPasting(SampleMix):
    """Adds all lesions of another image to a sample, see :mod:`medmask.data.lesion_pasting`."""

    def __init__(self, *, probability: float = 0.5, margin: float = DEFAULT_MARGIN) -> None:
        """Create it.

        Args:
            probability: that a sample gets the lesions of another image.
            margin: around the ellipse in a box, over which a lesion fades, as a share of its half
                axes.

        Raises:
            InputError: a number makes no sense.
        """
        super().__init__(probability)
        if not 0 <= margin < math.inf:
            raise InputError(f"LesionPasting: margin is {margin}, but must be 0 or more")
        self.margin = margin

    def candidates(self, dataset_dicts: Sequence[dict[str, Any]]) -> Sequence[int]:
        """Choose the images with lesions; see :meth:`SampleMix.candidates`."""
        chosen = [i for i, record in enumerate(dataset_dicts) if has_lesions(record)]
        if not chosen:
            raise InputError(
                "LesionPasting has nothing to paste, for no image has lesions: set the loader's "
                "mix to null"
            )
        return chosen

    def __call__(self, sample: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
        """Add the other's lesions, as far as there is place.

        Args:
            sample: with ``image`` and ``instances``.
            other: likewise.

        Returns:
            A sample whose ``instances`` have ``gt_boxes`` and ``gt_classes`` alone; ``sample``
            itself if nothing was pasted.

        Raises:
            InputError: the samples have no boxes, or a second view or outlines, which would show
                other lesions than the image.
        """
        if "instances" not in sample:
            raise InputError(
                "LesionPasting needs images with boxes: set the loader's mix to null, or its "
                "mapper's with_boxes to True"
            )
        for field in ("strong_image", "lesion_map"):
            if field in sample:
                raise InputError(
                    f"LesionPasting cannot paste into {field}: set the loader's mix to null"
                )
        return paste_into_sample(
            sample, other, margin=self.margin, generator=torch.default_generator
        )[0]
