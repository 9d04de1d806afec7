"""Scores that the other views of an exam confirm or deny, as readers look at all four at once.

A lesion shows in both views of its breast, while the overlap of tissue that looks like one shows in
one of them; and what both breasts have at the same place is more often anatomy than disease. So
the score s of a detection d becomes s', with

    logit s' = logit s + a [logit max(support, f) - logit u] - b [logit max(mirror, f) - logit u]

``support`` is what the same breast's other views have at the depth of d, ``mirror`` what the other
breast has in the same view at the place of d. Both are

    max over the detections e there of  s_e g(d, e) * s_d g(d, e) / max over d' of s_d' g(d', e)

where g is a Gaussian of the distance of two places (:class:`BreastFrame`), and d' runs over the
detections of d's image: all that e knows goes to the detection that fits it best, and to others
their share. A term is left out where there is no such image. f is what an image without a detection
counts as; u makes scores of whole exams and of single images comparable.

Nothing is learned. Combining two views by the distance to the nipple is as old as detection by
computer; van Engeland and Karssemeijer (Medical Physics 34, 2007) make the case for it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from medmask.errors import InputError
from medmask.evaluation.related_views import FIELDS, RelatedViews
from medmask.evaluation.settings import ViewSettings
from medmask.evaluation.structures import Detections

if TYPE_CHECKING:
    from medmask.data.breast import BreastFrame

_LEAST = 1e-6
"""Scores nearer than this to 0 and 1 count as this far from them, so that logits are finite."""
_FARTHEST = 1e6
"""Places further away, in breasts, count as this far, so that squares of distances are finite."""
_DEPTH, _DEPTH_AND_HEIGHT = (0,), (0, 1)
"""The parts of a place that two views of a breast share, and those that two breasts do."""


def combine_views(
    detections: Detections,
    related: RelatedViews,
    frames: "Sequence[BreastFrame | None]",
    settings: ViewSettings | None = None,
) -> Detections:
    """Let the views of an exam change each other's scores; boxes stay as they are.

    Categories do not see each other.

    Args:
        detections: on N images, with scores in [0, 1].
        related: of the N images.
        frames: of each; an image in which no breast was found is related to none.
        settings: weights and reaches; the usual ones if None.

    Returns:
        The detections in their order, with scores in [0, 1].

    Raises:
        InputError: no image is related to another.
    """
    settings = settings or ViewSettings()
    related = related.among([frame is not None for frame in frames])
    if related.is_empty():
        raise InputError(
            "no two images are views of one exam in which a breast was found: image records need "
            f"{', '.join(FIELDS)} (such as 17, L, MLO), and one study_date if they have any"
        )
    findings = _Findings(detections, frames)
    change = settings.ipsilateral_weight * findings.evidence(
        related.ipsilateral, _DEPTH, settings.ipsilateral_reach, settings
    ) - settings.contralateral_weight * findings.evidence(
        related.contralateral, _DEPTH_AND_HEIGHT, settings.contralateral_reach, settings
    )
    changed = 1 / (1 + np.exp(-_logit(detections.scores) - change))
    return Detections(
        detections.boxes,
        np.where(change == 0, detections.scores, changed),
        detections.image_indices,
        detections.category_indices,
    )


class _Findings:
    """Detections by image and category, with their places in the breast."""

    def __init__(self, detections: Detections, frames: "Sequence[BreastFrame | None]") -> None:
        self.scores = detections.scores
        self.places = np.full((len(detections), 2), np.nan)
        self.groups: dict[tuple[int, int], np.ndarray] = {}
        keys = np.stack((detections.image_indices, detections.category_indices), axis=1)
        names, of_group, counts = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
        order = np.argsort(of_group.ravel(), kind="stable")
        ends = np.cumsum(counts)
        for (image, category), end, count in zip(names.tolist(), ends, counts, strict=True):
            here = order[end - count : end]
            self.groups[image, category] = here
            frame = frames[image]
            if frame is not None:
                places = frame.places(detections.boxes[here])
                self.places[here] = places.clip(-_FARTHEST, _FARTHEST)

    def evidence(
        self,
        related: Sequence[Sequence[int]],
        axes: tuple[int, ...],
        reach: float,
        settings: ViewSettings,
    ) -> np.ndarray:
        """Evidence of the related images on each detection, (D,): above 0 speaks for it."""
        evidence = np.zeros(len(self.scores))
        for (image, category), mine in self.groups.items():
            if not related[image]:
                continue
            found = np.full(len(mine), settings.least_score)
            for other in related[image]:
                theirs = self.groups.get((other, category))
                if theirs is not None:
                    found = np.maximum(found, self._support(mine, theirs, axes, reach))
            evidence[mine] = _logit(found) - _logit(settings.unknown_score)
        return evidence

    def _support(
        self, mine: np.ndarray, theirs: np.ndarray, axes: tuple[int, ...], reach: float
    ) -> np.ndarray:
        """Indices of D and of E detections -> (D,): the most that one of the E lends to each."""
        offsets = self.places[mine][:, None, axes] - self.places[theirs][None, :, axes]
        nearness = np.exp(-(offsets**2).sum(axis=-1) / (2 * reach**2))  # (D, E)
        fit = self.scores[mine][:, None] * nearness
        best = fit.max(axis=0)
        share = np.divide(fit, best, out=np.zeros_like(fit), where=best > 0)
        return (self.scores[theirs] * nearness * share).max(axis=1)


def _logit(scores: np.ndarray | float) -> np.ndarray:
    clipped = np.clip(scores, _LEAST, 1 - _LEAST)
    return np.log(clipped / (1 - clipped))
