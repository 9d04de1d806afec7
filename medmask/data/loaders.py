"""Loaders of training and test samples."""

import math
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import cv2
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.common import DatasetFromList
from detectron2.data.samplers import InferenceSampler
from detectron2.utils import comm
from torch.utils.data import DataLoader, Dataset

from medmask.data.batch_transfer import pack, unpack
from medmask.data.catalog import check_registered
from medmask.data.label_fraction import select_share_of_patients
from medmask.data.sample_stream import PositionSampler, SampleStream
from medmask.errors import InputError

Mapper = Callable[[dict[str, Any]], dict[str, Any]]
Batch = list[dict[str, Any]]


@runtime_checkable
class ResumableLoader(Protocol):
    """An endless source of batches that can start anywhere."""

    def iterate_from(self, iteration: int) -> Iterable[list[dict]]:
        """The batches of the iterations ``iteration``, ``iteration + 1``, ..."""
        ...


class TrainLoader:
    """Batches of a sample stream, from any iteration on.

    Args:
        stream: the samples by position.
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
        sampler = PositionSampler(
            iteration, self.total_batch_size, comm.get_rank(), comm.get_world_size()
        )
        return iter(_Loader(self.stream, batch_sampler=sampler, num_workers=self.num_workers))

    def __iter__(self) -> Iterator[Batch]:
        return self.iterate_from(0)

    @property
    def batches_per_epoch(self) -> int:
        """Batches in which the data set is seen once; the last may hold images of the next."""
        return math.ceil(len(self.stream.records) / self.total_batch_size)


def build_train_loader(
    *,
    dataset: str | Sequence[str],
    mapper: Mapper,
    total_batch_size: int,
    num_workers: int,
    seed: int,
    label_fraction: float = 1.0,
    label_seed: int = 0,
) -> TrainLoader:
    """Build the loader of one or several data sets; images without lesions are kept.

    Args:
        dataset: name or names of registered data sets; several are joined.
        mapper: turns a record into a sample.
        total_batch_size: images an iteration over all processes.
        num_workers: worker processes of each process.
        seed: of the order of the samples and of their augmentation.
        label_fraction: share of the patients whose images are used, in (0, 1]; see
            :func:`medmask.data.label_fraction.select_share_of_patients`.
        label_seed: which patients these are. It is not ``seed``, so that runs of several seeds
            have the same labels.

    Raises:
        InputError: a name is unknown, a data set is empty or broken, several do not have the same
            classes, the batch does not divide by the number of processes, or ``label_fraction`` is
            out of range or leaves no patient with lesions.
    """
    world_size = comm.get_world_size()
    if total_batch_size < 1 or total_batch_size % world_size:
        raise InputError(
            f"total_batch_size is {total_batch_size}, but must be a positive multiple of the "
            f"number of processes ({world_size})"
        )
    records = select_share_of_patients(load_records(dataset), label_fraction, label_seed)
    stream = SampleStream(DatasetFromList(records, copy=False), mapper, seed)
    return TrainLoader(stream, total_batch_size=total_batch_size, num_workers=num_workers)


def build_test_loader(
    *, dataset: str | Sequence[str], mapper: Mapper, num_workers: int, batch_size: int = 1
) -> DataLoader:
    """Build a loader that gives every image once, in order, split over the processes.

    Args:
        dataset: name or names of registered data sets; several are joined.
        mapper: turns a record into a sample.
        num_workers: worker processes of each process.
        batch_size: images a batch, in each process.

    Raises:
        InputError: as :func:`build_train_loader`; the iterator raises it for a sample that cannot
            be loaded.
    """
    records = DatasetFromList(load_records(dataset), copy=False)
    return _Loader(
        _MappedRecords(records, mapper),
        sampler=InferenceSampler(len(records)),
        batch_size=batch_size,
        num_workers=num_workers,
    )


def load_records(dataset: str | Sequence[str]) -> list[dict]:
    """Load registered data sets.

    Args:
        dataset: a name, or several whose records are joined.

    Returns:
        Dicts in Detectron2's format.

    Raises:
        InputError: a name is unknown, a data set is empty or broken, or the classes differ.
    """
    names = [dataset] if isinstance(dataset, str) else list(dataset)
    if not names:
        raise InputError("no data set is given; name at least one")
    records = []
    for name in names:
        check_registered(name)
        loaded = DatasetCatalog.get(name)
        if not loaded:
            raise InputError(f"data set '{name}' holds no images")
        records += loaded
    first, *others = (MetadataCatalog.get(name).thing_classes for name in names)
    for name, classes in zip(names[1:], others, strict=True):
        if classes != first:
            raise InputError(
                f"data sets '{names[0]}' and '{name}' have different classes, {first} and "
                f"{classes}, and cannot be joined"
            )
    return records


class _MappedRecords(Dataset):
    def __init__(self, records: Sequence[dict], mapper: Mapper) -> None:
        self.records = records
        self.mapper = mapper

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.mapper(self.records[index])


class _InputErrorsAsSamples(Dataset):
    """Hands an InputError on as if it were a sample.

    An exception that leaves a worker reaches the user with the worker's traceback inside its
    message; one that travels as a sample can be raised again as it was.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any] | InputError:
        try:
            return self.dataset[index]
        except InputError as error:
            return error


class _Loader(DataLoader):
    """Lists of samples; an InputError of a worker is raised here as the worker raised it."""

    def __init__(self, dataset: Dataset, *, num_workers: int, **options: Any) -> None:
        super().__init__(
            _InputErrorsAsSamples(dataset),
            num_workers=num_workers,
            collate_fn=pack if num_workers else list,
            worker_init_fn=init_worker,
            # PyTorch draws a seed for each iterator; were it from the global generator, a run that
            # resumes, and so makes another iterator, would get other dropout than one that does not
            generator=torch.Generator(),
            **options,
        )

    def __iter__(self) -> Iterator[Batch]:
        iterator = super().__iter__()
        _notice_dead_workers_here()
        while True:
            try:
                collated = next(iterator)
            except StopIteration:
                return
            except (RuntimeError, OSError, EOFError) as error:
                raise _explain_dead_worker(error) from None
            batch = unpack(collated) if self.num_workers else collated
            for sample in batch:
                if isinstance(sample, InputError):
                    raise sample
            yield batch


def _notice_dead_workers_here() -> None:
    """Keep PyTorch from having a dead worker raise an error wherever this process happens to be.

    It is noticed, within seconds, where its samples are waited for: between steps, not amid one.
    """
    handler = signal.getsignal(signal.SIGCHLD)
    of_pytorch = getattr(handler, "__module__", "").startswith("torch.utils.data")
    if of_pytorch and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def _explain_dead_worker(error: Exception) -> Exception:
    """What to tell about an error of a loader's iterator."""
    is_seen_dead = str(error).startswith("DataLoader worker (pid")
    # a worker that dies while it hands over a batch; errors of its own begin with "Caught"
    is_cut_off = isinstance(error, OSError | EOFError) and not str(error).startswith("Caught")
    if not (is_seen_dead or is_cut_off):
        return error
    return InputError(
        "a worker process that loads images was killed, most likely because memory ran out: lower "
        "the loader's num_workers or batch size, or make room in /dev/shm"
    )


def init_worker(worker_id: int) -> None:
    """Prepare a worker process of a loader."""
    # a worker is one thread: torch sees to that for itself, OpenCV must be told
    cv2.setNumThreads(0)
    # Ctrl-C, or a terminal that is closed, is for the main process to act on: it ends the workers
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
