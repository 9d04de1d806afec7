"""Images and categories of an annotation file that detections refer to.

Detections name both by an id and by a name: ``image_id`` and ``file_name``, ``category_id`` and
``category_name``. One rule holds for all detections of a file, for images and categories alike:

- If any id is one of the annotation file, ids decide, and all must be known. Names that are given
  besides must not contradict them.
- If no id is given, or none is known, names decide, and all must be given. A file name means the
  image whose own file name it ends with, or that ends with it, folder by folder: ``/data/a/1.png``
  and ``a/1.png`` agree, ``b/1.png`` and ``a/1.png`` do not. There must be one such image.

Two file names never mean the same image.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Collection, Container, Hashable, Sequence
from pathlib import PurePosixPath
from typing import Protocol

import numpy as np

from medmask.coco import as_given, as_id, class_of_name, column, look_up, written_otherwise
from medmask.evaluation.faults import Faults
from medmask.evaluation.structures import GroundTruth, given_category_names
from medmask.utils.json_files import show


def find_images(records: Sequence[dict], ground_truth: GroundTruth, faults: Faults) -> np.ndarray:
    """Find the image of each detection.

    Args:
        records: R detections with ``image_id``, ``file_name`` or both.
        ground_truth: the images, which carry file names or not.
        faults: is told which records name no image, or contradict themselves.

    Returns:
        (R,) int64 indices of images, -1 where a record has a fault.
    """
    names = _FileNames(ground_truth.file_names or (None,) * ground_truth.num_images)
    return _References(records, "image_id", "file_name", faults).find(ground_truth.image_ids, names)


def find_categories(
    records: Sequence[dict], ground_truth: GroundTruth, faults: Faults
) -> np.ndarray:
    """Find the category of each detection; as :func:`find_images`."""
    names = _CategoryNames(given_category_names(ground_truth))
    return _References(records, "category_id", "category_name", faults).find(
        ground_truth.category_ids, names
    )


class _Names(Protocol):
    """The names of what is looked for."""

    def agree(self, index: int, name: str) -> bool:
        """Tell whether a name can mean the one at ``index``; True if that has no name."""

    def find(self, name: str) -> list[int]:
        """Indices of all that a name can mean."""

    def describe(self, index: int) -> str:
        """The name of the one at ``index``."""

    def key(self, name: str) -> Hashable | None:
        """Equal for names that mean the same; None where several names may mean the same."""


class _FileNames:
    def __init__(self, names: Sequence[str | None]) -> None:
        self._names = names
        self._parts = [None if name is None else file_name_parts(name) for name in names]
        self._by_file: dict[str, list[int]] = defaultdict(list)
        for index, parts in enumerate(self._parts):
            if parts:
                self._by_file[parts[-1]].append(index)

    def agree(self, index: int, name: str) -> bool:
        known, told = self._parts[index], file_name_parts(name)
        if known is None:
            return True
        shared = min(len(known), len(told))
        return shared > 0 and known[-shared:] == told[-shared:]

    def find(self, name: str) -> list[int]:
        parts = file_name_parts(name)
        near = [i for i in self._by_file.get(parts[-1], ()) if self.agree(i, name)] if parts else []
        exact = [i for i in near if self._parts[i] == parts]
        return exact or near

    def describe(self, index: int) -> str:
        return str(self._names[index])

    def key(self, name: str) -> Hashable:
        return file_name_parts(name)


class _CategoryNames:
    def __init__(self, names: Sequence[str | None]) -> None:
        self._names = names
        self._classes = [None if name is None else class_of_name(name) for name in names]

    def agree(self, index: int, name: str) -> bool:
        return self._classes[index] in (None, class_of_name(name))

    def find(self, name: str) -> list[int]:
        class_ = class_of_name(name)
        return [index for index, known in enumerate(self._classes) if known == class_]

    def describe(self, index: int) -> str:
        return str(self._names[index])

    def key(self, name: str) -> None:
        return None  # "mal" and "malignant" are the same


def file_name_parts(name: str) -> tuple[str, ...]:
    """Folders and file; of Windows' paths as well, and however accents are encoded."""
    return PurePosixPath(unicodedata.normalize("NFC", name).replace("\\", "/")).parts


