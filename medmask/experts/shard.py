"""A shard: the embeddings of some consecutive images of a data set, on disk.

<shard>/images.npy        one row an image: key, signature of its file, its lesions, its embedding
<shard>/lesions.npy       one row an annotation: box and embedding; an image's rows are consecutive
<shard>/patch_grids.npy   (images, h, w, C); absent where the expert has no patch tokens
<shard>/checksums.json    of these files; a complete store has them in its manifest as well

The arrays are plain .npy files, opened memory-mapped. A shard is written into a folder of another
name and renamed, so that it is there as a whole or not at all.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from medmask.experts.checksums import Checksum, damaged, parse_checksums, take_checksum
from medmask.experts.records import FileSignature, image_key, lesion_boxes
from medmask.utils.files import atomic_write, current_umask

PARTIAL_PREFIX = ".partial-"

IMAGES, LESIONS, PATCH_GRIDS = "images.npy", "lesions.npy", "patch_grids.npy"
CHECKSUMS = "checksums.json"


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


class ShardFormat(NamedTuple):
    """What the arrays of a store's shards look like."""

    embedding_dim: int  # D
    dtype: str  # of the embeddings, "float16" or "float32"
    patch_grid: tuple[int, int, int] | None  # (h, w, C)

    @property
    def images(self) -> np.dtype:
        """Of a row for each image, but for the length of its key."""
        return _image_dtype(1, self.embedding_dim, np.dtype(self.dtype))

    @property
    def lesions(self) -> np.dtype:
        """Of a row for each annotation."""
        return _lesion_dtype(self.embedding_dim, np.dtype(self.dtype))


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
        arrays = {IMAGES: images, LESIONS: lesions}
        if entries[0].patch_grid is not None:
            arrays[PATCH_GRIDS] = np.stack([e.patch_grid for e in entries]).astype(dtype)
        for name, array in arrays.items():
            _save(partial / name, array)
        checksums = {name: take_checksum(partial / name) for name in arrays}
        with atomic_write(partial / CHECKSUMS, "w") as file:
            json.dump(checksums, file, indent=1)
        partial.chmod(0o777 & ~current_umask())
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def read_checksums(folder: Path) -> dict[str, Checksum]:
    """The checksums of a shard's arrays, by their names.

    Raises:
        InputError: there are none, or they are damaged.
    """
    path = folder / CHECKSUMS
    try:
        take_checksum(path)  # raises if it is no regular file
        checksums = parse_checksums(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path, str(error)[:200]) from None
    if not {IMAGES, LESIONS} <= checksums.keys() <= {IMAGES, LESIONS, PATCH_GRIDS}:
        raise damaged(path, "it names other files than a shard has")
    return checksums


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
