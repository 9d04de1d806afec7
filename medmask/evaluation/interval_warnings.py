"""Warnings of 95% intervals over patients that look surer than they are."""

import numpy as np

from medmask.evaluation.classification import ScoredUnits
from medmask.utils.counts import counted

_FEW_PATIENTS = 10
"""Below so many, percentile intervals hold the truth clearly less often than they say."""


def warn_of_few_patients(images: ScoredUnits) -> list[str]:
    """Tell where resamples of the patients are too much alike.

    Args:
        images: of the set, of more than one patient.

    Returns:
        A sentence for the images with a lesion, and one for those without, if they are of few
        patients.
    """
    sentences = []
    for kind, of_kind in (("with", images.labels), ("without", ~images.labels)):
        patients = len(np.unique(images.patients[of_kind]))
        if 0 < patients < _FEW_PATIENTS:
            sentences.append(
                f"The images {kind} a lesion are of only {counted(patients, 'patient')}, so the "
                "intervals are too narrow: resamples of so few are too much alike."
            )
    return sentences