class _References:
    """The ids and names by which records refer to images, or to categories."""

    def __init__(
        self, records: Sequence[dict], id_field: str, name_field: str, faults: Faults
    ) -> None:
        self.ids = [as_id(value) for value in column(records, id_field)]
        self.names = [as_given(value) for value in column(records, name_field)]
        self.id_field, self.name_field = id_field, name_field
        self.faults = faults

    def find(self, known_ids: Sequence[Hashable], known: _Names) -> np.ndarray:
        """(R,) int64: where what each record means stands among the known, -1 for a fault."""
        malformed = np.array(
            [not (name is None or isinstance(name, str)) for name in self.names], dtype=bool
        )
        self._add(malformed, lambda i: f"{self.name_field} {show(self.names[i])} is not text")
        if malformed.any():
            return np.full(len(self.names), -1)
        indices = look_up(self.ids, known_ids)
        if (indices >= 0).any() or not any(self.names):
            among = frozenset(known_ids)
            self._add(indices < 0, lambda i: self._describe_unknown(self.ids[i], among))
            self._check_against_ids(indices, known)
        else:
            indices = self._find_by_name(known)
        self._check_that_names_differ(indices, known)
        return indices

    def _describe_unknown(self, id_: object, known_ids: Container[Hashable]) -> str:
        other = written_otherwise(id_, known_ids)
        advice = "" if other is None else f", but the annotations have {show(other)}: write it so"
        return f"{self.id_field} {show(id_)} is unknown{advice}"

    def _find_by_name(self, known: _Names) -> np.ndarray:
        fitting = {name: known.find(name) if name else [] for name in set(self.names)}

        def describe(i: int) -> str:
            id_, name = f"{self.id_field} {show(self.ids[i])}", self.names[i]
            if not name:
                return f"{id_} is unknown, and there is no {self.name_field}"
            if not fitting[name]:
                return f"neither {id_} nor {self.name_field} {show(name)} is known"
            several = " and ".join(show(known.describe(index)) for index in fitting[name][:2])
            return f"{self.name_field} {show(name)} fits {several}"

        index_of = {name: found[0] if len(found) == 1 else -1 for name, found in fitting.items()}
        indices = np.array([index_of[name] for name in self.names], dtype=np.int64)
        self._add(indices < 0, describe)
        return indices

    def _check_against_ids(self, indices: np.ndarray, known: _Names) -> None:
        contradictions = {
            (index, name) for index, name in self._distinct(indices) if not known.agree(index, name)
        }
        self._add_pairs(
            indices,
            contradictions,
            lambda i: (
                f"{self.id_field} {show(self.ids[i])} is {show(known.describe(indices[i]))} in "
                f"the annotations, but {self.name_field} is {show(self.names[i])}"
            ),
        )

    def _check_that_names_differ(self, indices: np.ndarray, known: _Names) -> None:
        """Find records whose name cannot mean the same as that of an earlier one."""
        first: dict[int, str] = {}
        others = {
            (index, name)
            for index, name in self._distinct(indices)
            if known.key(name) != known.key(first.setdefault(index, name))
        }
        self._add_pairs(
            indices,
            others,
            lambda i: (
                f"{self.name_field} {show(self.names[i])} and {show(first[indices[i]])} of "
                f"another record are different images, but mean the same one of the annotations"
            ),
        )

    def _distinct(self, indices: np.ndarray) -> list[tuple[int, str]]:
        """Each pair of index and name once, in the order of the records; both must be there."""
        pairs = dict.fromkeys(zip(indices.tolist(), self.names, strict=True))
        return [(index, name) for index, name in pairs if index >= 0 and name is not None]

    def _add_pairs(
        self,
        indices: np.ndarray,
        faulty: Collection[tuple[int, str]],
        describe: Callable[[int], str],
    ) -> None:
        """Add ``describe(i)`` for every record i with such an index and name."""
        if faulty:
            pairs = zip(indices.tolist(), self.names, strict=True)
            self._add(np.array([pair in faulty for pair in pairs], dtype=bool), describe)

    def _add(self, faulty: np.ndarray, describe: Callable[[int], str]) -> None:
        self.faults.add_where(faulty, lambda i: f"record {i}: {describe(i)}")
