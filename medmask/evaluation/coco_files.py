"""Reading ground truth and detections from COCO-format files.

Files come from many tools. Everything that a metric relies on is checked, and all faults of a file
are reported at once.
"""

import json
import os
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medmask.errors import InputError

from .structures import Detections, GroundTruth

_FAULTS_SHOWN = 10


def read_ground_truth(path: str | os.PathLike) -> GroundTruth:
    """Read a COCO annotation file.

    Image records may carry ``patient_id`` and ``laterality``; annotations may carry ``iscrowd``.

    Args:
        path: a JSON object with the lists ``images``, ``annotations`` and ``categories``.

    Returns:
        The images and boxes in the order of the file.

    Raises:
        InputError: if the file is missing, is not JSON, or has faults (all of them are named).
    """
    content = _load_json(path)
    if not isinstance(content, dict):
        raise InputError(
            f"{path}: a COCO annotation file is a JSON object, this is a list or value"
        )
    faults = _Faults(path)
    images = _records(content, "images", faults)
    annotations = _records(content, "annotations", faults)
    categories = _records(content, "categories", faults)
    faults.raise_if_any()

    image_ids, category_ids = _column(images, "id"), _column(categories, "id")
    _check_ids("images", image_ids, faults)
    _check_ids("categories", category_ids, faults)
    for field in ("width", "height"):
        sizes = [image.get(field, 1) for image in images]
        faults.add_where(
            ~(_numbers(sizes) > 0),
            lambda i, field=field, sizes=sizes: (
                f"image {image_ids[i]!r}: {field} {_show(sizes[i])} is not a positive number"
            ),
        )
    faults.raise_if_any()
    if not images:
        raise InputError(f"{path}: the list 'images' is empty, so there is nothing to evaluate")

    names = [annotation.get("id", f"at index {i}") for i, annotation in enumerate(annotations)]
    table = _BoxTable(annotations, lambda i: f"annotation {names[i]}", image_ids, category_ids)
    table.check(faults, smallest_side="positive")
    crowd = _numbers([annotation.get("iscrowd", 0) for annotation in annotations])
    faults.add_where(
        ~np.isin(crowd, (0, 1)), lambda i: f"annotation {names[i]}: iscrowd is neither 0 nor 1"
    )
    for field in ("patient_id", "laterality"):
        values = _column(images, field)
        faults.add_where(
            np.array([not isinstance(value, str | int | None) for value in values]),
            lambda i, field=field: f"image {image_ids[i]!r}: {field} is neither text nor a number",
        )
    faults.raise_if_any()
    return GroundTruth(
        image_ids=tuple(image_ids),
        category_ids=tuple(category_ids),
        category_names=tuple(str(c.get("name", c["id"])) for c in categories),
        boxes=table.boxes,
        image_indices=table.image_indices,
        category_indices=table.category_indices,
        is_crowd=crowd == 1,
        patients=tuple(_column(images, "patient_id")),
        lateralities=tuple(_column(images, "laterality")),
    )


def read_detections(path: str | os.PathLike, ground_truth: GroundTruth) -> Detections:
    """Read detections in COCO's result format.

    Args:
        path: a JSON list of records with ``image_id``, ``category_id``, ``score`` and ``bbox``,
            [x, y, width, height] in pixels.
        ground_truth: the set that the detections were made on.

    Returns:
        The detections in the order of the file.

    Raises:
        InputError: if the file is missing, is not JSON, or has faults (all of them are named):
            images or categories that the ground truth does not have, malformed boxes, scores that
            are not finite or negative.
    """
    records = _load_json(path)
    if not isinstance(records, list):
        raise InputError(
            f"{path}: detections are a JSON list of "
            '{"image_id", "category_id", "bbox", "score"} records, this is not a list'
        )
    faults = _Faults(path)
    faults.add_where(
        np.array([not isinstance(record, dict) for record in records], dtype=bool),
        lambda i: f"record {i} is not an object",
    )
    faults.raise_if_any()
    table = _BoxTable(
        records, lambda i: f"record {i}", ground_truth.image_ids, ground_truth.category_ids
    )
    table.check(faults, smallest_side="zero")
    raw_scores = _column(records, "score")
    scores = _numbers(raw_scores)
    faults.add_where(
        ~(scores >= 0) | np.isinf(scores),
        lambda i: f"record {i}: score {_show(raw_scores[i])} is not a finite number of at least 0",
    )
    faults.raise_if_any()
    return Detections(
        boxes=table.boxes,
        scores=scores,
        image_indices=table.image_indices,
        category_indices=table.category_indices,
    )


def detections_to_coco(ground_truth: GroundTruth, detections: Detections) -> list[dict[str, Any]]:
    """The records that :func:`read_detections` reads."""
    boxes = detections.boxes.copy()
    boxes[:, 2:] -= boxes[:, :2]
    return [
        {
            "image_id": ground_truth.image_ids[image],
            "category_id": ground_truth.category_ids[category],
            "bbox": box,
            "score": score,
        }
        for image, category, box, score in zip(
            detections.image_indices.tolist(),
            detections.category_indices.tolist(),
            boxes.tolist(),
            detections.scores.tolist(),
            strict=True,
        )
    ]


