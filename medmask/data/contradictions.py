"""Contradictions in annotation files: lesions that stand twice, and labels that deny lesions.

No reader has to stop at them, but training and evaluation go wrong without a word.
"""

from collections.abc import Iterator

import numpy as np

from medmask.coco import CocoTables, as_flag, class_of_name, image_label

_MALIGNANT = "malignant"


def copy_problems(tables: CocoTables) -> Iterator[str]:
    """Find annotations with the class and the very box of another one on their image.

    A detector is to find a lesion once, so that each copy counts as one that it has missed.

    Args:
        tables: the content of an annotation file.

    Yields:
        One sentence for each copy.
    """
    table = tables.annotations
    first: dict[tuple, int] = {}
    for row in _lesions(tables):
        place = table.image_indices[row], table.category_indices[row], *table.boxes[row]
        before = first.setdefault(place, row)
        if before != row:
            yield (
                f"{table.label(row)} has the box and the category of {table.label(before)}: remove "
                "one of them, for a lesion is found once"
            )


def denial_problems(tables: CocoTables) -> Iterator[str]:
    """Find images that are labeled to show no lesion, or none that is malignant, but have one.

    Args:
        tables: the content of an annotation file.

    Yields:
        One sentence for each label, of the fields ``lesion`` and ``malignant`` of image records.
    """
    table = tables.annotations
    classes = [class_of_name(str(category["name"])) for category in tables.categories]
    told: set[tuple[int, str]] = set()
    for row in _lesions(tables):
        index, category = int(table.image_indices[row]), int(table.category_indices[row])
        is_malignant = category >= 0 and classes[category] == _MALIGNANT
        image = tables.images[index]
        for field in ("lesion", _MALIGNANT) if is_malignant else ("lesion",):
            if field in image and as_flag(image[field]) == 0 and (index, field) not in told:
                told.add((index, field))
                yield (
                    f"{image_label(image)} has the label '{field}' {str(image[field]).lower()}, "
                    f"which {table.label(row)} contradicts: correct one of them"
                )


def _lesions(tables: CocoTables) -> list[int]:
    """Rows of annotations with a box, of a known image, that are no regions to ignore."""
    table = tables.annotations
    is_lesion = ~table.is_crowd() & (table.image_indices >= 0)
    return np.flatnonzero(is_lesion & np.isfinite(table.boxes).all(axis=1)).tolist()
