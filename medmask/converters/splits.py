"""Splits and folds by patient: no patient's images are in two of them.

Both depend on nothing but the patients' ids and the seed, so that they are the same everywhere.
"""

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

from medmask.converters.contract import SourceImage
from medmask.converters.parts import ALL, HELDOUT, SPLITS, fold_part
from medmask.errors import InputError
from medmask.utils.counts import counted
from medmask.utils.json_files import valid_unicode

logger = logging.getLogger(__name__)

_TRAIN, _VAL = 60, 75  # percent of the patients up to the end of train and of val
_VAL_OF_TRAIN = 20  # percent of the training patients where a set has no val of its own


def patient_of(image: SourceImage) -> str:
    """The patient of an image; an image without one is a patient of its own."""
    return image.patient_id or image.name


def warn_of_unknown_patients(images: Sequence[SourceImage], raw: Path) -> None:
    """Log how many images of the raw folder have no patient id, if any has none."""
    alone = sum(image.patient_id is None for image in images)
    if alone:
        logger.warning(
            "%d of the %d images of %s have no patient id: each counts as a patient of its own, "
            "and splits may share a patient",
            *(alone, len(images), valid_unicode(raw)),
        )


def choose_parts(
    images: Sequence[SourceImage], folds: int | None, seed: int
) -> tuple[dict[str, set[str]], str]:
    """Choose the images of each part of a set.

    Args:
        images: all of the set.
        folds: number of folds; None for train, val and test.
        seed: of splits and folds.

    Returns:
        The names of the images of each part, and a sentence that states how they came about.

    Raises:
        InputError: there are fewer patients than folds.
    """
    parts = {ALL: {image.name for image in images}}
    if folds is None:
        splits, how = assign_splits(images, seed)
        for split in SPLITS:
            parts[split] = {name for name, each in splits.items() if each == split}
        parts[HELDOUT] = parts["val"] | parts["test"]
        return parts, how
    fold_of = deal_folds(images, folds, seed)
    for fold in range(folds):
        test = {name for name, each in fold_of.items() if each == fold}
        parts |= {fold_part(fold, "test"): test, fold_part(fold, "train"): parts[ALL] - test}
    return parts, f"{folds} folds by patient, by a hash with the seed {seed}"


def assign_splits(images: Sequence[SourceImage], seed: int) -> tuple[dict[str, str], str]:
    """Assign each image to train, val or test.

    Where the set has splits of its own, they are kept; a patient of several goes to test rather
    than val, and to val rather than train. Where it has no val, a fifth of the training patients
    become it. Sets without splits are split 60 / 15 / 25 by a hash of seed and patient.

    Returns:
        The split of each image by its name, and a sentence that states how they came about.
    """
    patients = {patient_of(image) for image in images}
    if not images or any(image.split is None for image in images):
        chosen = {p: _by_percent(_percent(p, seed), _TRAIN, _VAL) for p in patients}
        how = f"60 / 15 / 25 percent of the patients, by a hash of the patient and the seed {seed}"
    else:
        chosen, how = _own_splits(images, seed)
    return {image.name: chosen[patient_of(image)] for image in images}, how


def deal_folds(images: Sequence[SourceImage], folds: int, seed: int) -> dict[str, int]:
    """Deal patients to folds; those with lesions and those without apart, for equal shares.

    Returns:
        The fold in whose test set each image is, by its name.

    Raises:
        InputError: there are fewer patients than folds.
    """
    with_lesions = {patient_of(image) for image in images if image.lesions}
    without = {patient_of(image) for image in images} - with_lesions
    count = len(with_lesions) + len(without)
    if count < folds:
        raise InputError(
            f"{folds} folds need as many patients, but there are {count}: lower --folds"
        )

    def place(patient: str) -> bytes:
        return hashlib.sha256(f"{seed} {patient}".encode()).digest()

    # The second group goes on where the first one stopped, or fold 0 would get all remainders.
    order = [*sorted(with_lesions, key=place), *sorted(without, key=place)]
    fold_of = {patient: index % folds for index, patient in enumerate(order)}
    return {image.name: fold_of[patient_of(image)] for image in images}


def _own_splits(images: Sequence[SourceImage], seed: int) -> tuple[dict[str, str], str]:
    of_patient: dict[str, set[str]] = {}
    for image in images:
        of_patient.setdefault(patient_of(image), set()).add(str(image.split))
    chosen = {p: max(splits, key=SPLITS.index) for p, splits in of_patient.items()}
    crossing = sum(len(splits) > 1 for splits in of_patient.values())
    how = "the set's own"
    if crossing:
        patients = counted(crossing, "patient")
        how += f"; all images of a patient in several of them ({patients}) are in the last"
    if "val" not in chosen.values():
        how += f"; val is 20 percent of the training patients, by a hash with the seed {seed}"
        for patient, split in chosen.items():
            if split == "train" and _percent(patient, seed) < _VAL_OF_TRAIN:
                chosen[patient] = "val"
    return chosen, how


def _percent(patient: str, seed: int) -> int:
    return int(hashlib.sha256(f"{seed}:{patient}".encode()).hexdigest(), 16) % 100


def _by_percent(percent: int, train: int, val: int) -> str:
    return "train" if percent < train else "val" if percent < val else "test"
