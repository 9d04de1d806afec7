"""The check of a whole COCO annotation file, which finds all problems at once.

Images and annotations have modules of their own; structure and categories are checked here.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from medmask.coco.annotation_check import annotation_problems, box_problems
from medmask.coco.categories import map_categories
from medmask.coco.image_check import image_problems, missing_files
from medmask.coco.tables import CocoTables
from medmask.coco.values import as_id, find_duplicates, is_id, is_whole_number
from medmask.errors import InputError
from medmask.utils.json_files import show

_TOP_LEVEL_KEYS = ("images", "annotations", "categories")


def check_content(
    content: Any,
    *,
    image_root: str | os.PathLike | None = None,
    thing_classes: Sequence[str] | None = None,
) -> tuple[CocoTables | None, list[str]]:
    """Interpret the content of a COCO file and list every problem of it.

    Args:
        content: the parsed JSON.
        image_root: the folder that the file names are relative to. None if the images are not to
            be read, as in the evaluation of detections: their names and sizes may then be absent,
            and so may the names of the categories.
        thing_classes: the classes of the data set, see :func:`map_categories`.

    Returns:
        The content, None if it is not lists of records; and one sentence a problem, each with the
        id of the record. The file is sound if there are none.
    """
    problems = list(structure_problems(content))
    if problems:
        return None, problems
    tables = CocoTables(content)
    with_images = image_root is not None
    names_needed = with_images or thing_classes is not None
    problems = category_problems(tables.categories, thing_classes, names_needed=names_needed)
    # without sound categories there is no telling which annotations are of the wanted classes
    wanted = None if problems else thing_classes
    problems += image_problems(tables.images, with_images)
    problems += annotation_problems(tables.annotations, tables.categories, wanted)
    problems += box_problems(tables.annotations, tables.images)
    if image_root is not None:
        problems += missing_files(tables.images, Path(image_root))
    return tables, problems


def structure_problems(content: Any) -> Iterator[str]:
    """Find what keeps ``content`` from being lists of records with ids, as COCO has them.

    Annotations need no ids, but what they have must be usable.
    """
    if not isinstance(content, dict):
        yield f"the top level is {_kind(content)}, not an object with {', '.join(_TOP_LEVEL_KEYS)}"
        return
    for key in _TOP_LEVEL_KEYS:
        if key not in content:
            yield f"the top-level key '{key}' is missing"
        elif not isinstance(content[key], list):
            yield f"the top-level key '{key}' is {_kind(content[key])}, not a list"
        elif not content[key] and key != "annotations":
            yield f"the list '{key}' is empty"
        else:
            yield from _record_problems(key, content[key])


def category_problems(
    categories: list[dict], thing_classes: Sequence[str] | None, *, names_needed: bool = True
) -> list[str]:
    """List the problems of the categories, as :class:`CocoTables` gives them."""
    found = list(find_duplicates("category id", (category["id"] for category in categories)))
    names = [category["name"] for category in categories]
    found += find_duplicates(
        "category name", (name.strip() for name in names if isinstance(name, str))
    )
    for category in categories:
        name = category["name"]
        if not is_whole_number(category["id"]):
            found.append(f"category id {show(category['id'])} is not a whole number")
        if not (isinstance(name, str) and name.strip()) and (names_needed or name is not None):
            found.append(f"category {show(category['id'])} has no name")
    if not found and thing_classes is not None:
        try:
            map_categories(categories, thing_classes)
        except InputError as error:
            found.append(str(error))
    return found


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "text", type(None): "null"}
    return kinds.get(type(value), "a number or a flag")


def _record_problems(key: str, records: list) -> Iterator[str]:
    for index, record in enumerate(records):
        if not isinstance(record, dict):
            yield f"{key}[{index}] is {_kind(record)}, not an object"
            continue
        id_ = as_id(record.get("id"))
        if not (is_id(id_) or (id_ is None and key == "annotations")):
            yield f"{key}[{index}] has no usable 'id' (it is {show(record.get('id'))})"
