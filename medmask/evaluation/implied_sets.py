"""The images and categories that detections imply, where no annotation file is at hand.

Images without a detection stay unknown, so that nothing can be counted on such a set; but
detections of several models can be put together.
"""

import operator
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from medmask.coco import as_given, as_id, class_of_name
from medmask.errors import InputError
from medmask.evaluation.identity import file_name_parts
from medmask.evaluation.structures import GroundTruth
from medmask.utils.json_files import read_json, show


class _Kind(NamedTuple):
    """Images or categories, as detections tell them: fields, and when names mean the same."""

    id_field: str
    name_field: str
    key: Callable[[str], Any]
    """equal for names that mean the same"""
    may_be_one: Callable[[Any, Any], bool]
    """whether two keys of one id agree"""


def _one_ends_with_the_other(first: tuple[str, ...], second: tuple[str, ...]) -> bool:
    shared = min(len(first), len(second))
    return first[len(first) - shared :] == second[len(second) - shared :]


_IMAGES = _Kind("image_id", "file_name", file_name_parts, _one_ends_with_the_other)
_CATEGORIES = _Kind("category_id", "category_name", class_of_name, operator.eq)


class _Told(NamedTuple):
    """Images, or categories: N ids and N names."""

    ids: tuple[Any, ...]
    """None throughout where names decide"""
    names: tuple[str | None, ...]


def read_implied_set(paths: Sequence[str | os.PathLike]) -> GroundTruth:
    """Gather the images and categories of several files of detections on the same images.

    Ids decide where all records have one, and names where none has. Ids and names go together one
    to one: two ids of one name would part what several models see.

    Args:
        paths: of files that :func:`medmask.evaluation.read_detections` then reads with the result.

    Returns:
        Images with a detection, without lesions.

    Raises:
        InputError: a file is missing, or it cannot be told which images or categories of the files
            are the same.
    """
    records = [record for path in paths for record in _read_records(path)]
    images, categories = _gather(records, _IMAGES), _gather(records, _CATEGORIES)
    _check_that_folders_are_told_alike(images.names)
    return GroundTruth(
        image_ids=images.ids,
        category_ids=categories.ids,
        category_names=tuple(
            str(id_) if name is None else name
            for id_, name in zip(categories.ids, categories.names, strict=True)
        ),
        boxes=np.zeros((0, 4)),
        image_indices=np.zeros(0, dtype=np.int64),
        category_indices=np.zeros(0, dtype=np.int64),
        is_crowd=np.zeros(0, dtype=bool),
        patients=(None,) * len(images.ids),
        lateralities=(None,) * len(images.ids),
        file_names=images.names,
    )


def _read_records(path: str | os.PathLike) -> list[dict[str, Any]]:
    """The objects of a list; what is none is refused when the boxes are read."""
    content = read_json(path, "detection file")
    return [x for x in content if isinstance(x, dict)] if isinstance(content, list) else []


def _gather(records: Sequence[dict[str, Any]], kind: _Kind) -> _Told:
    ids = [as_id(record.get(kind.id_field)) for record in records]
    names = [as_given(record.get(kind.name_field)) for record in records]
    told = [name for name in names if name is not None]
    if not all(isinstance(name, str) for name in told):
        raise InputError(f"a {kind.name_field} of the detections is not text: correct it")
    if all(type(id_) in (int, str) for id_ in ids):
        return _by_ids(ids, names, kind)
    if any(id_ is not None for id_ in ids) or len(told) < len(names):
        raise InputError(
            f"not all detections have {kind.id_field}, nor do all have {kind.name_field} and none "
            f"{kind.id_field}: give --annotations with the images and categories"
        )
    distinct = {kind.key(name): name for name in told}
    return _Told((None,) * len(distinct), tuple(distinct.values()))


def _by_ids(ids: Sequence[Any], names: Sequence[str | None], kind: _Kind) -> _Told:
    told: dict[Any, str | None] = {}
    for id_, name in zip(ids, names, strict=True):
        known = told.get(id_)
        if known is None or name is None:
            told[id_] = known or name
        elif not kind.may_be_one(kind.key(known), kind.key(name)):
            raise InputError(
                f"{kind.id_field} {show(id_)} is both {show(known)} and {show(name)} in the "
                "detections: they are of different sets, which cannot be fused"
            )
    _check_that_ids_are_told_alike(told, kind)
    return _Told(tuple(told), tuple(told.values()))


def _check_that_ids_are_told_alike(names: Mapping[Any, str | None], kind: _Kind) -> None:
    """Refuse several ids of one name, or ``1`` beside ``"1"``, whose boxes would never be fused."""
    by_text: dict[str, Any] = {}
    by_key: dict[Any, Any] = {}
    for id_, name in names.items():
        others = {"may be one": by_text.setdefault(str(id_), id_)}
        if name is not None:
            others[f"are both {show(name)}"] = by_key.setdefault(kind.key(name), id_)
        for reason, other in others.items():
            if other != id_:
                raise InputError(
                    f"{kind.id_field} {show(other)} and {show(id_)} of the detections {reason}: "
                    "give --annotations with the images and categories"
                )


def _check_that_folders_are_told_alike(names: Sequence[str | None]) -> None:
    """Refuse ``a/1.png`` beside ``/data/a/1.png``, which may be one image or two."""
    by_parts = {file_name_parts(name): name for name in names if name is not None}
    for parts, name in by_parts.items():
        for start in range(1, len(parts)):
            if parts[start:] in by_parts:
                raise InputError(
                    f"the detections name {show(by_parts[parts[start:]])} and {show(name)}, which "
                    "may be one image: give --annotations with the images and categories"
                )
