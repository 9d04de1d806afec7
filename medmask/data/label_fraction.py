"""A share of the labels, for studies of training with few annotated patients.

Images of one patient are alike, so patients are chosen, not images: with them come all their
images. Patients with lesions and without are chosen apart, the same share of each.

Patients are ordered by a hash of their id and a seed, and a share takes the first ones: the choice
depends on nothing else in the data set, is the same on every machine, and a smaller share is part
of every larger one.
"""

import hashlib
import logging
import math
from collections.abc import Sequence

from medmask.data.dataset_dicts import has_lesions, patient_of
from medmask.errors import InputError
from medmask.utils.counts import counted

logger = logging.getLogger(__name__)


def select_share_of_patients(
    dataset_dicts: Sequence[dict], fraction: float, seed: int
) -> list[dict]:
    """Choose a share of the patients.

    Args:
        dataset_dicts: in Detectron2's format; the patient is ``patient_id``, or where that is
            absent, each image is a patient of its own. Equal ids in joined data sets are one
            patient.
        fraction: share of the patients, in (0, 1]; numbers of patients are rounded, halves up.
        seed: another seed chooses other patients.

    Returns:
        The dicts of the chosen patients, in their order.

    Raises:
        InputError: ``fraction`` is out of range, or leaves none of the patients with lesions.
    """
    if not 0 < fraction <= 1:
        raise InputError(f"label_fraction is {fraction}, but must be above 0 and at most 1")
    if fraction == 1:
        return list(dataset_dicts)
    patients = {patient_of(x) for x in dataset_dicts}
    with_lesions = {patient_of(x) for x in dataset_dicts if has_lesions(x)}
    kept_with_lesions = _first_ones(with_lesions, fraction, seed)
    kept = kept_with_lesions | _first_ones(patients - with_lesions, fraction, seed)
    counts = (
        f"{len(kept)} of {counted(len(patients), 'patient')}, and of those with lesions "
        f"{len(kept_with_lesions)} of {len(with_lesions)}"
    )
    if not kept or (with_lesions and not kept_with_lesions):
        raise InputError(f"label_fraction={fraction} keeps {counts}: raise it")
    share = [x for x in dataset_dicts if patient_of(x) in kept]
    logger.info(
        f"label_fraction={fraction} keeps {counts}: {len(share)} of "
        f"{counted(len(dataset_dicts), 'image')}."
    )
    return share


def _first_ones(patients: set[str], fraction: float, seed: int) -> set[str]:
    """The share of patients that comes first in the order of a seed."""
    count = math.floor(fraction * len(patients) + 0.5)
    order = sorted(patients, key=lambda p: hashlib.sha256(f"{seed}: {p}".encode()).digest())
    return set(order[:count])
