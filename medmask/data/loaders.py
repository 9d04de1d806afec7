"""Loaders of training and test samples."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol, runtime_checkable

from detectron2.data import DatasetCatalog, MapDataset, MetadataCatalog
from detectron2.data.common import DatasetFromList
from detectron2.data.samplers import InferenceSampler
from detectron2.utils import comm
from torch.utils.data import DataLoader

from medmask.data.catalog import check_registered
from medmask.data.dataset_dicts import has_lesions
from medmask.data.image_order import LesionShareOrder
from medmask.data.label_fraction import select_share_of_patients
from medmask.data.mapper_errors import map_image
from medmask.data.sample_mix import SampleMix
from medmask.data.sample_stream import GlobalBatchSampler, SampleStream
from medmask.data.worker_loader import Batch, WorkerLoader
from medmask.errors import InputError

Mapper = Callable[[dict[str, Any]], dict[str, Any]]
"""From a dataset dict to a sample."""


@runtime_checkable
class ResumableLoader(Protocol):
    """An endless source of batches that can start anywhere."""

    def iterate_from(self, iteration: int) -> Iterable[Batch]:
        """The batches of the iterations ``iteration``, ``iteration + 1``, ..."""
        ...


class TrainLoader:
    """Batches of a sample stream, from any iteration on.

    Args:
        stream: the samples by index.
        total_batch_size: images an iteration over all processes.
        num_workers: worker processes of this process; 0 loads in the process itself.
    """

    def __init__(self, stream: SampleStream, *, total_batch_size: int, num_workers: int) -> None:
        self.stream = stream
        self.total_batch_size = total_batch_size
        self.num_workers = num_workers

    def iterate_from(self, iteration: int) -> Iterator[Batch]:
        """This process's batches of ``iteration``, ``iteration`` + 1, ..., without end.

        A run that resumes at an iteration gets the very batches that it would have got.

        Raises:
            InputError: a sample cannot be loaded (raised by the iterator).
        """
        sampler = GlobalBatchSampler(
            iteration, self.total_batch_size, comm.get_rank(), comm.get_world_size()
        )
        return iter(WorkerLoader(self.stream, batch_sampler=sampler, num_workers=self.num_workers))

    def __iter__(self) -> Iterator[Batch]:
        return self.iterate_from(0)

    @property
    def batches_per_epoch(self) -> int:
        """Batches of as many samples as the data set has images, rounded up."""
        return math.ceil(len(self.stream.dataset_dicts) / self.total_batch_size)


def build_train_loader(
    *,
    dataset: str | Sequence[str],
    mapper: Mapper,
    total_batch_size: int,
    num_workers: int,
    seed: int,
    label_fraction: float = 1.0,
    label_seed: int = 0,
    mix: SampleMix | None = None,
    lesion_share: float | None = None,
) -> TrainLoader:
    """Build the loader of one or several data sets; images without lesions are kept.

    Args:
        dataset: name or names of registered data sets; several are joined.
        mapper: turns a dataset dict into a sample.
        total_batch_size: images an iteration over all processes.
        num_workers: worker processes of each process.
        seed: of the order of the samples and of their augmentation.
        label_fraction: share of the patients whose images are used, in (0, 1]; see
            :func:`medmask.data.label_fraction.select_share_of_patients`.
        label_seed: chooses these patients. It is not ``seed``, so that runs of several seeds have
            the same labels.
        mix: changes some samples by one of another image.
        lesion_share: share of the samples whose images have lesions, in (0, 1]; None: as many as in
            the data set. See :class:`medmask.data.image_order.LesionShareOrder`.

    Raises:
        InputError: a name is unknown, a data set is empty or broken, several do not have the same
            classes, the batch does not divide by the number of processes, or ``label_fraction`` is
            out of range or leaves no patient with lesions, or ``lesion_share`` or ``mix`` asks for
            images that there are none of.
    """
    world_size = comm.get_world_size()
    if total_batch_size < 1 or total_batch_size % world_size:
        raise InputError(
            f"total_batch_size is {total_batch_size}, but must be a positive multiple of the "
            f"number of processes ({world_size})"
        )
    chosen = select_share_of_patients(load_dataset_dicts(dataset), label_fraction, label_seed)
    order = None
    if lesion_share is not None:
        order = LesionShareOrder([has_lesions(d) for d in chosen], lesion_share, seed)
    stream = SampleStream(DatasetFromList(chosen, copy=False), mapper, seed, mix=mix, order=order)
    return TrainLoader(stream, total_batch_size=total_batch_size, num_workers=num_workers)


def build_test_loader(
    *, dataset: str | Sequence[str], mapper: Mapper, num_workers: int, batch_size: int = 1
) -> DataLoader:
    """Build a loader that gives every image once, in order, split over the processes.

    Args:
        dataset: name or names of registered data sets; several are joined.
        mapper: turns a dataset dict into a sample.
        num_workers: worker processes of each process.
        batch_size: images a batch, in each process.

    Raises:
        InputError: as :func:`build_train_loader`; the iterator raises it for a sample that cannot
            be loaded.
    """
    dataset_dicts = DatasetFromList(load_dataset_dicts(dataset), copy=False)
    return WorkerLoader(
        MapDataset(dataset_dicts, partial(map_image, mapper)),
        sampler=InferenceSampler(len(dataset_dicts)),
        batch_size=batch_size,
        num_workers=num_workers,
    )


def load_dataset_dicts(dataset: str | Sequence[str]) -> list[dict]:
    """Load registered data sets.

    Args:
        dataset: a name, or several, whose images are joined.

    Returns:
        Dicts in Detectron2's format, one an image.

    Raises:
        InputError: a name is unknown, a data set is empty or broken, or the classes differ.
    """
    names = [dataset] if isinstance(dataset, str) else list(dataset)
    if not names:
        raise InputError("no data set is given; name at least one")
    dataset_dicts = []
    for name in names:
        check_registered(name)
        loaded = DatasetCatalog.get(name)
        if not loaded:
            raise InputError(f"data set '{name}' holds no images")
        dataset_dicts += loaded
    first, *others = (MetadataCatalog.get(name).thing_classes for name in names)
    for name, classes in zip(names[1:], others, strict=True):
        if classes != first:
            raise InputError(
                f"data sets '{names[0]}' and '{name}' have different classes, {first} and "
                f"{classes}, and cannot be joined"
            )
    return dataset_dicts
