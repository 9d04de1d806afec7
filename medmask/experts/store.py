"""Reading an expert store.

<store>/manifest.json          how it was made; written last
<store>/prompts.npy            (K, D) float32, the embeddings of the text prompts
<store>/index.npy              where each image is, sorted by key
<store>/shards/00000/...       the embeddings, see :mod:`medmask.experts.shard`

The manifest has the size and the SHA-256 of every other file. Opening a store compares the sizes of
all, and the content of index and prompts; the content of a shard is compared when it is first used,
so that no number is trained on that was not what the expert gave, and no file is read twice.

A store is made by tools/extract_expert_embeddings.py. Nothing here needs the expert itself.
"""

import bisect
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medmask.errors import InputError
from medmask.experts.checksums import Checksum, damaged, group_by_folder, open_array
from medmask.experts.manifest import Manifest, read_manifest
from medmask.experts.prompts import PromptEmbeddings, Prompts
from medmask.experts.records import image_key
from medmask.experts.shard import ShardFormat
from medmask.experts.shard_reader import ExpertEntry, Shard, check_shard_files

INDEX = "index.npy"
PROMPTS = "prompts.npy"

_MOST_IMAGES_SHOWN = 5


def shard_folder(store: Path, number: int) -> Path:
    """The folder of a shard."""
    return store / "shards" / f"{number:05d}"


def shard_format(settings: Mapping[str, Any]) -> ShardFormat:
    """The form of a store's arrays, from its settings as the manifest has them."""
    grid = settings["patch_grid"]
    return ShardFormat(
        settings["embedding_dim"], settings["dtype"], None if grid is None else tuple(grid)
    )


class ExpertStore:
    """The embeddings of one data set's images, by image id.

    The files are memory-mapped: an entry reads its own bytes. The first of a shard reads its tables
    of images and lesions (1 kB a row for 512 numbers in half precision), the first patch grid of a
    shard all of its grids, to compare them with their checksums. A store may be sent to worker
    processes; it is opened there again.

    Attributes:
        folder: the store.
        settings: how it was made, see :class:`medmask.experts.manifest.StoreSettings`.
        embedding_dim: D.
        prompts: the text prompts and their embeddings.
    """

    def __init__(self, folder: Path) -> None:
        """Open a store; use :meth:`open`."""
        manifest = read_manifest(folder)
        if not manifest.complete:
            raise InputError(
                f"expert store {folder} is not complete: run tools/extract_expert_embeddings.py "
                "again with the same options; it goes on where it stopped"
            )
        self.folder = folder
        self.settings = manifest.settings
        self.embedding_dim: int = manifest.settings["embedding_dim"]
        self._form = shard_format(manifest.settings)
        self._checksums = group_by_folder(manifest.checksums)
        self.prompts = self._read_prompts()
        self._index = self._open_index(manifest)
        self._keys = self._index["key"]
        self._shards: dict[int, Shard] = {}
        for number in range(manifest.number_of_shards):
            check_shard_files(
                shard_folder(folder, number), self._shard_checksums(number), self._form
            )

    @classmethod
    def open(cls, folder: str | os.PathLike, *, expected_model: str | None = None) -> "ExpertStore":
        """Open a complete store.

        Args:
            folder: the store of one data set.
            expected_model: the expert that must have made it, by name; None takes any.

        Raises:
            InputError: there is no complete store, it is damaged, or another model made it.
        """
        store = cls(Path(folder))
        model = store.settings["model"]
        if expected_model is not None and model != expected_model:
            raise InputError(
                f"expert store {folder} was made by '{model}', not by '{expected_model}': name "
                "another store, or make one by tools/extract_expert_embeddings.py"
            )
        return store

    def __len__(self) -> int:
        return len(self._index)

    def __contains__(self, image_id: int | str) -> bool:
        return self._find(image_id) is not None

    def __getitem__(self, image_id: int | str) -> ExpertEntry:
        """The embeddings of an image.

        Raises:
            InputError: the image is not in the store.
        """
        place = self._find(image_id)
        if place is None:
            raise InputError(
                f"expert store {self.folder} has no image {image_id!r}: run "
                "tools/extract_expert_embeddings.py again on its data set"
            )
        shard, row = place
        return ExpertEntry(self._shard(shard), row)

    def check(self, records: Sequence[dict]) -> None:
        """Check that the store fits a data set: its images, their contents and their boxes.

        The content of a file is read only where its time of change differs from that at extraction.

        Args:
            records: Detectron2's dicts, with ``file_name``, ``image_id`` and ``annotations``.

        Raises:
            InputError: an image is missing or changed; the message counts all and names the first.
        """
        problems = []
        for record in records:
            place = self._find(record["image_id"])
            if place is None:
                difference = "is not in the store"
            else:
                difference = self._shard(place[0]).difference(place[1], record)
            if difference is not None:
                problems.append(f"{record['image_id']!r} ({record['file_name']}) {difference}")
        if problems:
            raise InputError(
                f"expert store {self.folder} does not fit {len(problems)} of {len(records)} "
                f"images; run tools/extract_expert_embeddings.py again to update it: image "
                f"{name_first(problems)}"
            )

    def _read_prompts(self) -> PromptEmbeddings:
        prompts = Prompts.from_groups(self.settings["prompts"])
        embeddings = np.array(self._open_array(PROMPTS), np.float32)
        expected = (len(prompts.texts), self.embedding_dim)
        if embeddings.shape != expected or not np.isfinite(embeddings).all():
            raise damaged(self.folder / PROMPTS, f"it holds no finite numbers of shape {expected}")
        return PromptEmbeddings(
            class_names=prompts.class_names,
            texts=prompts.texts,
            class_indices=np.array(prompts.class_indices, np.int64),
            embeddings=embeddings,
            logit_scale=self.settings["logit_scale"],
        )

    def _open_index(self, manifest: Manifest) -> np.ndarray:
        index = self._open_array(INDEX)
        if index.dtype.names != ("key", "shard", "row") or len(index) != manifest.images:
            raise damaged(self.folder / INDEX, f"it does not list {manifest.images} images")
        return index

    def _open_array(self, name: str) -> np.ndarray:
        checksums = self._checksums.get(".", {})
        if name not in checksums:
            raise damaged(self.folder / name, "it has no checksum")
        return open_array(self.folder / name, checksums[name])

    def _find(self, image_id: int | str) -> tuple[int, int] | None:
        """The shard of an image and its row there."""
        key = image_key(image_id)
        # numpy's own search would copy all keys to one length at every call
        at = bisect.bisect_left(self._keys, key)
        if at == len(self._keys) or self._keys[at] != key:
            return None
        return int(self._index[at]["shard"]), int(self._index[at]["row"])

    def _shard(self, number: int) -> Shard:
        if number not in self._shards:
            folder = shard_folder(self.folder, number)
            self._shards[number] = Shard(folder, self._shard_checksums(number), self._form)
        return self._shards[number]

    def _shard_checksums(self, number: int) -> dict[str, Checksum]:
        return self._checksums.get(str(shard_folder(Path(), number)), {})

    def __reduce__(self) -> tuple:
        return ExpertStore, (self.folder,)


def name_first(problems: Sequence[str]) -> str:
    """The first few of a list, as one line."""
    more = len(problems) - _MOST_IMAGES_SHOWN
    shown = "; ".join(problems[:_MOST_IMAGES_SHOWN])
    return f"{shown}; and {more} more" if more > 0 else shown
