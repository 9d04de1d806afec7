"""Contradictions in annotation files, which no reader stops at: lesions that stand twice."""

from collections.abc import Iterator

import numpy as np

from medmask.coco import CocoTables


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


def _lesions(tables: CocoTables) -> list[int]:
    """Rows of annotations with a box, of a known image, that are no regions to ignore."""
    table = tables.annotations
    is_lesion = ~table.is_crowd() & (table.image_indices >= 0)
    return np.flatnonzero(is_lesion & np.isfinite(table.boxes).all(axis=1)).tolist()
