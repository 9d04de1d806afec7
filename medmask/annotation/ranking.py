"""The order in which readers see images, and which they see at all."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from medmask.annotation.options import RankingOptions
from medmask.annotation.uncertainty import (
    ImageDetections,
    disagreement,
    entropy,
    least_confidence,
    margin,
)
from medmask.dicom_results.predictions import ScoredImage
from medmask.errors import InputError


@dataclass(frozen=True)
class Ranking:
    """Images in their order.

    Attributes:
        images: that are to be annotated, the most uncertain first.
        uncertainties: of each; None where the order is that of the predictions.
    """

    images: tuple[ScoredImage, ...]
    uncertainties: tuple[float | None, ...]


def rank_images(
    images: Sequence[ScoredImage],
    options: RankingOptions,
    *,
    others: Sequence[ScoredImage] | None = None,
    patients: Sequence[str] | None = None,
) -> Ranking:
    """Put images into the order in which to annotate them.

    Args:
        images: with their detections.
        options: measure, number and choice by patient.
        others: the same images with the detections to compare with, for the disagreement.
        patients: of each image, where the choice goes by them.

    Raises:
        InputError: detections to compare with are missing for an image.
    """
    values = _measure(images, options, others)
    order = list(range(len(images)))
    if values is not None:
        order.sort(key=lambda i: -values[i])  # stable: ties stay as they are
    if patients is not None and options.patients != "all":
        order = _choose_by_patient(order, patients, only_one=options.patients == "one")
    order = order[: options.count]
    return Ranking(
        tuple(images[i] for i in order),
        tuple(None if values is None else values[i] for i in order),
    )


def _measure(
    images: Sequence[ScoredImage], options: RankingOptions, others: Sequence[ScoredImage] | None
) -> list[float] | None:
    """The uncertainty of each image; None where there is no measure."""
    if options.measure is None:
        return None
    if options.measure == "random":
        return np.random.default_rng(options.seed).random(len(images)).tolist()
    if options.measure == "disagreement":
        return _measure_disagreement(images, others or (), options.least_score)
    measures: dict[str, Callable[[ScoredImage], float]] = {
        "entropy": lambda image: entropy(_detections(image, options.least_score).scores),
        "margin": lambda image: margin(
            np.array([finding.score for finding in image.findings]), options.score_threshold
        ),
        "least-confidence": lambda image: least_confidence(_probability(image)),
        "highest-score": _probability,
    }
    return [measures[options.measure](image) for image in images]


def _measure_disagreement(
    images: Sequence[ScoredImage], others: Sequence[ScoredImage], least_score: float
) -> list[float]:
    by_path = {os.path.realpath(image.path): image for image in others}
    values = []
    for image in images:
        other = by_path.get(os.path.realpath(image.path))
        if other is None:
            raise InputError(
                f"the predictions to compare with have none of image {image.path}: predict on the "
                "same images"
            )
        pair = (_detections(x, least_score) for x in (image, other))
        values.append(disagreement(*pair))
    return values


def _detections(image: ScoredImage, least_score: float) -> ImageDetections:
    """Those from a score on; probabilities in the place of scores that are calibrated."""
    found = [x for x in image.findings if x.score >= least_score]
    scores = [x.score if x.probability is None else x.probability for x in found]
    boxes = np.array([x.box for x in found], dtype=np.float64).reshape(-1, 4)
    return ImageDetections(boxes, np.array(scores), [x.category for x in found])


def _probability(image: ScoredImage) -> float:
    """That the image has a lesion; the highest score where it is not calibrated."""
    if image.probability is not None:
        return image.probability
    return max((finding.score for finding in image.findings), default=0.0)


def _choose_by_patient(
    order: Sequence[int], patients: Sequence[str], *, only_one: bool
) -> list[int]:
    """The first image of each patient, then the second of each, and so on."""
    seen: Counter[str] = Counter()
    rounds = []
    for index in order:
        rounds.append(seen[patients[index]])
        seen[patients[index]] += 1
    by_round = sorted(range(len(order)), key=rounds.__getitem__)  # stable
    return [order[i] for i in by_round if not only_one or rounds[i] == 0]
