"""From the category ids of a COCO file to Detectron2's contiguous class ids."""

from collections.abc import Sequence

from medmask.errors import InputError

_OTHER_NAMES = {
    "mal": "malignant",
    "malign": "malignant",
    "malignancy": "malignant",
    "cancer": "malignant",
}
"""What files call a class, in lower case, and its name in the data sets of this project.

Names that may mean several things ("mass", "lesion", "1") are not in it.
"""


def class_of_name(name: str) -> str:
    """The class that a category's name means, in lower case; equal names mean the same class."""
    name = name.strip().lower()
    return _OTHER_NAMES.get(name, name)


def map_categories(categories: list[dict], thing_classes: Sequence[str] | None) -> dict[int, int]:
    """Find the class of each category of a COCO file.

    Names decide, whatever their case. Where a file names its categories otherwise (``mal`` for
    ``malignant``) and has as many categories as there are classes, the order of their ids decides.

    Args:
        categories: the ``categories`` of the file, each with ``id`` and ``name``.
        thing_classes: the class names, in the order of the contiguous ids; None takes every
            category of the file, in the order of the ids.

    Returns:
        Category id to contiguous class id, 0 to the number of classes - 1. Categories that are
        none of the classes are left out.

    Raises:
        InputError: the categories cannot be matched to the classes.
    """
    by_id = sorted(categories, key=lambda category: category["id"])
    ids = [category["id"] for category in by_id]
    if thing_classes is None:
        return {id_: index for index, id_ in enumerate(ids)}
    names = [category["name"].lower() for category in by_id]
    wanted = [name.lower() for name in thing_classes]
    if set(wanted) <= set(names):
        return {ids[names.index(name)]: index for index, name in enumerate(wanted)}
    if len(ids) == len(wanted) and not set(wanted) & set(names):
        return {id_: index for index, id_ in enumerate(ids)}
    raise InputError(
        f"the categories {[category['name'] for category in by_id]} do not match the classes "
        f"{list(thing_classes)} of the data set; name the categories like the classes"
    )


def category_names(categories: list[dict]) -> list[str]:
    """The names of the categories of a COCO file, in the order of their ids."""
    return [category["name"] for category in sorted(categories, key=lambda c: c["id"])]
