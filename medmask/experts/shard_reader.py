"""Reading the shards of an expert store."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from medmask.errors import InputError
from medmask.experts.checksums import Checksum, check_size, damaged, open_array
from medmask.experts.records import FileSignature, has_signature, lesion_boxes
from medmask.experts.shard import IMAGES, LESIONS, PATCH_GRIDS, ShardFormat


class ExpertEntry:
    """What a store holds of one image.

    Attributes:
        image_embedding: (D,) float32, length 1.
        lesion_embeddings: (T, D) float32, length 1, T annotations of the record.
    """

    def __init__(self, shard: "Shard", row: int) -> None:
        image, lesions = shard.read(row)
        self.image_embedding: np.ndarray = image["embedding"].astype(np.float32)
        self.lesion_embeddings: np.ndarray = lesions["embedding"].astype(np.float32)
        self._shard, self._row = shard, row

    @property
    def patch_grid(self) -> np.ndarray | None:
        """(h, w, C) in the store's dtype, read from disk when it is used; None without grids."""
        grids = self._shard.patch_grids
        return None if grids is None else grids[self._row]


class Shard:
    """A shard on disk, memory-mapped: only the rows that are asked for are read.

    The tables of images and lesions, which are small, are compared with their checksums when a
    shard is opened; the patch grids, when the first of them is asked for.

    Args:
        folder: what :func:`medmask.experts.shard.write_shard` wrote.
        checksums: of its files, by their names.
        form: of its arrays.

    Raises:
        InputError: it is damaged, or of another form.
    """

    def __init__(self, folder: Path, checksums: Mapping[str, Checksum], form: ShardFormat) -> None:
        self._folder, self._checksums, self._form = folder, checksums, form
        check_shard_files(folder, checksums, form)
        self._images = open_array(folder / IMAGES, checksums[IMAGES])
        self._lesions = open_array(folder / LESIONS, checksums[LESIONS])
        fault = _find_fault(self._images, self._lesions, form)
        if fault:
            raise damaged(folder, fault)

    @property
    def keys(self) -> np.ndarray:
        """(n,) bytes, the keys of the images."""
        return self._images["key"]

    @property
    def number_of_lesions(self) -> int:
        return len(self._lesions)

    @functools.cached_property
    def patch_grids(self) -> np.ndarray | None:
        """(n, h, w, C) in the store's dtype, or None.

        Raises:
            InputError: they are damaged, or of another form.
        """
        if self._form.patch_grid is None:
            return None
        path = self._folder / PATCH_GRIDS
        grids = open_array(path, self._checksums[PATCH_GRIDS])
        expected = (len(self._images), *self._form.patch_grid)
        if grids.shape != expected or grids.dtype != self._form.dtype:
            raise damaged(path, f"it is {grids.dtype} {grids.shape}, not {expected}")
        return grids

    def read(self, row: int) -> tuple[np.void, np.ndarray]:
        """The row of an image and the rows of its lesions."""
        image = self._images[row]
        return image, self._lesions[image["first_lesion"] : image["end_lesion"]]

    def difference(self, row: int, record: dict[str, Any]) -> str | None:
        """In what a record is not the one that was embedded as number ``row``.

        Returns:
            The end of a sentence about the image, or None if nothing has changed.
        """
        image, lesions = self.read(row)
        if not np.array_equal(lesions["box"], lesion_boxes(record)):
            return "has other boxes"
        signature = FileSignature(
            image["sha256"].tobytes(), int(image["size"]), int(image["mtime_ns"])
        )
        try:
            return None if has_signature(record["file_name"], signature) else "has another content"
        except InputError:
            return "cannot be read"


def check_shard_files(folder: Path, checksums: Mapping[str, Checksum], form: ShardFormat) -> None:
    """Check that a shard's files are there in their sizes.

    Raises:
        InputError: they are not, or a checksum is missing.
    """
    names = (IMAGES, LESIONS) if form.patch_grid is None else (IMAGES, LESIONS, PATCH_GRIDS)
    for name in names:
        if name not in checksums:
            raise damaged(folder / name, "it has no checksum")
        check_size(folder / name, checksums[name])


def _find_fault(images: np.ndarray, lesions: np.ndarray, form: ShardFormat) -> str | None:
    """In what the tables of a shard are none of a store's; the end of a sentence."""
    if not _is_table(images, form.images) or not _is_table(lesions, form.lesions):
        return "its tables have other columns"
    first, end = images["first_lesion"], images["end_lesion"]
    starts = np.concatenate(([0], end[:-1]))
    if not len(images) or (first != starts).any() or (end < first).any() or end[-1] != len(lesions):
        return "its images and lesions do not belong together"
    numbers = images["embedding"], lesions["embedding"], lesions["box"]
    if not all(np.isfinite(x).all() for x in numbers):
        return "it holds numbers that are not finite"
    return None


def _is_table(array: np.ndarray, expected: np.dtype) -> bool:
    """Whether an array has the expected columns, whatever the length of its keys."""
    if array.ndim != 1 or array.dtype.names != expected.names:
        return False
    return all(
        array.dtype[name] == expected[name] or (name == "key" and array.dtype[name].kind == "S")
        for name in expected.names
    )
