"""One set of images out of several: the test folds of a cross-validation, or a part of a set."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from medmask.errors import InputError
from medmask.evaluation.structures import Detections, GroundTruth


def pool(
    parts: Sequence[tuple[GroundTruth, Detections]],
) -> tuple[GroundTruth, Detections]:
    """Join sets of different images, with the detections on each, to one.

    Scores stay as they are: detections of all parts are ranked together, so one threshold holds for
    all of them, as it would in use.

    Args:
        parts: at least one; all of the same classes.

    Raises:
        InputError: an image, by its file name, or a patient is in several parts.
    """
    truths = [truth for truth, _ in parts]
    detections = [each for _, each in parts]
    _check_apart("image", [truth.file_names or () for truth in truths])
    _check_apart("patient", [truth.patients for truth in truths])
    offsets = np.cumsum([0, *(truth.num_images for truth in truths)])[:-1]
    first = truths[0]
    names = [truth.file_names or (None,) * truth.num_images for truth in truths]
    pooled = replace(
        first,
        image_ids=tuple(range(sum(truth.num_images for truth in truths))),
        boxes=np.concatenate([truth.boxes for truth in truths]),
        image_indices=_shift([truth.image_indices for truth in truths], offsets),
        category_indices=np.concatenate([truth.category_indices for truth in truths]),
        is_crowd=np.concatenate([truth.is_crowd for truth in truths]),
        patients=tuple(patient for truth in truths for patient in truth.patients),
        lateralities=tuple(side for truth in truths for side in truth.lateralities),
        file_names=tuple(name for of_part in names for name in of_part),
        image_sizes=np.concatenate([_sizes(truth) for truth in truths]),
    )
    return pooled, Detections(
        boxes=np.concatenate([each.boxes for each in detections]),
        scores=np.concatenate([each.scores for each in detections]),
        image_indices=_shift([each.image_indices for each in detections], offsets),
        category_indices=np.concatenate([each.category_indices for each in detections]),
    )


def _sizes(truth: GroundTruth) -> np.ndarray:
    unknown = np.full((truth.num_images, 2), np.nan)
    return unknown if truth.image_sizes is None else truth.image_sizes


def _shift(indices: Sequence[np.ndarray], offsets: np.ndarray) -> np.ndarray:
    return np.concatenate([part + offset for part, offset in zip(indices, offsets, strict=True)])


def _check_apart(kind: str, parts: Sequence[Sequence[object]]) -> None:
    seen: set[object] = set()
    for part in parts:
        names = {name for name in part if name is not None}
        shared = sorted(map(str, names & seen))
        if shared:
            raise InputError(f"{kind} {shared[0]} is in several parts, which cannot be pooled")
        seen |= names
