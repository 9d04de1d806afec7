"""Writing an expert store, shard by shard, so that a run that dies goes on where it stopped."""

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from medmask.errors import InputError
from medmask.experts.checksums import Checksum, hash_json, open_array, take_checksum
from medmask.experts.image_signature import image_key
from medmask.experts.manifest import MANIFEST, Manifest, StoreSettings, read_manifest
from medmask.experts.shard import PARTIAL_PREFIX, ImageEmbeddings, Shard, write_shard
from medmask.experts.store import PROMPTS, join_first, shard_folder
from medmask.utils.counts import counted
from medmask.utils.file_lock import locked_folder
from medmask.utils.files import atomic_write, remove_abandoned_files


class StoreWriter:
    """Brings the store of one data set up to date.

    Shard i holds the images i * ``shard_size`` to (i + 1) * ``shard_size`` - 1. One process calls
    :meth:`prepare`; then any number of processes write the :meth:`open_shards`, each shard once;
    then one calls :meth:`finish`.

    Args:
        folder: of the store.
        settings: of the store.
        dataset_dicts: of the whole data set, at least one.
        shard_size: images a shard, at least 1.

    Raises:
        InputError: ``shard_size`` is out of range, or two images have the same id.
    """

    def __init__(
        self,
        folder: Path,
        settings: StoreSettings,
        dataset_dicts: Sequence[dict[str, Any]],
        shard_size: int,
    ) -> None:
        if shard_size < 1:
            raise InputError(f"shard size is {shard_size}: give 1 or more")
        _check_ids(dataset_dicts)
        self.folder = folder
        self.settings = settings
        self.dataset_dicts = dataset_dicts
        self.shard_size = shard_size

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs from writing the store meanwhile.

        Raises:
            InputError: another run is writing it, or the folder cannot be made.
        """
        sentence = (
            f"another run is writing the expert store {self.folder}: wait for its end, or name "
            "another folder"
        )
        with contextlib.ExitStack() as stack:
            with self._writing():
                self.folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locked_folder(self.folder, sentence))
            yield

    def shard_dicts(self, number: int) -> Sequence[dict[str, Any]]:
        """Select the dataset dicts of a shard."""
        return self.dataset_dicts[number * self.shard_size : (number + 1) * self.shard_size]

    def prepare(self, prompt_embeddings: np.ndarray, *, overwrite: bool = False) -> None:
        """Claim the folder, and remove what is damaged, left of a killed run, or out of date.

        Every file of a store that is there is read once, to compare it with its checksum.

        Args:
            prompt_embeddings: (K, D), of the prompts in ``settings``.
            overwrite: replace a store that was made with other settings.

        Raises:
            InputError: the folder holds something else, or a store that was made with other
                settings and ``overwrite`` is off.
        """
        with self._writing():
            self._check_folder(overwrite)
            remove_abandoned_files(self.folder)
            if not self._has_manifest_and_prompts():
                self._write_manifest_and_prompts(prompt_embeddings)
            # after the manifest: whenever this is killed, no old shard is taken for one of ours
            self._remove_stale(with_patch_grids=True)

    def open_shards(self) -> list[int]:
        """List the numbers of the shards that are not written yet."""
        numbers = range(-(-len(self.dataset_dicts) // self.shard_size))
        return [n for n in numbers if not shard_folder(self.folder, n).exists()]

    def write(self, number: int, embeddings: Sequence[ImageEmbeddings]) -> None:
        """Write a shard, as a whole or not at all.

        Args:
            number: of the shard.
            embeddings: one per image of the shard, in the order of the data set.

        Raises:
            InputError: there are numbers that the store's type cannot hold, or the disk is full or
                may not be written to.
        """
        folder = shard_folder(self.folder, number)
        with self._writing():
            write_shard(folder, self.shard_dicts(number), embeddings, self.settings)

    def finish(self) -> None:
        """Check that the store is of the data set as it is now, after all shards were written.

        Raises:
            InputError: images changed while they were embedded; their shards are open again.
        """
        with self._writing():
            stale = self._remove_stale()
        if stale:
            raise InputError(
                f"{counted(len(stale), 'image')} changed while the store was written; run this "
                f"again: {join_first(stale)}"
            )

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn errors of the file system into sentences."""
        try:
            yield
        except OSError as error:
            raise InputError(
                f"cannot write the expert store {self.folder}: {error.strerror or error}"
            ) from error

    def _check_folder(self, overwrite: bool) -> None:
        # a process that was killed early may have left a temporary file, whose name has a dot
        if not self.folder.exists() or all(p.name[0] == "." for p in self.folder.iterdir()):
            return
        if not os.path.lexists(self.folder / MANIFEST):
            raise InputError(f"{self.folder} exists and holds no expert store: name another folder")
        if overwrite:
            return
        present = read_manifest(self.folder)
        wanted = {**self.settings.to_json(), "shard_size": self.shard_size}
        found = {**present.settings.to_json(), "shard_size": present.shard_size}
        different = [key for key in wanted if found[key] != wanted[key]]
        if different:
            raise InputError(
                f"the expert store {self.folder} was made with another {', '.join(different)}: "
                "name another folder, or pass --overwrite to replace it"
            )

    def _has_manifest_and_prompts(self) -> bool:
        try:
            present = read_manifest(self.folder)
            open_array(self.folder / PROMPTS, present.prompts)
        except InputError:
            return False
        wanted = self._manifest(present.prompts)
        return hash_json(asdict(present)) == hash_json(asdict(wanted))

    def _write_manifest_and_prompts(self, prompt_embeddings: np.ndarray) -> None:
        for name in (MANIFEST, PROMPTS):
            _remove_special_file(self.folder / name)
        with atomic_write(self.folder / PROMPTS) as file:
            np.save(file, prompt_embeddings.astype(np.float32), allow_pickle=False)
        self._manifest(take_checksum(self.folder / PROMPTS)).write(self.folder)

    def _manifest(self, prompts: Checksum) -> Manifest:
        return Manifest(self.settings, self.shard_size, len(self.dataset_dicts), prompts)

    def _remove_stale(self, *, with_patch_grids: bool = False) -> list[str]:
        """Remove what a killed run left, and shards that are damaged or do not fit the data set.

        Args:
            with_patch_grids: compare the patch grids with their checksums, too.

        Returns:
            A sentence about each image of which a shard holds something else.
        """
        stale = []
        for folder in sorted((self.folder / "shards").glob("*")):
            if folder.name.startswith(PARTIAL_PREFIX):
                shutil.rmtree(folder)
                continue
            differences = self._differences(folder, with_patch_grids)
            if differences:
                stale += differences
                _remove_whole(folder)
        return stale

    def _differences(self, folder: Path, with_patch_grids: bool) -> list[str]:
        try:
            dataset_dicts = self.shard_dicts(int(folder.name))
            shard = Shard(folder, self.settings)
            if with_patch_grids:
                _ = shard.patch_grids
        except (InputError, ValueError):
            return [f"shard {folder} is damaged"]
        if shard.keys.tolist() != [image_key(d["image_id"]) for d in dataset_dicts]:
            return [f"shard {folder} holds other images"]
        differences = ((d, shard.difference(row, d)) for row, d in enumerate(dataset_dicts))
        return [f"{d['image_id']!r} ({d['file_name']}) {text}" for d, text in differences if text]


def _remove_special_file(path: Path) -> None:
    """Remove a link, a pipe or the like in place of a store's file, which no write replaces."""
    if path.is_symlink() or (path.exists() and not path.is_file() and not path.is_dir()):
        path.unlink()


def _remove_whole(folder: Path) -> None:
    """Remove a shard at once: it is there as a whole or not at all."""
    if folder.is_symlink() or not folder.is_dir():
        folder.unlink()
        return
    partial = folder.with_name(f"{PARTIAL_PREFIX}{folder.name}")
    folder.rename(partial)
    shutil.rmtree(partial)


def _check_ids(dataset_dicts: Sequence[dict[str, Any]]) -> None:
    seen: dict[bytes, str] = {}
    for dataset_dict in dataset_dicts:
        key = image_key(dataset_dict["image_id"])
        if key in seen:
            raise InputError(
                f"images {seen[key]} and {dataset_dict['file_name']} have the same image_id "
                f"{dataset_dict['image_id']!r}: make a store for each data set"
            )
        seen[key] = dataset_dict["file_name"]
