"""Hits, misses and false positives at an operating point, to see what goes wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from medmask.evaluation.froc import froc_curve
from medmask.evaluation.matching import localize
from medmask.evaluation.settings import EvaluationSettings
from medmask.evaluation.structures import Detections, GroundTruth
from medmask.evaluation.suppression import suppress_overlaps
from medmask.utils.counts import counted

SINGULAR = {"hits": "hit", "misses": "miss", "false_positives": "false positive"}
"""Names of one finding of each kind."""
KINDS = tuple(SINGULAR)


@dataclass(frozen=True)
class Finding:
    """A lesion, or a detection that hits none.

    Attributes:
        kind: one of :data:`KINDS`.
        image: index of its image.
        box: (x0, y0, x1, y1) in pixels.
        score: of a false positive, or of the best detection that hits the lesion; None if none.
        category: index of its category.
    """

    kind: str
    image: int
    box: tuple[float, float, float, float]
    score: float | None
    category: int


def find_errors(
    ground_truth: GroundTruth,
    detections: Detections,
    fpi: float,
    settings: EvaluationSettings | None = None,
) -> list[Finding]:
    """Tell hits, misses and false positives apart at an operating point.

    The score threshold is the lowest at which there are no more than ``fpi`` false positives per
    image, after the suppression of the evaluation.

    Args:
        ground_truth: all images.
        detections: on them.
        fpi: false positives per image, at least 0.
        settings: of the evaluation, which say what a hit is; the defaults if None.

    Returns:
        Hits and false positives from the highest score on; misses, too, and those that no detection
        hits at any score last, the largest first.

    Raises:
        InputError: ``fpi`` is out of its range.
    """
    settings = replace(settings or EvaluationSettings(), operating_points=(fpi,))
    kept = suppress_overlaps(detections, settings.nms_iou)
    localizations = localize(ground_truth, kept, settings.iou_threshold, settings.hit_rule)
    curve = froc_curve(localizations)
    threshold = curve.thresholds[curve.last_within(settings.operating_points)[0]]

    lesions = ground_truth.boxes[~ground_truth.is_crowd]
    findings = [
        Finding(
            "hits" if score >= threshold else "misses",
            int(image),
            tuple(box.tolist()),
            float(score) if score > -np.inf else None,
            int(category),
        )
        for box, image, score, category in zip(
            lesions,
            localizations.lesion_images,
            localizations.lesion_scores,
            localizations.lesion_categories,
            strict=True,
        )
    ]
    is_false_positive = ~(localizations.hits | localizations.ignored)
    shown = kept.select(is_false_positive & (kept.scores >= threshold))
    findings += [
        Finding("false_positives", int(image), tuple(box.tolist()), float(score), int(category))
        for box, image, score, category in zip(
            shown.boxes, shown.image_indices, shown.scores, shown.category_indices, strict=True
        )
    ]

    def rank(finding: Finding) -> tuple[int, float, float]:
        x0, y0, x1, y1 = finding.box
        score = -1.0 if finding.score is None else finding.score
        return KINDS.index(finding.kind), -score, -(x1 - x0) * (y1 - y0)

    return sorted(findings, key=rank)


def count_kinds(findings: Sequence[Finding]) -> dict[str, int]:
    """Count the findings of each of :data:`KINDS`."""
    return {kind: sum(finding.kind == kind for finding in findings) for kind in KINDS}


def describe_kinds(counts: Mapping[str, int]) -> str:
    """Tell what :func:`count_kinds` counted: ``152 hits, 1 miss, 120 false positives``."""
    return ", ".join(
        counted(count, SINGULAR[kind], kind.replace("_", " ")) for kind, count in counts.items()
    )
