"""A shard: the embeddings of some consecutive images of a data set, on disk.

<shard>/images.npy        one row an image: key, signature of its file, its lesions, its embedding
<shard>/lesions.npy       one row an annotation: box and embedding; an image's rows are consecutive
<shard>/patch_grids.npy   (images, h, w, C); absent where the expert has no patch tokens

All are plain .npy files, opened memory-mapped. A shard is written into a folder of another name
and renamed, so that it is there as a whole or not at all.
"""

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from medmask.errors import InputError
from medmask.experts.records import FileSignature, has_signature, image_key, lesion_boxes
from medmask.utils.files import current_umask

PARTIAL_PREFIX = ".partial-"

_IMAGES, _LESIONS, _PATCH_GRIDS = "images.npy", "lesions.npy", "patch_grids.npy"


@dataclass(frozen=True)
class ImageEmbeddings:
    """What an expert makes of one image.

    Attributes:
        signature: of the image's file.
        image_embedding: (D,), length 1.
        lesion_embeddings: (T, D), length 1, one per annotation of the record.
        patch_grid: (h, w, C) patch tokens, or None.
    """

    signature: FileSignature
    image_embedding: np.ndarray
    lesion_embeddings: np.ndarray
    patch_grid: np.ndarray | None


class ExpertEntry(NamedTuple):
    """What a store holds of one image."""

    image_embedding: np.ndarray  # (D,) float32, length 1
    lesion_embeddings: np.ndarray  # (T, D) float32, length 1, T annotations of the record
    patch_grid: np.ndarray | None  # (h, w, C) in the store's dtype, read from disk when it is used


def write_shard(
    folder: Path, records: Sequence[dict], entries: Sequence[ImageEmbeddings], dtype: str
) -> None:
    """Write a shard.

    Args:
        folder: the shard; it must not exist.
        records: n records of a data set.
        entries: n, what the expert makes of them.
        dtype: "float16" or "float32".
    """
    images, lesions = _to_tables(records, entries, np.dtype(dtype))
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=PARTIAL_PREFIX, dir=folder.parent))
    try:
        _save(partial / _IMAGES, images)
        _save(partial / _LESIONS, lesions)
        if entries[0].patch_grid is not None:
            _save(partial / _PATCH_GRIDS, np.stack([e.patch_grid for e in entries]).astype(dtype))
        partial.chmod(0o777 & ~current_umask())
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _to_tables(
    records: Sequence[dict], entries: Sequence[ImageEmbeddings], dtype: np.dtype
) -> tuple[np.ndarray, np.ndarray]:
    """The structured arrays of a shard: (n,) images and (lesions of all,) lesions."""
    keys = [image_key(record["image_id"]) for record in records]
    boxes = [lesion_boxes(record) for record in records]
    dim = len(entries[0].image_embedding)
    images = np.zeros(len(records), _image_dtype(max(map(len, keys)), dim, dtype))
    lesions = np.zeros(sum(map(len, boxes)), _lesion_dtype(dim, dtype))
    first = 0
    for image, key, image_boxes, entry in zip(images, keys, boxes, entries, strict=True):
        image["key"] = key
        image["sha256"] = np.frombuffer(entry.signature.sha256, np.uint8)
        image["size"], image["mtime_ns"] = entry.signature.size, entry.signature.mtime_ns
        image["embedding"] = entry.image_embedding
        last = first + len(image_boxes)
        image["first_lesion"], image["end_lesion"] = first, last
        if len(entry.lesion_embeddings) != len(image_boxes):
            raise ValueError(f"{len(entry.lesion_embeddings)} embeddings, {len(image_boxes)} boxes")
        lesions["box"][first:last] = image_boxes
        lesions["embedding"][first:last] = entry.lesion_embeddings
        first = last
    return images, lesions


def _image_dtype(key_length: int, dim: int, dtype: np.dtype) -> np.dtype:
    return np.dtype(
        [
            ("key", f"S{key_length}"),
            ("sha256", "u1", (32,)),
            ("size", "<i8"),
            ("mtime_ns", "<i8"),
            ("first_lesion", "<i8"),
            ("end_lesion", "<i8"),
            ("embedding", dtype, (dim,)),
        ]
    )


def _lesion_dtype(dim: int, dtype: np.dtype) -> np.dtype:
    return np.dtype([("box", "<f8", (4,)), ("embedding", dtype, (dim,))])


def _save(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as file:
        np.save(file, array, allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())


class Shard:
    """A shard on disk, memory-mapped: only the rows that are asked for are read.

    Args:
        folder: what :func:`write_shard` wrote.

    Raises:
        InputError: it is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self._images = open_array(folder / _IMAGES)
        self._lesions = open_array(folder / _LESIONS)
        has_grids = (folder / _PATCH_GRIDS).exists()
        self._patch_grids = open_array(folder / _PATCH_GRIDS) if has_grids else None

    @property
    def keys(self) -> np.ndarray:
        """(n,) bytes, the keys of the images."""
        return self._images["key"]

    @property
    def number_of_lesions(self) -> int:
        return len(self._lesions)

    def entry(self, row: int) -> ExpertEntry:
        """What the shard holds of its image number ``row``."""
        image = self._images[row]
        lesions = self._lesions["embedding"][image["first_lesion"] : image["end_lesion"]]
        return ExpertEntry(
            image["embedding"].astype(np.float32),
            lesions.astype(np.float32),
            None if self._patch_grids is None else self._patch_grids[row],
        )

    def difference(self, row: int, record: dict[str, Any]) -> str | None:
        """In what a record is not the one that was embedded as number ``row``.

        Returns:
            The end of a sentence about the image, or None if nothing has changed.
        """
        image = self._images[row]
        boxes = self._lesions["box"][image["first_lesion"] : image["end_lesion"]]
        if not np.array_equal(boxes, lesion_boxes(record)):
            return "has other boxes"
        signature = FileSignature(
            image["sha256"].tobytes(), int(image["size"]), int(image["mtime_ns"])
        )
        try:
            return None if has_signature(record["file_name"], signature) else "has another content"
        except InputError:
            return "cannot be read"


def open_array(path: Path) -> np.ndarray:
    """Open an .npy file memory-mapped, for reading.

    Returns:
        A plain array, because indexing ``numpy.memmap`` is several times slower; its ``base`` is
        the map.

    Raises:
        InputError: it is absent or damaged.
    """
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False).view(np.ndarray)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} of an expert store cannot be read ({error}): run "
            "tools/extract_expert_embeddings.py again with --overwrite"
        ) from error
