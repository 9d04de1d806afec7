"""A shard: the embeddings of some consecutive images of a data set, on disk.

<shard>/images.npy        one row an image: key, signature of its file, view, lesions, embedding
<shard>/lesions.npy       one row an annotation: box and embedding; an image's rows are consecutive
<shard>/patch_grids.npy   (images, h, w, C); absent where the expert has no patch tokens
<shard>/patch_moments.npy (3, C) count, sums and sums of squares of the patches that show the image
<shard>/shard.json        fingerprint of the store's settings, checksums of these files

The arrays are plain .npy files, opened memory-mapped. A shard is written into a folder of another
name and renamed, so that it is there as a whole or not at all.
"""

import functools
import os
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from medmask.data.dataset_dicts import box_corners
from medmask.errors import InputError
from medmask.experts.checksums import (
    Checksum,
    check_size,
    damaged,
    open_array,
    read_hashed_json,
    take_checksum,
    write_hashed_json,
)
from medmask.experts.image_signature import FileSignature, has_signature, image_key
from medmask.experts.manifest import StoreSettings
from medmask.experts.patch_statistics import patch_moments
from medmask.experts.preprocessing import ExpertView
from medmask.utils.failures import one_line

PARTIAL_PREFIX = ".partial-"

_IMAGES, _LESIONS, _PATCH_GRIDS = "images.npy", "lesions.npy", "patch_grids.npy"
_PATCH_MOMENTS = "patch_moments.npy"
_DESCRIPTION = "shard.json"


@dataclass(frozen=True)
class ImageEmbeddings:
    """The embeddings of one image, to be written.

    Attributes:
        signature: of the image's file.
        image_embedding: (D,), length 1.
        lesion_embeddings: (T, D), length 1, one per annotation of the dataset dict.
        patch_grid: (h, w, C) patch tokens, or None.
        view: what the expert saw of the image.
    """

    signature: FileSignature
    image_embedding: np.ndarray
    lesion_embeddings: np.ndarray
    patch_grid: np.ndarray | None
    view: ExpertView


