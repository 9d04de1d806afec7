"""Reading a COCO annotation file, for training and for evaluation."""

import os
from collections.abc import Sequence

from medmask.coco.check import category_problems, check_content, structure_problems
from medmask.coco.tables import CocoTables
from medmask.errors import InputError
from medmask.utils.json_files import read_json

_MOST_PROBLEMS_SHOWN = 20


def read_coco(
    json_file: str | os.PathLike,
    image_root: str | os.PathLike | None = None,
    thing_classes: Sequence[str] | None = None,
) -> CocoTables:
    """Read an annotation file and check it.

    Args:
        json_file: a COCO annotation file.
        image_root: the folder that the file names are relative to; None if the images are not to
            be read, see :func:`medmask.coco.check.check_content`.
        thing_classes: the classes, see :func:`medmask.coco.categories.map_categories`.

    Returns:
        The content, which is sound.

    Raises:
        InputError: the file cannot be read, or has problems; the message lists the first of them.
    """
    content = read_json(json_file, "annotation file")
    tables, problems = check_content(content, image_root=image_root, thing_classes=thing_classes)
    if tables is None or problems:
        raise InputError(_describe(problems, json_file, image_root))
    return tables


def read_categories(
    json_file: str | os.PathLike, thing_classes: Sequence[str] | None = None
) -> list[dict]:
    """Read the categories alone, each with ``id`` and ``name``; arguments as :func:`read_coco`."""
    content = read_json(json_file, "annotation file")
    problems = list(structure_problems(content))
    if not problems:
        categories = CocoTables({**content, "annotations": []}).categories
        problems = category_problems(categories, thing_classes)
    if problems:
        raise InputError(_describe(problems, json_file))
    return categories


def _describe(
    problems: list[str], json_file: str | os.PathLike, image_root: str | os.PathLike | None = None
) -> str:
    if len(problems) == 1:
        return f"annotation file {json_file} has a problem: {problems[0]}"
    lines = [f"annotation file {json_file} has {len(problems)} problems:"]
    lines += [f"  {problem}" for problem in problems[:_MOST_PROBLEMS_SHOWN]]
    if len(problems) > _MOST_PROBLEMS_SHOWN:
        images = "DIR" if image_root is None else image_root
        lines.append(
            f"  and {len(problems) - _MOST_PROBLEMS_SHOWN} more; run "
            f"medmask check-data --json {json_file} --images {images}"
        )
    return "\n".join(lines)
