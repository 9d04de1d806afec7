"""Reading an expert store.

<store>/manifest.json          the settings that it was made with
<store>/prompts.npy            (K, D) float32, the embeddings of the text prompts
<store>/shards/00000/...       the embeddings, see :mod:`medmask.experts.shard`

The store is complete when all of its shards are there. Every number is compared with the checksum
that was taken when it was written, before its first use: none is trained on that the expert did
not give. A store is made by medmask extract-embeddings; nothing here needs the expert.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medmask.errors import InputError
from medmask.experts.checksums import Checksum, damaged, open_array
from medmask.experts.image_signature import image_key
from medmask.experts.manifest import read_manifest
from medmask.experts.prompts import PromptEmbeddings
from medmask.experts.shard import ExpertEntry, Shard
from medmask.utils.counts import counted

PROMPTS = "prompts.npy"

_MOST_IMAGES_SHOWN = 5


def shard_folder(store: Path, number: int) -> Path:
    """Name the folder of a shard."""
    return store / "shards" / f"{number:05d}"


class ExpertStore:
    """The embeddings of one data set's images, by image id.

    The files are memory-mapped: an entry reads its own bytes. Opening a store reads the tables of
    images and lesions once (1 kB a row for 512 numbers in half precision), and the first patch grid
    of a shard all of its grids, to compare them with their checksums.

    Attributes:
        folder: the store.
        settings: of the store, :class:`medmask.experts.manifest.StoreSettings`.
        prompts: the text prompts and their embeddings; None if the expert reads no texts.
        patch_moments: (3, C) of all patches, see :mod:`medmask.experts.patch_statistics`; None
            without patch grids.
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        """Open a complete store.

        Args:
            folder: the store of one data set.

        Raises:
            InputError: there is no complete store, or it is damaged.
        """
        self.folder = Path(folder)
        manifest = read_manifest(self.folder)
        self.settings = manifest.settings
        folders = [shard_folder(self.folder, n) for n in range(manifest.number_of_shards)]
        if not all(map(os.path.lexists, folders)):
            raise InputError(
                f"expert store {folder} is not complete: run medmask extract-embeddings "
                "again with the same options; it goes on where it stopped"
            )
        self.prompts = self._read_prompts(manifest.prompts)
        self._shards = [Shard(folder, self.settings) for folder in folders]
        self._rows = {
            key: (shard, row)
            for shard in self._shards
            for row, key in enumerate(shard.keys.tolist())
        }
        if len(self._rows) != manifest.images:
            raise damaged(self.folder, f"it does not hold {counted(manifest.images, 'image')}")
        self.patch_moments: np.ndarray | None = None
        if self.settings.patch_grid is not None:
            self.patch_moments = np.sum([shard.patch_moments for shard in self._shards], axis=0)

    def _read_prompts(self, checksum: Checksum) -> PromptEmbeddings | None:
        embeddings = open_array(self.folder / PROMPTS, checksum)
        prompts, scale = self.settings.prompts, self.settings.logit_scale
        if prompts is None or scale is None:
            return None
        return PromptEmbeddings.of(prompts, np.array(embeddings), scale)

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, image_id: int | str) -> bool:
        return image_key(image_id) in self._rows

    def __getitem__(self, image_id: int | str) -> ExpertEntry:
        """Read the embeddings of an image.

        Raises:
            InputError: the image is not in the store.
        """
        location = self._rows.get(image_key(image_id))
        if location is None:
            raise InputError(
                f"expert store {self.folder} has no image {image_id!r}: run "
                "medmask extract-embeddings again on its data set"
            )
        return ExpertEntry(*location)

    @property
    def image_embeddings(self) -> np.ndarray:
        """(n, D) of all images, in the store's dtype."""
        return np.concatenate([shard.image_embeddings for shard in self._shards])

    @property
    def lesion_embeddings(self) -> np.ndarray:
        """(T, D) of all lesions, in the store's dtype."""
        return np.concatenate([shard.lesion_embeddings for shard in self._shards])

    def check(self, dataset_dicts: Sequence[dict[str, Any]]) -> None:
        """Check that the store fits a data set: its images, their contents and their boxes.

        The content of a file is read only where its time of change differs from that at extraction.

        Args:
            dataset_dicts: with ``file_name``, ``image_id`` and ``annotations``.

        Raises:
            InputError: an image is missing or changed; the message counts all and names the first.
        """
        problems = []
        for dataset_dict in dataset_dicts:
            location = self._rows.get(image_key(dataset_dict["image_id"]))
            difference: str | None = "is not in the store"
            if location is not None:
                shard, row = location
                difference = shard.difference(row, dataset_dict)
            if difference is not None:
                name = f"{dataset_dict['image_id']!r} ({dataset_dict['file_name']})"
                problems.append(f"{name} {difference}")
        if problems:
            raise InputError(
                f"expert store {self.folder} does not fit {len(problems)} of "
                f"{counted(len(dataset_dicts), 'image')}; run medmask extract-embeddings again to "
                f"update it: image {join_first(problems)}"
            )


def join_first(problems: Sequence[str]) -> str:
    """Join the first few of a list, as one line."""
    more = len(problems) - _MOST_IMAGES_SHOWN
    shown = "; ".join(problems[:_MOST_IMAGES_SHOWN])
    return f"{shown}; and {more} more" if more > 0 else shown