def write_shard(
    folder: Path,
    dataset_dicts: Sequence[dict[str, Any]],
    embeddings: Sequence[ImageEmbeddings],
    settings: StoreSettings,
) -> None:
    """Write a shard.

    Args:
        folder: the shard; it must not exist.
        dataset_dicts: of n images.
        embeddings: n, of these images.
        settings: of the store.

    Raises:
        InputError: there are numbers that the store's type cannot hold.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        arrays = _to_arrays(dataset_dicts, embeddings, settings)
    _check_finite(arrays, dataset_dicts, settings.dtype)
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.parent / f"{PARTIAL_PREFIX}{secrets.token_hex(8)}"
    partial.mkdir()
    try:
        for name, array in arrays.items():
            _save(partial / name, array)
        checksums = {name: take_checksum(partial / name) for name in arrays}
        write_hashed_json(
            partial / _DESCRIPTION,
            {"settings": settings.fingerprint(), "checksums": checksums},
        )
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _to_arrays(
    dataset_dicts: Sequence[dict[str, Any]],
    embeddings: Sequence[ImageEmbeddings],
    settings: StoreSettings,
) -> dict[str, np.ndarray]:
    """Make the arrays of a shard, by the names of their files."""
    dim, dtype = settings.embedding_dim, np.dtype(settings.dtype)
    keys = [image_key(d["image_id"]) for d in dataset_dicts]
    boxes = [box_corners(d.get("annotations", [])) for d in dataset_dicts]
    images = np.zeros(
        len(dataset_dicts),
        [
            ("key", f"S{max(map(len, keys))}"),
            ("sha256", "u1", (32,)),
            ("size", "<i8"),
            ("mtime_ns", "<i8"),
            ("region", "<f8", (4,)),
            ("placement", "<f8", (4,)),
            ("lesions", "<i8"),
            ("embedding", dtype, (dim,)),
        ],
    )
    lesions = np.zeros(sum(map(len, boxes)), [("box", "<f8", (4,)), ("embedding", dtype, (dim,))])
    for row, (image, of_image) in enumerate(zip(images, embeddings, strict=True)):
        signature = of_image.signature
        image["key"] = keys[row]
        image["sha256"] = np.frombuffer(signature.sha256, np.uint8)
        image["size"], image["mtime_ns"] = signature.size, signature.mtime_ns
        image["region"], image["placement"] = of_image.view
        image["lesions"] = len(boxes[row])
        if len(of_image.lesion_embeddings) != len(boxes[row]):
            raise ValueError(f"image {keys[row]!r} has another number of boxes than of embeddings")
        image["embedding"] = of_image.image_embedding
    lesions["box"] = np.concatenate(boxes)
    lesions["embedding"] = np.concatenate([e.lesion_embeddings for e in embeddings])
    arrays = {_IMAGES: images, _LESIONS: lesions}
    if settings.patch_grid is not None:
        grids = np.stack(cast(list[np.ndarray], [e.patch_grid for e in embeddings])).astype(dtype)
        arrays[_PATCH_GRIDS] = grids
        arrays[_PATCH_MOMENTS] = patch_moments(grids, images["placement"])
    return arrays


def _check_finite(
    arrays: dict[str, np.ndarray], dataset_dicts: Sequence[dict[str, Any]], dtype: str
) -> None:
    images, lesions = arrays[_IMAGES], arrays[_LESIONS]
    finite = np.isfinite(images["embedding"]).all(axis=1)
    lesion_images = np.repeat(np.arange(len(images)), images["lesions"])
    finite[lesion_images[~np.isfinite(lesions["embedding"]).all(axis=1)]] = False
    if _PATCH_GRIDS in arrays:
        finite &= np.isfinite(arrays[_PATCH_GRIDS]).all(axis=(1, 2, 3))
    if not finite.all():
        image = dataset_dicts[int(np.argmin(finite))]
        raise InputError(
            f"the expert gives numbers that {dtype} cannot hold for image {image['file_name']}: "
            "use --device cpu or --dtype float32"
        )


def _save(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as file:
        np.save(file, array, allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())


class Shard:
    """A shard on disk, memory-mapped: only the rows that are asked for are read.

    The tables of images and lesions, which are small, are compared with their checksums when a
    shard is opened; the patch grids, when the first of them is asked for.

    Args:
        folder: a folder that :func:`write_shard` has written.
        settings: of the store that the shard is in.

    Raises:
        InputError: it is damaged, or was made with other settings.
    """

    def __init__(self, folder: Path, settings: StoreSettings) -> None:
        self._folder = folder
        self._checksums = _read_checksums(folder, settings)
        self._images = open_array(folder / _IMAGES, self._checksums[_IMAGES])
        self._lesions = open_array(folder / _LESIONS, self._checksums[_LESIONS])
        if _PATCH_GRIDS in self._checksums:
            check_size(folder / _PATCH_GRIDS, self._checksums[_PATCH_GRIDS])
            self.patch_moments = open_array(
                folder / _PATCH_MOMENTS, self._checksums[_PATCH_MOMENTS]
            )
        self._ends = np.cumsum(self._images["lesions"])

    @property
    def keys(self) -> np.ndarray:
        """(n,) bytes, the keys of the images."""
        return self._images["key"]

    @property
    def image_embeddings(self) -> np.ndarray:
        """(n, D) in the store's dtype."""
        return self._images["embedding"]

    @property
    def lesion_embeddings(self) -> np.ndarray:
        """(T, D) in the store's dtype, of all images."""
        return self._lesions["embedding"]

    @functools.cached_property
    def patch_grids(self) -> np.ndarray | None:
        """(n, h, w, C) in the store's dtype, or None.

        Raises:
            InputError: they are damaged.
        """
        if _PATCH_GRIDS not in self._checksums:
            return None
        return open_array(self._folder / _PATCH_GRIDS, self._checksums[_PATCH_GRIDS])

    def read(self, row: int) -> tuple[np.void, np.ndarray]:
        """Read the row of an image and the rows of its lesions."""
        image, end = self._images[row], self._ends[row]
        return image, self._lesions[end - image["lesions"] : end]

    def difference(self, row: int, dataset_dict: dict[str, Any]) -> str | None:
        """Compare an image and its boxes with those that were embedded as number ``row``.

        Returns:
            The end of a sentence about the image, or None if nothing has changed.
        """
        image, lesions = self.read(row)
        if not np.array_equal(lesions["box"], box_corners(dataset_dict.get("annotations", []))):
            return "has other boxes"
        signature = FileSignature(
            image["sha256"].tobytes(), int(image["size"]), int(image["mtime_ns"])
        )
        try:
            is_same = has_signature(dataset_dict["file_name"], signature)
        except InputError:
            return "cannot be read"
        return None if is_same else "has another content"


def _read_checksums(folder: Path, settings: StoreSettings) -> dict[str, Checksum]:
    """Read the checksums of a shard's arrays, after their settings were compared."""
    path = folder / _DESCRIPTION
    try:
        description = read_hashed_json(path)
    except (OSError, ValueError) as error:
        raise damaged(path, one_line(error)[:200]) from None
    if description.get("settings") != settings.fingerprint():
        raise damaged(folder, "it was made with other settings")
    return {name: Checksum(*value) for name, value in description["checksums"].items()}


class ExpertEntry:
    """The stored embeddings of one image.

    Attributes:
        image_embedding: (D,) float32, length 1.
        lesion_embeddings: (T, D) float32, length 1, T annotations of the dataset dict.
        view: what the expert saw of the image.
    """

    def __init__(self, shard: Shard, row: int) -> None:
        image, lesions = shard.read(row)
        self.image_embedding: np.ndarray = image["embedding"].astype(np.float32)
        self.lesion_embeddings: np.ndarray = lesions["embedding"].astype(np.float32)
        self.view = ExpertView(*(tuple(image[name].tolist()) for name in ExpertView._fields))
        self._shard, self._row = shard, row

    @property
    def patch_grid(self) -> np.ndarray | None:
        """(h, w, C) in the store's dtype, read from disk when it is used; None without grids."""
        grids = self._shard.patch_grids
        return None if grids is None else grids[self._row]
