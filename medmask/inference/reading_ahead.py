"""Reading images in worker processes ahead of the model."""

import multiprocessing
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import NamedTuple

import cv2
import torch

from medmask.inference.image_reader import Fault, ImageReader, ReadImage
from medmask.inference.prediction_images import FileState, PredictionImage, file_state
from medmask.inference.prediction_record import FAILED
from medmask.utils.parent_process import become_worker

_AHEAD = 3  # images for each worker that are read, or being read, before the model takes them

_Outcome = tuple[FileState, ReadImage | Fault]


class Reading(NamedTuple):
    """An image of the list, and what reading it gave."""

    position: int
    image: PredictionImage
    state: FileState
    """of the file before it was read"""
    result: ReadImage | Fault


class AheadReader:
    """Reads images, in their order, a few of them ahead of whoever takes them.

    A worker that dies, as by a fault in a decoder or for want of memory, costs the image that it
    was reading, and no other. Workers start with the first image, and live until :meth:`close`.
    """

    def __init__(self, reader: ImageReader, *, workers: int, with_view: bool) -> None:
        """Create a reader.

        Args:
            reader: reads each image.
            workers: processes; 0 reads in this one, when an image is asked for.
            with_view: as for :meth:`ImageReader.read`.
        """
        self._reader, self._workers, self._with_view = reader, workers, with_view
        self._pool: _Pool | None = None

    def read(self, images: Iterable[tuple[int, PredictionImage]]) -> Iterator[Reading]:
        """Read images; one call at a time.

        Args:
            images: positions and images; taken as they are needed.
        """
        if self._workers == 0:
            for position, image in images:
                state = file_state(image.path)
                result = self._reader.read(image, with_view=self._with_view)
                yield Reading(position, image, state, result)
            return
        pool = self._pool = self._pool or _Pool(self._reader, self._workers, self._with_view)
        waiting: deque[tuple[int, PredictionImage, Future]] = deque()
        for position, image in images:
            waiting.append((position, image, pool.submit(image)))
            if len(waiting) >= self._workers * _AHEAD:
                yield _take_first(waiting, pool)
        while waiting:
            yield _take_first(waiting, pool)

    def close(self) -> None:
        """End the workers."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None


def _take_first(waiting: deque[tuple[int, PredictionImage, Future]], pool: "_Pool") -> Reading:
    position, image, future = waiting.popleft()
    try:
        return Reading(position, image, *_unpack(future.result()))
    except BrokenProcessPool:
        # Any of the images that were being read may have killed its worker: each is read alone.
        pool.restart()
        outcome = pool.read_alone(image)
        for place, (other_position, other, _) in enumerate(waiting):
            waiting[place] = other_position, other, pool.settled(other)
        return Reading(position, image, *_unpack(outcome))


class _Pool:
    """Worker processes that hold a reader."""

    def __init__(self, reader: ImageReader, workers: int, with_view: bool) -> None:
        self._reader, self._workers, self._with_view = reader, workers, with_view
        self._start()

    def submit(self, image: PredictionImage) -> Future:
        try:
            return self._processes.submit(_read, image)
        except BrokenProcessPool as error:  # since the last one; seen when it is taken
            future: Future = Future()
            future.set_exception(error)
            return future

    def read_alone(self, image: PredictionImage) -> _Outcome:
        """Read one image while no other is being read."""
        try:
            return self._processes.submit(_read, image).result()
        except BrokenProcessPool:
            self.restart()
            return file_state(image.path), Fault(
                FAILED,
                f"image {image.name} ended the process that read it, perhaps for lack of memory: "
                "read it with more memory or fewer --workers, or leave it out",
            )

    def settled(self, image: PredictionImage) -> Future:
        """A future that holds what :meth:`read_alone` gives."""
        future: Future = Future()
        future.set_result(self.read_alone(image))
        return future

    def restart(self) -> None:
        self.close()
        self._start()

    def close(self) -> None:
        self._processes.shutdown(cancel_futures=True)

    def _start(self) -> None:
        # Forking a process that runs the threads of PyTorch or OpenCV can hang the child.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        self._processes = ProcessPoolExecutor(
            self._workers,
            mp_context=context,
            initializer=_init_worker,
            initargs=(self._reader, self._with_view),
        )


_worker_reader: ImageReader
_worker_with_view: bool


def _init_worker(reader: ImageReader, with_view: bool) -> None:
    global _worker_reader, _worker_with_view
    become_worker()
    cv2.setNumThreads(1)  # the processes share the cores already
    torch.set_num_threads(1)
    _worker_reader, _worker_with_view = reader, with_view


def _read(image: PredictionImage) -> _Outcome:
    """Read in a worker; the tensor travels as an array, which pickle copies at once."""
    state = file_state(image.path)
    result = _worker_reader.read(image, with_view=_worker_with_view)
    if isinstance(result, ReadImage):
        result.model_input["image"] = result.model_input["image"].numpy()
    return state, result


def _unpack(outcome: _Outcome) -> _Outcome:
    state, result = outcome
    if isinstance(result, ReadImage):
        result.model_input["image"] = torch.from_numpy(result.model_input["image"])
    return state, result
