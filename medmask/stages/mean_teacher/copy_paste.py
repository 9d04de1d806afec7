"""Bidirectional copy-paste of lesions between labeled and unlabeled images (Bai et al., 2023).

Labeled lesions are pasted into unlabeled images, where their boxes join the teacher's labels: the
student sees lesions that are certain on the new scanner's tissue. What the teacher found in
unlabeled images is pasted into labeled ones: the new scanner's lesions, on tissue that is known.
Neither direction costs a forward computation.
"""

import math
from typing import Any

import torch
from detectron2.structures import Instances

from medmask.data.lesion_pasting import DEFAULT_MARGIN, paste_into_sample
from medmask.errors import InputError

Sample = dict[str, Any]


class LesionCopyPaste:
    """Pastes the lesions of each labeled image into an unlabeled one, and the other way round."""

    def __init__(
        self,
        *,
        to_unlabeled_probability: float = 0.5,
        to_labeled_probability: float = 0.5,
        margin: float = DEFAULT_MARGIN,
    ) -> None:
        """Create it.

        Args:
            to_unlabeled_probability: that an unlabeled image gets the lesions of a labeled one.
            to_labeled_probability: that a labeled image gets the pseudo lesions of an unlabeled
                one.
            margin: around the ellipse in a box, over which a lesion fades into the other image, as
                a share of its half axes.

        Raises:
            InputError: a number makes no sense.
        """
        probabilities = {
            "to_unlabeled_probability": to_unlabeled_probability,
            "to_labeled_probability": to_labeled_probability,
        }
        for name, value in probabilities.items():
            if not 0 <= value <= 1:
                raise InputError(f"LesionCopyPaste: {name} is {value}, but must lie in [0, 1]")
        if not 0 <= margin < math.inf:
            raise InputError(f"LesionCopyPaste: margin is {margin}, but must be 0 or more")
        self.to_unlabeled_probability = to_unlabeled_probability
        self.to_labeled_probability = to_labeled_probability
        self.margin = margin

    def __call__(
        self, labeled: list[Sample], unlabeled: list[Sample]
    ) -> tuple[list[Sample], list[Sample], int]:
        """Exchange lesions between the images of two batches of one iteration.

        The i-th image of a batch exchanges with the i-th of the other; of the longer batch, the
        rest goes on from the other's first.

        Args:
            labeled: with ``image``, ``instances`` and ``random_seed``.
            unlabeled: the same, ``image`` being the student's view and ``instances`` the pseudo
                labels, on any device.

        Returns:
            Both batches anew, and how many lesions were pasted. ``instances`` of an image that got
            lesions have ``gt_boxes`` and ``gt_classes`` alone.
        """
        unlabeled = [{**x, "instances": _to_cpu(x["instances"])} for x in unlabeled]
        new_labeled, to_labeled = self._paste_all(
            labeled, unlabeled, self.to_labeled_probability, direction=0
        )
        new_unlabeled, to_unlabeled = self._paste_all(
            unlabeled, labeled, self.to_unlabeled_probability, direction=1
        )
        return new_labeled, new_unlabeled, to_labeled + to_unlabeled

    def _paste_all(
        self, samples: list[Sample], donors: list[Sample], probability: float, direction: int
    ) -> tuple[list[Sample], int]:
        results, count = [], 0
        for i, sample in enumerate(samples):
            # loaders of one seed give both samples the same number
            generator = torch.Generator().manual_seed(sample["random_seed"] ^ direction)
            result, number = self._paste(sample, donors[i % len(donors)], probability, generator)
            results.append(result)
            count += number
        return results, count

    def _paste(
        self, sample: Sample, donor: Sample, probability: float, generator: torch.Generator
    ) -> tuple[Sample, int]:
        if torch.rand((), generator=generator) >= probability:
            return sample, 0
        return paste_into_sample(sample, donor, margin=self.margin, generator=generator)


def _to_cpu(instances: Instances) -> Instances:
    return Instances(
        instances.image_size,
        gt_boxes=instances.gt_boxes.to("cpu"),
        gt_classes=instances.gt_classes.cpu(),
    )
