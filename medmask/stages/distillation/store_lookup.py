"""Lookup of the expert's embeddings of training samples in the stores."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from detectron2.utils import comm

from medmask.data.dataset_dicts import patient_of
from medmask.errors import InputError
from medmask.experts import ExpertStore, join_first
from medmask.modeling.matcher import Matches
from medmask.stages.distillation.heads import ExpertEmbeddings
from medmask.stages.distillation.patch_targets import ExpertPatches
from medmask.utils.counts import counted

logger = logging.getLogger(__name__)


class _Place(NamedTuple):
    """The store of a training image, and its keys: numbers of images and annotations, from 0."""

    store: ExpertStore
    image_id: int | str
    image_key: int
    first_lesion_key: int
    patient_key: int


class ExpertLookup:
    """The embeddings of a training set's images and lesions.

    Args:
        stores: of one expert; each image is in one of them, which its id and its content tell.
        records: of the training set, in Detectron2's format.
        key: of the hook in the config, for messages.
        skip_missing: whether images may be missing from all stores; their number is logged.
        same_patient_negatives: whether images and lesions of one patient have keys of their own;
            else they have the patient's, by which they are no negatives of each other.

    Raises:
        InputError: images are missing, or they or their boxes have changed since the store was
            made; or all are missing. All processes raise it.
    """

    def __init__(
        self,
        stores: Sequence[ExpertStore],
        records: Iterable[dict[str, Any]],
        key: str,
        skip_missing: bool,
        same_patient_negatives: bool = True,
    ) -> None:
        self.embedding_dim = stores[0].settings.embedding_dim
        self._skip_missing = skip_missing
        self._same_patient_negatives = same_patient_negatives
        patients: dict[str, int] = {}
        self._places: dict[str, _Place] = {}
        missing = []
        by_store: dict[ExpertStore, list[dict]] = {store: [] for store in stores}
        lesion_key = 0
        for image_key, record in enumerate(records):
            name, image_id = record["file_name"], record["image_id"]
            store = store_of(record, stores)
            if store is None:
                missing.append(f"{image_id!r} ({name})")
            else:
                by_store[store].append(record)
                self._places[name] = _Place(
                    store,
                    image_id,
                    image_key,
                    lesion_key,
                    patients.setdefault(patient_of(record), len(patients)),
                )
            lesion_key += len(record["annotations"])
        if missing:
            _report_missing(missing, stores, key, may_be=skip_missing and bool(self._places))
        _check(by_store, key)

    def image_embeddings(self, samples: Sequence[dict[str, Any]]) -> ExpertEmbeddings:
        """The embeddings of the images of a batch, by index into the batch.

        Args:
            samples: with ``file_name``.

        Raises:
            InputError: an image is missing and must not be.
        """
        rows = []
        for index, sample in enumerate(samples):
            place = self._find(sample)
            if place is not None:
                embedding = place.store[place.image_id].image_embedding
                rows.append((index, embedding, self._key(place, place.image_key)))
        return self._to_tensors(rows)

    def lesion_embeddings(
        self, samples: Sequence[dict[str, Any]], matches: Matches
    ) -> ExpertEmbeddings:
        """The embeddings of the lesions that are matched, by index into the matches.

        Args:
            samples: a batch, with ``file_name`` and ``instances.gt_annotation_index``.
            matches: with the instances as targets.

        Raises:
            InputError: an image is missing and must not be, or the samples do not tell which
                annotations their instances are.
        """
        rows = []
        for index, (image, target) in enumerate(
            zip(matches.image.tolist(), matches.target.tolist(), strict=True)
        ):
            place = self._find(samples[image])
            if place is None:
                continue
            instances = samples[image]["instances"]
            if not instances.has("gt_annotation_index"):
                raise InputError(
                    "expert distillation needs instances.gt_annotation_index, which "
                    "dataloader.train.mapper does not give: use medmask.data.DetectionMapper"
                )
            annotation = int(instances.gt_annotation_index[target])
            embedding = place.store[place.image_id].lesion_embeddings[annotation]
            key = self._key(place, place.first_lesion_key + annotation)
            rows.append((index, embedding, key))
        return self._to_tensors(rows)

    def patches(self, samples: Sequence[dict[str, Any]]) -> list[ExpertPatches]:
        """The patch grids of the images of a batch.

        Args:
            samples: with ``file_name``, ``image`` and ``to_original``.

        Raises:
            InputError: an image is missing and must not be, its patches are damaged, or no matrix
                leads from the sample to the original image.
        """
        found = []
        for index, sample in enumerate(samples):
            place = self._find(sample)
            if place is None:
                continue
            if sample.get("to_original") is None:
                raise InputError(
                    f"image {sample['file_name']} comes without the matrix to_original that dense "
                    "distillation needs: take medmask.data.DetectionMapper as "
                    "dataloader.train.mapper, with flips, crops, resizes and rotations alone"
                )
            entry = place.store[place.image_id]
            grid = torch.from_numpy(np.array(entry.patch_grid, np.float32))
            size = tuple(sample["image"].shape[-2:])
            found.append(ExpertPatches(index, grid, entry.view, sample["to_original"], size))
        return found

    def _find(self, sample: dict[str, Any]) -> _Place | None:
        place = self._places.get(sample["file_name"])
        if place is None and not self._skip_missing:
            raise InputError(
                f"image {sample['file_name']} is trained on, but is not one of "
                "dataloader.train's that were looked up in the expert stores"
            )
        return place

    def _key(self, place: _Place, own: int) -> int:
        """Choose between the key of an image or lesion itself and that of its patient."""
        return own if self._same_patient_negatives else place.patient_key

    def _to_tensors(self, rows: Sequence[tuple[int, np.ndarray, int]]) -> ExpertEmbeddings:
        index, embeddings, keys = zip(*rows, strict=True) if rows else ((), (), ())
        matrix = np.array(embeddings, np.float32).reshape(-1, self.embedding_dim)
        return ExpertEmbeddings(
            torch.tensor(index, dtype=torch.int64),
            torch.from_numpy(matrix),
            torch.tensor(keys, dtype=torch.int64),
        )


def store_of(record: dict[str, Any], stores: Sequence[ExpertStore]) -> ExpertStore | None:
    """The store that holds an image; where data sets share ids, the content decides."""
    holding = [store for store in stores if record["image_id"] in store]
    for store in holding[:-1]:
        try:
            store.check([record])
        except InputError:
            continue
        return store
    return holding[-1] if holding else None


def _report_missing(
    images: Sequence[str], stores: Sequence[ExpertStore], key: str, *, may_be: bool
) -> None:
    folders = ", ".join(str(store.folder) for store in stores)
    what = (
        f"{counted(len(images), 'training image is', 'training images are')} not in the expert "
        f"stores ({folders}): {join_first(images)}"
    )
    if not may_be:
        raise InputError(
            f"{what}; run medmask extract-embeddings on their data set, or set "
            f"{key}.missing=skip if only some are missing"
        )
    logger.warning(f"{what}; the expert teaches nothing about these.")


def _check(by_store: dict[ExpertStore, list[dict]], key: str) -> None:
    """Check that images and boxes are what was embedded; each process checks a part of them."""
    error = None
    try:
        for store, records in by_store.items():
            store.check(records[comm.get_rank() :: comm.get_world_size()])
    except InputError as raised:
        error = raised
    for found in comm.all_gather(error):  # otherwise the others would wait for the one that stops
        if found is not None:
            raise InputError(f"{found} ({key}.stores must name a store of each labeled data set)")