class _BoxTable:
    """The columns that annotations and detections share, as arrays.

    Attributes:
        boxes: (R, 4) float64, (x0, y0, x1, y1); NaN where a record has no box of four numbers.
        image_indices: (R,) int64, -1 where the image is unknown.
        category_indices: (R,) int64, -1 where the category is unknown.
    """

    def __init__(
        self,
        records: Sequence[dict],
        name: Callable[[int], str],
        image_ids: Sequence[Hashable],
        category_ids: Sequence[Hashable],
    ) -> None:
        self._name = name
        self._columns = {
            field: _column(records, field) for field in ("image_id", "category_id", "bbox")
        }
        self.image_indices = _look_up(self._columns["image_id"], image_ids)
        self.category_indices = _look_up(self._columns["category_id"], category_ids)
        self.boxes = _quadruples(self._columns["bbox"])
        self._sides = self.boxes[:, 2:].copy()
        self.boxes[:, 2:] += self.boxes[:, :2]

    def check(self, faults: "_Faults", smallest_side: str) -> None:
        """Add what is wrong; a box's sides are at least "zero", or are "positive"."""
        faults.add_where(self.image_indices < 0, self._describe("image_id", "is unknown"))
        faults.add_where(self.category_indices < 0, self._describe("category_id", "is unknown"))
        malformed = ~np.isfinite(self.boxes).all(axis=1)
        faults.add_where(
            malformed, self._describe("bbox", "is not [x, y, width, height] of finite numbers")
        )
        if smallest_side == "positive":
            faults.add_where(
                ~malformed & (self._sides <= 0).any(axis=1),
                self._describe("bbox", "has no positive width and height"),
            )
        else:
            faults.add_where(
                ~malformed & (self._sides < 0).any(axis=1),
                self._describe("bbox", "has a negative width or height"),
            )

    def _describe(self, field: str, fault: str) -> Callable[[int], str]:
        return lambda i: f"{self._name(i)}: {field} {_show(self._columns[field][i])} {fault}"


class _Faults:
    """Collects what is wrong with a file and reports it in one sentence."""

    def __init__(self, path: str | os.PathLike) -> None:
        self._path = path
        self._shown: list[str] = []
        self._count = 0

    def add_where(self, faulty: np.ndarray, describe: Callable[[int], str]) -> None:
        """Add ``describe(i)`` for every i where the (R,) mask ``faulty`` is True."""
        indices = np.flatnonzero(faulty)
        self._count += len(indices)
        self._shown += [describe(int(i)) for i in indices[: _FAULTS_SHOWN - len(self._shown)]]

    def add(self, fault: str) -> None:
        self.add_where(np.array([True]), lambda _: fault)

    def raise_if_any(self) -> None:
        if not self._count:
            return
        number = "1 fault" if self._count == 1 else f"{self._count} faults"
        more = self._count - len(self._shown)
        rest = f"; and {more} more" if more else ""
        raise InputError(f"{self._path}: {number}: {'; '.join(self._shown)}{rest}")


def _load_json(path: str | os.PathLike) -> Any:
    try:
        return json.loads(Path(path).read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise InputError(
            f"{path}: is not valid JSON, it may have been cut off while it was written ({error})"
        ) from None


def _records(content: dict, key: str, faults: _Faults) -> list[dict]:
    records = content.get(key)
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        faults.add(f"'{key}' is missing or is not a list of objects")
        return []
    return records


def _check_ids(kind: str, ids: list, faults: _Faults) -> None:
    valid = [isinstance(value, str | int) for value in ids]
    faults.add_where(
        ~np.array(valid, dtype=bool), lambda i: f"{kind}[{i}]: id {_show(ids[i])} is not an id"
    )
    if all(valid):
        first = {value: i for i, value in reversed(list(enumerate(ids)))}
        faults.add_where(
            np.array([first[value] != i for i, value in enumerate(ids)], dtype=bool),
            lambda i: f"{kind}[{i}]: id {ids[i]!r} is that of {kind}[{first[ids[i]]}] too",
        )


def _column(records: Sequence[dict], field: str) -> list:
    return [record.get(field) for record in records]


def _look_up(values: Sequence, known: Sequence[Hashable]) -> np.ndarray:
    """(R,) int64: where each value stands in ``known``, -1 where it does not."""
    index = {value: i for i, value in enumerate(known)}
    try:
        found = [index.get(value, -1) for value in values]
    except TypeError:  # a list or an object is no id, and has no hash
        found = [index.get(v, -1) if isinstance(v, Hashable) else -1 for v in values]
    return np.array(found, dtype=np.int64)


def _numbers(values: Sequence) -> np.ndarray:
    """(R,) float64, NaN where a value is not a number."""
    if _all_numbers(values):
        return np.array(values, dtype=np.float64)
    return np.array([v if _is_number(v) else np.nan for v in values], dtype=np.float64)


def _quadruples(values: Sequence) -> np.ndarray:
    """(R, 4) float64, NaN in the rows that are not lists of four numbers."""
    rows = [v if isinstance(v, list) and len(v) == 4 else [None] * 4 for v in values]
    return _numbers([number for row in rows for number in row]).reshape(-1, 4)


def _all_numbers(values: Sequence) -> bool:
    return set(map(type, values)) <= {int, float}


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _show(value: Any) -> str:
    text = json.dumps(value) if value is not None else "(missing or null)"
    return text if len(text) <= 60 else f"{text[:57]}..."
