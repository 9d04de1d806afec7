"""Splits of RSNA-BSD1K that share nothing.

A file ``instances_full.json`` has been seen to hold images of the validation split as well, and
patients have several images.
"""

from medmask.converters.contract import LeftOut, SourceImage

_ORDER = ("test", "val", "train")
"""An image in several splits stays in the first of these: the sets that judge stay whole."""


def separate(by_split: dict[str, list[SourceImage]]) -> tuple[list[SourceImage], list[LeftOut]]:
    """Keep every image, and every patient, in one split alone.

    Returns:
        The images, and those that were left out of a split with the reason.
    """
    images: list[SourceImage] = []
    left_out: list[LeftOut] = []
    split_of_image: dict[str, str] = {}
    split_of_patient: dict[str | None, str] = {}
    for split in _ORDER:
        for image in by_split.get(split, []):
            other = split_of_image.setdefault(image.name, split)
            if other != split:
                reason = f"it is in {other}, too, where it stays; it is left out of {split}"
                left_out.append(LeftOut(image.name, reason))
                continue
            if image.patient_id is not None:
                other = split_of_patient.setdefault(image.patient_id, split)
            if other != split:
                reason = f"its patient has images in {other}; it is left out of {split}"
                left_out.append(LeftOut(image.name, reason))
                continue
            images.append(image)
    return images, left_out
