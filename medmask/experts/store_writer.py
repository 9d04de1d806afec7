"""Writing an expert store, shard by shard, so that a run that dies goes on where it stopped."""

import contextlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from medmask.errors import InputError
from medmask.experts.checksums import Checksum, check_content, take_checksum
from medmask.experts.manifest import MANIFEST, Manifest, StoreSettings, read_manifest
from medmask.experts.records import image_key
from medmask.experts.shard import (
    PARTIAL_PREFIX,
    ImageEmbeddings,
    ShardFormat,
    read_checksums,
    write_shard,
)
from medmask.experts.shard_reader import Shard
from medmask.experts.store import INDEX, PROMPTS, name_first, shard_folder, shard_format
from medmask.utils.files import atomic_write


class StoreWriter:
    """Brings the store of one data set up to date.

    Shard i holds the records i * ``shard_size`` to (i + 1) * ``shard_size`` - 1. One process calls
    :meth:`prepare`; then any number of processes write the :meth:`open_shards`, each shard once;
    then one calls :meth:`finalise`.

    Args:
        folder: of the store.
        settings: how it is made.
        records: of the whole data set, at least one.
        shard_size: images a shard, at least 1.

    Raises:
        InputError: ``shard_size`` is out of range, or two records have the same image id.
    """

    def __init__(
        self, folder: Path, settings: StoreSettings, records: Sequence[dict], shard_size: int
    ) -> None:
        if shard_size < 1:
            raise InputError(f"shard size is {shard_size}: give 1 or more")
        _check_ids(records)
        self.folder = folder
        self.settings = settings
        self.records = records
        self.shard_size = shard_size

    @property
    def number_of_shards(self) -> int:
        return -(-len(self.records) // self.shard_size)

    def shard_records(self, number: int) -> Sequence[dict]:
        """The records of a shard."""
        return self.records[number * self.shard_size : (number + 1) * self.shard_size]

    def prepare(self, prompt_embeddings: np.ndarray, *, overwrite: bool = False) -> None:
        """Claim the folder, and remove what is damaged, left of a killed run, or out of date.

        Every file of a store that is there is read once, to compare it with its checksum.

        Args:
            prompt_embeddings: (K, D), of the prompts in ``settings``.
            overwrite: replace a store that was made in another way.

        Raises:
            InputError: the folder holds something else, or a store that was made in another way and
                ``overwrite`` is off.
        """
        with self._writing():
            self._claim(overwrite)
            self._remove_stale(with_patch_grids=True)
            if self.open_shards() or not self._is_complete():
                self._write_manifest(complete=False)
                with atomic_write(self.folder / PROMPTS) as file:
                    np.save(file, prompt_embeddings.astype(np.float32), allow_pickle=False)

    def open_shards(self) -> list[int]:
        """Numbers of the shards that are not written yet."""
        numbers = range(self.number_of_shards)
        return [n for n in numbers if not shard_folder(self.folder, n).exists()]

    def write(self, number: int, entries: Sequence[ImageEmbeddings]) -> None:
        """Write a shard, as a whole or not at all.

        Args:
            number: of the shard.
            entries: one per record of the shard, in their order.

        Raises:
            InputError: the disk is full or may not be written to.
        """
        with self._writing():
            records = self.shard_records(number)
            write_shard(shard_folder(self.folder, number), records, entries, self.settings.dtype)

    def finalise(self) -> None:
        """Write the index and declare the store complete.

        Raises:
            InputError: images changed while they were embedded; their shards are open again.
        """
        with self._writing():
            if self._is_complete():
                return
            stale = self._remove_stale()
            if stale:
                raise InputError(
                    f"{len(stale)} images changed while they were embedded; run this again: "
                    f"{name_first(stale)}"
                )
            folders = [shard_folder(self.folder, n) for n in range(self.number_of_shards)]
            checksums = {folder: read_checksums(folder) for folder in folders}
            shards = [Shard(folder, checksums[folder], self._form) for folder in folders]
            with atomic_write(self.folder / INDEX) as file:
                np.save(file, _build_index(shards), allow_pickle=False)
            paths = {
                folder / name: x for folder in folders for name, x in checksums[folder].items()
            }
            paths |= {path: take_checksum(path) for path in self._top_files}
            self._write_manifest(
                complete=True,
                lesions=sum(shard.number_of_lesions for shard in shards),
                checksums={str(p.relative_to(self.folder)): x for p, x in paths.items()},
            )

    @property
    def _top_files(self) -> list[Path]:
        return [self.folder / PROMPTS, self.folder / INDEX]

    @property
    def _form(self) -> ShardFormat:
        return shard_format(self.settings.to_json())

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn errors of the file system into sentences."""
        try:
            yield
        except OSError as error:
            raise InputError(
                f"cannot write the expert store {self.folder}: {error.strerror or error}"
            ) from error

    def _claim(self, overwrite: bool) -> None:
        # a process that was killed early may have left a temporary file, whose name has a dot
        if not self.folder.exists() or all(p.name[0] == "." for p in self.folder.iterdir()):
            return
        if not (self.folder / MANIFEST).exists():
            raise InputError(f"{self.folder} exists and holds no expert store: name another folder")
        if overwrite:
            # in this order: whenever this is killed, no reader takes the rest for a store, and the
            # old manifest, which tells that the folder is ours, goes with old shards only
            (self.folder / INDEX).unlink(missing_ok=True)
            _remove_odd(self.folder / MANIFEST)
            shutil.rmtree(self.folder / "shards", ignore_errors=True)
            self._write_manifest(complete=False)
            return
        present = read_manifest(self.folder)
        wanted = {**self.settings.to_json(), "shard_size": self.shard_size}
        found = {**present.settings, "shard_size": present.shard_size}
        different = [key for key in wanted if found.get(key) != wanted[key]]
        if different:
            raise InputError(
                f"the expert store {self.folder} was made with another {', '.join(different)}: "
                "name another folder, or pass --overwrite to replace it"
            )

    def _remove_stale(self, *, with_patch_grids: bool = False) -> list[str]:
        """Remove what a killed run left, and shards that are damaged or do not fit the records.

        Args:
            with_patch_grids: compare the patch grids with their checksums too, not their sizes
                alone.

        Returns:
            Sentences about the images of which finished shards hold something else.
        """
        for path in self._top_files:
            _remove_odd(path)
        for name in (MANIFEST, PROMPTS, INDEX):
            for temporary in self.folder.glob(f".{name}.*"):
                temporary.unlink()
        stale = []
        for folder in sorted((self.folder / "shards").glob("*")):
            if folder.name.startswith(PARTIAL_PREFIX):
                shutil.rmtree(folder)
                continue
            differences = self._differences(folder, with_patch_grids)
            if differences:
                stale += differences
                # from now on until finalise() the store is not whole
                self._write_manifest(complete=False)
                _remove_whole(folder)
        return stale

    def _differences(self, folder: Path, with_patch_grids: bool) -> list[str]:
        try:
            shard = Shard(folder, read_checksums(folder), self._form)
            if with_patch_grids:
                _ = shard.patch_grids
            records = self.shard_records(int(folder.name))
        except (InputError, ValueError):
            return [f"shard {folder} is damaged"]
        keys = [image_key(record["image_id"]) for record in records]
        if list(shard.keys) != keys:
            return [f"shard {folder} holds other images"]
        differences = ((r, shard.difference(row, r)) for row, r in enumerate(records))
        return [f"{r['image_id']!r} ({r['file_name']}) {d}" for r, d in differences if d]

    def _is_complete(self) -> bool:
        """Whether the manifest says so, and lists the shards and the top files as they are."""
        if not (self.folder / MANIFEST).exists():
            return False
        try:
            manifest = read_manifest(self.folder)
            if not manifest.complete:
                return False
            for path in self._top_files:
                check_content(path, manifest.checksums[path.name])
            for number in range(self.number_of_shards):
                folder = shard_folder(self.folder, number)
                for name, checksum in read_checksums(folder).items():
                    path = (folder / name).relative_to(self.folder)
                    if manifest.checksums[str(path)] != checksum:
                        return False
        except (InputError, KeyError):
            return False
        return manifest.number_of_shards == self.number_of_shards

    def _write_manifest(
        self,
        *,
        complete: bool,
        lesions: int = 0,
        checksums: Mapping[str, Checksum] | None = None,
    ) -> None:
        Manifest(
            settings=self.settings.to_json(),
            shard_size=self.shard_size,
            images=len(self.records),
            lesions=lesions,
            complete=complete,
            checksums=dict(checksums or {}),
        ).write(self.folder)


def _remove_odd(path: Path) -> None:
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


def _check_ids(records: Sequence[dict]) -> None:
    seen: dict[bytes, str] = {}
    for record in records:
        key = image_key(record["image_id"])
        if key in seen:
            raise InputError(
                f"images {seen[key]} and {record['file_name']} have the same image_id "
                f"{record['image_id']!r}: make a store for each data set"
            )
        seen[key] = record["file_name"]


def _build_index(shards: Sequence[Shard]) -> np.ndarray:
    """(images,) where each image is, sorted by key."""
    keys = np.concatenate([shard.keys for shard in shards])  # padded to the longest
    index = np.zeros(len(keys), [("key", keys.dtype), ("shard", "<i4"), ("row", "<i4")])
    index["key"] = keys
    index["shard"] = np.repeat(np.arange(len(shards)), [len(shard.keys) for shard in shards])
    index["row"] = np.concatenate([np.arange(len(shard.keys)) for shard in shards])
    return index[np.argsort(keys)]
