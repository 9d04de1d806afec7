"""Running an expert over a whole data set, on any number of processes, into a store."""

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from detectron2.utils import comm

from medmask.errors import InputError
from medmask.experts.expert import Expert
from medmask.experts.expert_inputs import ExpertInput, ExpertInputs, load_batches
from medmask.experts.manifest import StoreSettings
from medmask.experts.preprocessing import check_crop_context
from medmask.experts.prompts import DEFAULT_PROMPTS, Prompts
from medmask.experts.shard import ImageEmbeddings
from medmask.experts.store_writer import StoreWriter
from medmask.utils.progress import Progress
from medmask.utils.shared_failure import raise_together


@dataclass(frozen=True)
class ExtractionSettings:
    """Options of running an expert over a data set.

    Attributes:
        prompts: the texts to embed.
        crop_context: side of a lesion's crop relative to the longer side of its box.
        with_patch_grid: store the patch tokens, where the expert has any. They take most of the
            space: 300 kB an image for a ViT-B/16 at 224 pixels in half precision.
        breast_crop: show the expert the image as cropped to the breast, as training may be.
        breast_window: map the gray levels of the breast to [0, 255], likewise.
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
    breast_crop: bool = False
    breast_window: bool = False
    dtype: str = "float16"
    batch_size: int = 32
    shard_size: int = 256
    num_workers: int = 4

    def __post_init__(self) -> None:
        check_crop_context(self.crop_context)
        if self.batch_size < 1:
            raise InputError(f"batch size is {self.batch_size}: give 1 or more")
        if self.shard_size < 1:
            raise InputError(f"shard size is {self.shard_size}: give 1 or more")
        if self.num_workers < 0:
            raise InputError(f"the number of workers is {self.num_workers}: give 0 or more")


class ExtractionSummary(NamedTuple):
    """The outcome of a run of all processes."""

    images: int  # embedded by this run; those of finished shards do not count
    seconds: float


def extract_embeddings(
    expert: Expert,
    dataset_dicts: Sequence[dict[str, Any]],
    folder: Path,
    settings: ExtractionSettings,
    *,
    overwrite: bool = False,
) -> ExtractionSummary:
    """Bring the store of a data set up to date; every process of the run calls this.

    Shards that are there and fit the data set are kept, so a run that was killed goes on, and a
    data set of which some images or boxes changed is done again in the shards of these only.

    Args:
        expert: loaded in each process.
        dataset_dicts: of one data set.
        folder: of the store.
        settings: of the extraction.
        overwrite: replace a store that was made with other settings.

    Raises:
        InputError: an image cannot be read or is not of the recorded size, the folder holds
            something else, or a store that was made with other settings, or another run is writing
            it. All processes raise it.
    """
    start = time.perf_counter()
    store_settings = _store_settings(expert, settings)
    writer = StoreWriter(folder, store_settings, dataset_dicts, settings.shard_size)
    prompt_embeddings = np.empty((0, expert.embedding_dim), np.float32)
    if store_settings.prompts is not None:
        prompt_embeddings = expert.encode_texts(store_settings.prompts.texts)
    with contextlib.ExitStack() as stack:
        _in_main_process(lambda: stack.enter_context(writer.locked()))
        _in_main_process(lambda: writer.prepare(prompt_embeddings, overwrite=overwrite))
        # all look before any writes
        open_shards = writer.open_shards()
        comm.synchronize()
        numbers = open_shards[comm.get_rank() :: comm.get_world_size()]
        _together(lambda: _embed_shards(expert, writer, numbers, settings))
        _in_main_process(writer.finish)
    images = sum(len(writer.shard_dicts(number)) for number in open_shards)
    return ExtractionSummary(images, time.perf_counter() - start)


def _store_settings(expert: Expert, settings: ExtractionSettings) -> StoreSettings:
    return StoreSettings(
        model=expert.name,
        weights_sha256=expert.weights_sha256,
        embedding_dim=expert.embedding_dim,
        patch_grid=expert.patch_grid if settings.with_patch_grid else None,
        logit_scale=expert.logit_scale,
        preprocessing=expert.preprocessing.describe(
            settings.crop_context,
            breast_crop=settings.breast_crop,
            breast_window=settings.breast_window,
        ),
        prompts=None if expert.logit_scale is None else settings.prompts,
        dtype=settings.dtype,
    )


def _together(work: Callable[[], None]) -> None:
    """Do work in all processes; if it fails in one, all raise."""
    failure = None
    try:
        work()
    except Exception as error:
        failure = error
    raise_together(failure)


def _in_main_process(work: Callable[[], None]) -> None:
    """Do work in one process while the others wait; if it fails, all raise."""
    _together(work if comm.is_main_process() else lambda: None)


def _embed_shards(
    expert: Expert,
    writer: StoreWriter,
    numbers: Sequence[int],
    settings: ExtractionSettings,
) -> None:
    """Embed shards and write each when its last image is done."""
    dataset_dicts = [d for number in numbers for d in writer.shard_dicts(number)]
    sizes = [len(writer.shard_dicts(number)) for number in numbers]
    inputs = ExpertInputs(
        dataset_dicts,
        expert.preprocessing,
        settings.crop_context,
        breast_crop=settings.breast_crop,
        breast_window=settings.breast_window,
    )
    batches = load_batches(inputs, sizes, settings.batch_size, settings.num_workers)
    with_patches = writer.settings.patch_grid is not None
    with Progress(
        writer.folder.name, len(inputs), "image", show_progress=comm.is_main_process()
    ) as progress:
        for number, size in zip(numbers, sizes, strict=True):
            embeddings: list[ImageEmbeddings] = []
            while len(embeddings) < size:
                batch = next(batches)
                embeddings += _embed(expert, batch, settings.batch_size, with_patches)
                progress.advance(len(batch))
            writer.write(number, embeddings)


def _embed(
    expert: Expert, batch: Sequence[ExpertInput], batch_size: int, with_patches: bool
) -> list[ImageEmbeddings]:
    images = torch.stack([item.image for item in batch])
    grids: Iterable[np.ndarray | None]
    if with_patches:
        embeddings, grids = expert.encode_images_and_patches(images)
    else:
        embeddings, grids = expert.encode_images(images), [None] * len(batch)
    crops = torch.cat([item.crops for item in batch])
    parts = [expert.encode_images(part) for part in crops.split(batch_size) if len(part)]
    lesions = np.concatenate([np.empty((0, expert.embedding_dim), np.float32), *parts])
    ends = np.cumsum([len(item.crops) for item in batch])
    return [
        ImageEmbeddings(item.signature, embedding, image_lesions, grid, item.view)
        for item, embedding, image_lesions, grid in zip(
            batch, embeddings, np.split(lesions, ends[:-1]), grids, strict=True
        )
    ]
