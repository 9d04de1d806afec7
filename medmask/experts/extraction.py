"""Running an expert over a whole data set, on any number of processes, into a store."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from detectron2.utils import comm
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from medmask.data.dataset_dicts import read_dataset_image
from medmask.errors import InputError
from medmask.experts.manifest import StoreSettings
from medmask.experts.open_clip_expert import OpenClipExpert
from medmask.experts.preprocessing import ExpertPreprocessing, check_crop_context, lesion_crop
from medmask.experts.prompts import DEFAULT_PROMPTS, Prompts
from medmask.experts.records import FileSignature, lesion_boxes, sign_file
from medmask.experts.shard import ImageEmbeddings
from medmask.experts.store_writer import StoreWriter

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExtractionSettings:
    """How to run an expert.

    Attributes:
        prompts: the texts to embed.
        crop_context: side of a lesion's crop relative to the longer side of its box.
        with_patch_grid: store the patch tokens, where the expert has any. They take most of the
            space: 300 kB an image for a ViT-B/16 at 224 pixels in half precision.
        dtype: of the stored numbers, "float16" or "float32".
        batch_size: views (images or crops) the expert sees at once.
        shard_size: images a shard; what a killed process does again is one shard at most.
        num_workers: worker processes that read and prepare images; 0 does so in the process itself.

    Raises:
        InputError: a value is out of range.
    """

    prompts: Prompts = DEFAULT_PROMPTS
    crop_context: float = 2.0
    with_patch_grid: bool = True
    dtype: str = "float16"
    batch_size: int = 32
    shard_size: int = 256
    num_workers: int = 4

    def __post_init__(self) -> None:
        check_crop_context(self.crop_context)
        if self.batch_size < 1:
            raise InputError(f"batch size is {self.batch_size}: give 1 or more")
        if self.num_workers < 0:
            raise InputError(f"the number of workers is {self.num_workers}: give 0 or more")


class ExtractionSummary(NamedTuple):
    """What a run of all processes did."""

    images: int  # embedded by this run; those of finished shards do not count
    seconds: float


def extract_embeddings(
    expert: OpenClipExpert,
    records: Sequence[dict],
    folder: Path,
    settings: ExtractionSettings,
    *,
    overwrite: bool = False,
) -> ExtractionSummary:
    """Bring the store of a data set up to date; every process of the run calls this.

    Shards that are there and fit the records are kept, so a run that was killed goes on, and a
    data set of which some images or boxes changed is done again in the shards of these only.

    Args:
        expert: loaded in each process.
        records: of one data set, in Detectron2's format.
        folder: of the store.
        settings: how to do it.
        overwrite: replace a store that was made in another way.

    Raises:
        InputError: an image cannot be read or is not of the recorded size, the folder holds
            something else, or a store that was made in another way. All processes raise it.
    """
    start = time.perf_counter()
    has_patches = settings.with_patch_grid and expert.patch_grid is not None
    writer = StoreWriter(
        folder, _store_settings(expert, settings, has_patches), records, settings.shard_size
    )
    prompt_embeddings = expert.encode_texts(settings.prompts.texts)
    _together(lambda: writer.prepare(prompt_embeddings, overwrite=overwrite), on_rank=0)
    # all look before any writes
    todo = writer.open_shards()
    comm.synchronize()
    todo = todo[comm.get_rank() :: comm.get_world_size()]
    _together(lambda: _embed_shards(expert, writer, todo, settings, has_patches))
    _together(writer.finalise, on_rank=0)
    images = sum(len(writer.shard_records(number)) for number in todo)
    return ExtractionSummary(sum(comm.all_gather(images)), time.perf_counter() - start)


def _store_settings(
    expert: OpenClipExpert, settings: ExtractionSettings, has_patches: bool
) -> StoreSettings:
    return StoreSettings(
        model=expert.name,
        weights_sha256=expert.weights_sha256,
        embedding_dim=expert.embedding_dim,
        patch_grid=expert.patch_grid if has_patches else None,
        logit_scale=expert.logit_scale,
        preprocessing=expert.preprocessing.describe(settings.crop_context),
        prompts=settings.prompts,
        dtype=settings.dtype,
    )


def _together(work: Callable[[], None], on_rank: int | None = None) -> None:
    """Do work in one process or in all; if it fails in one, raise its InputError in all.

    Without this the others would wait for it for ever.
    """
    error = None
    if on_rank is None or comm.get_rank() == on_rank:
        try:
            work()
        except InputError as raised:
            error = raised
    for raised in comm.all_gather(error):
        if raised is not None:
            raise raised


def _embed_shards(
    expert: OpenClipExpert,
    writer: StoreWriter,
    numbers: Sequence[int],
    settings: ExtractionSettings,
    has_patches: bool,
) -> None:
    """Embed shards and write each when its last image is done."""
    samples = _load(writer, numbers, expert.preprocessing, settings)
    total = sum(len(writer.shard_records(number)) for number in numbers)
    with tqdm(
        total=total, unit="image", desc=writer.folder.name, disable=comm.get_rank() != 0
    ) as bar:
        for number in numbers:
            entries: list[ImageEmbeddings] = []
            while len(entries) < len(writer.shard_records(number)):
                batch = next(samples)
                entries += _embed(expert, batch, settings.batch_size, has_patches)
                bar.update(len(batch))
            _check_finite(writer.shard_records(number), entries, settings.dtype)
            writer.write(number, entries)


class _Sample(NamedTuple):
    """An image, ready for the expert."""

    signature: FileSignature
    image: torch.Tensor  # (3, height, width)
    crops: torch.Tensor  # (T, 3, height, width)


def _embed(
    expert: OpenClipExpert, batch: Sequence[_Sample], batch_size: int, has_patches: bool
) -> list[ImageEmbeddings]:
    images = torch.stack([sample.image for sample in batch])
    if has_patches:
        embeddings, grids = expert.encode_images_and_patches(images)
    else:
        embeddings, grids = expert.encode_images(images), [None] * len(batch)
    crops = torch.cat([sample.crops for sample in batch])
    parts = [expert.encode_images(part) for part in crops.split(batch_size) if len(part)]
    lesions = np.concatenate([np.empty((0, expert.embedding_dim), np.float32), *parts])
    ends = np.cumsum([len(sample.crops) for sample in batch])
    return [
        ImageEmbeddings(sample.signature, embedding, image_lesions, grid)
        for sample, embedding, image_lesions, grid in zip(
            batch, embeddings, np.split(lesions, ends[:-1]), grids, strict=True
        )
    ]


def _check_finite(records: Sequence[dict], entries: Sequence[ImageEmbeddings], dtype: str) -> None:
    for record, entry in zip(records, entries, strict=True):
        arrays = (entry.image_embedding, entry.lesion_embeddings, entry.patch_grid)
        with np.errstate(over="ignore"):
            finite = all(np.isfinite(a.astype(dtype)).all() for a in arrays if a is not None)
        if not finite:
            raise InputError(
                f"the expert gives numbers that {dtype} cannot hold for image "
                f"{record['file_name']}: use --device cpu or --dtype float32"
            )


def _load(
    writer: StoreWriter,
    numbers: Sequence[int],
    preprocessing: ExpertPreprocessing,
    settings: ExtractionSettings,
) -> Iterator[list[_Sample]]:
    """Batches of the shards' images in order; a batch never holds images of two shards."""
    records: list[dict] = []
    batches: list[list[int]] = []
    for number in numbers:
        first = len(records)
        records += writer.shard_records(number)
        for start in range(first, len(records), settings.batch_size):
            batches.append(list(range(start, min(start + settings.batch_size, len(records)))))
    loader = DataLoader(
        _Views(records, preprocessing, settings.crop_context),
        batch_sampler=batches,
        collate_fn=list,
        num_workers=settings.num_workers,
        worker_init_fn=_init_worker,
    )
    for batch in loader:
        for sample in batch:
            if isinstance(sample, InputError):
                raise sample
        yield batch


class _Views(Dataset):
    """The images and lesion crops of records.

    An InputError is given in place of a sample: raised in a worker, it would reach the user inside
    the worker's traceback.
    """

    def __init__(
        self, records: Sequence[dict], preprocessing: ExpertPreprocessing, crop_context: float
    ) -> None:
        self.records = records
        self.preprocessing = preprocessing
        self.crop_context = crop_context

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> _Sample | InputError:
        try:
            return self._sample(self.records[index])
        except InputError as error:
            return error

    def _sample(self, record: dict[str, Any]) -> _Sample:
        signature = sign_file(record["file_name"])
        image = read_dataset_image(record)
        crops = [
            self.preprocessing(lesion_crop(image, box, self.crop_context))
            for box in lesion_boxes(record)
        ]
        no_crops = torch.empty(0, 3, *self.preprocessing.size)
        return _Sample(
            signature, self.preprocessing(image), torch.stack(crops) if crops else no_crops
        )


def _init_worker(worker_id: int) -> None:
    cv2.setNumThreads(0)  # PyTorch sees to its own threads in workers
