"""Categories of a COCO file, and their mapping to Detectron2's contiguous class ids."""

from collections.abc import Sequence
from typing import Any

from medmask.errors import InputError

_OTHER_NAMES = {
    "mal": "malignant",
    "malign": "malignant",
    "malignancy": "malignant",
    "cancer": "malignant",
}
"""Other names of a class in files, in lower case, and its name in this project's data sets.

Names that may mean several things ("mass", "lesion", "1") are not in it.
"""


def class_of_name(name: str) -> str:
    """Find the class that a category's name means: one name in lower case for each class."""
    name = name.strip().lower()
    return _OTHER_NAMES.get(name, name)


def check_class_names(names: Sequence[str]) -> None:
    """Raise an InputError unless ``names`` is a list of names that mean different classes."""
    is_list = isinstance(names, Sequence) and not isinstance(names, str)
    if not is_list or not names or not all(isinstance(x, str) and x.strip() for x in names):
        raise InputError(
            f"the classes must be a list of names such as ['malignant'], got {names!r}"
        )
    if len(set(map(class_of_name, names))) < len(names):
        raise InputError(f"two of the classes {list(names)} mean the same; name each class once")


def map_categories(categories: list[dict], thing_classes: Sequence[str] | None) -> dict[int, int]:
    """Find the class of each category of a COCO file.

    Names decide, whatever their case. A few other names of a class are known (``mal`` and
    ``cancer`` mean ``malignant``); any other name is refused, as it may mean another thing: a file
    whose only category is ``benign`` holds no malignant lesions.

    Args:
        categories: the ``categories`` of the file, each with ``id`` and ``name``.
        thing_classes: the class names, in the order of the contiguous ids; None takes every
            category of the file, in the order of the ids.

    Returns:
        Category id to contiguous class id, 0 to the number of classes - 1. Categories that are
        none of the classes are left out.

    Raises:
        InputError: a class has no category, or several, or the classes are no list of names.
    """
    by_id = sorted(categories, key=lambda category: category["id"])
    if thing_classes is None:
        return {category["id"]: index for index, category in enumerate(by_id)}
    check_class_names(thing_classes)
    ids: dict[str, list[Any]] = {name: [] for name in map(class_of_name, thing_classes)}
    for category in by_id:
        ids.get(class_of_name(category["name"]), []).append(category["id"])
    if all(len(of_class) == 1 for of_class in ids.values()):
        return {of_class[0]: index for index, of_class in enumerate(ids.values())}
    raise InputError(
        f"the categories {[category['name'] for category in by_id]} do not match the classes "
        f"{list(thing_classes)} of the data set: name one category like each class if that is what "
        "it means, or else register the set with classes of its own by "
        "medmask.data.register_coco_dataset"
    )


def category_names(categories: list[dict]) -> list[str]:
    """List the names of the categories of a COCO file, in the order of their ids."""
    return [category["name"] for category in sorted(categories, key=lambda c: c["id"])]
