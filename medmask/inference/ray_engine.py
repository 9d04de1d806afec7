"""Predictions on a cluster of Ray: copies of the model that get paths and give records back.

The process that has the engine writes, as it does with a model of its own; so parts, statuses and
what a kill leaves are the same. Ray's actors serve better here than its data sets, which try a row
that kills its process again without end, and give rows back by the block.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from medmask.errors import InputError
from medmask.inference.class_labels import ClassLabels
from medmask.inference.detector import StoredDetector
from medmask.inference.image_reader import Fault
from medmask.inference.options import MOST_WORKERS
from medmask.inference.prediction_engine import PredictionEngine
from medmask.inference.prediction_images import PredictionImage, file_state
from medmask.inference.prediction_record import FAILED
from medmask.inference.prediction_worker import Prediction, PredictionWork, to_record
from medmask.inference.ray_cluster import ReplicaNeeds, count_replicas, has_gpus, ray_cluster
from medmask.inference.ray_replica import ReplicaDescription
from medmask.inference.ray_replicas import ReplicaHandle, ReplicaLostError, Replicas
from medmask.inference.reading_ahead import Reading
from medmask.inference.row_chunks import Row, RowChunks
from medmask.inference.stage_seconds import StageSeconds

_ATTEMPTS = 2  # at an image that is alone with its replica when that ends
_MOST_LOSSES = 20  # of replicas, with no image done in between


class RayEngine(PredictionEngine):
    """Copies of a model on the machines of a cluster; a context manager.

    ::

        with RayEngine(partial(MedMaskPredictor, config, checkpoint)) as engine:
            predict_images(engine, images, output)

    Every machine has this package in its environment, and finds the images and the model's files
    under the same absolute paths. A copy that is lost is replaced, and the images that it had not
    finished are predicted on by others.
    """

    def __init__(
        self,
        make_detector: Callable[..., StoredDetector],
        *,
        replicas: int | None = None,
        workers: int | None = None,
        device: str = "auto",
    ) -> None:
        """Describe the copies; they start on entering the context.

        Args:
            make_detector: loads the model; called on the machines of the cluster with ``device``,
                so it must be picklable.
            replicas: copies of the model, at least 1; None for as many as there is room for.
            workers: processes beside each copy that read ahead; None for some where it has a GPU,
                and for none where it has a core.
            device: ``cpu``; ``cuda`` for a GPU for each copy; ``auto`` for that if there are any.

        Raises:
            InputError: there are to be no replicas.
        """
        if replicas is not None and replicas < 1:
            raise InputError(f"the number of replicas must be at least 1, got {replicas}")
        self._make_detector, self._count = make_detector, replicas
        self._workers, self._device = workers, device

    def __enter__(self) -> "RayEngine":
        """Connect to the cluster, and wait for the first copy of the model.

        Raises:
            InputError: see :func:`ray_cluster`; there is no room, or the model cannot be loaded.
        """
        with ExitStack() as stack:
            ray = stack.enter_context(ray_cluster())
            on_gpus = self._device != "cpu" and (self._device != "auto" or has_gpus(ray))
            if self._workers is None:
                self._workers = MOST_WORKERS if on_gpus else 0
            needs = ReplicaNeeds(cpus=1 + self._workers, gpus=int(on_gpus))
            load = partial(self._make_detector, device="cuda" if on_gpus else "cpu")
            self._replicas = Replicas(ray, load, needs)
            stack.callback(self._replicas.close)
            self._losses = 0
            self._described: list[ReplicaDescription] = []
            for _ in range(self._count or count_replicas(ray, needs)):
                self._replicas.start()
            while not self._described:
                for handle in self._replicas.wait():
                    self._take(handle, StageSeconds())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def labels(self) -> ClassLabels:
        return self._described[0].labels

    @property
    def weights_sha256(self) -> str:
        """Of the file of weights, 64 hexadecimal digits."""
        return self._described[0].weights_sha256

    @property
    def nms_iou(self) -> float | None:
        """Suppression after the model; None if there is none."""
        return self.settings()["nms_iou"]

    def settings(self) -> dict[str, Any]:
        return self._described[0].settings

    def predict(
        self,
        images: Iterator[Row],
        count: int,
        work: PredictionWork,
        seconds: StageSeconds,
    ) -> Generator[Prediction, None, None]:
        self._drop_unfinished()
        assert self._workers is not None  # since the cluster is there
        work = replace(work, options=replace(work.options, workers=self._workers))
        chunks = RowChunks(images, count, len(self._replicas.handles), work.options.batch_size)
        attempts: dict[int, int] = {}
        for handle in self._replicas.handles:
            handle.has_begun = False
        while self._hand_out(chunks, work):
            for handle in self._replicas.wait():
                rows = handle.rows
                prediction = self._take(handle, seconds)
                if prediction is not None:
                    self._losses = 0
                    yield prediction
                elif handle not in self._replicas.handles:
                    faults, again = _sort_lost(rows, attempts)
                    yield from faults
                    chunks.give_back(again)

    def _drop_unfinished(self) -> None:
        """Replace the replicas that still work on images of a run which ended early."""
        self._losses = 0
        for handle in list(self._replicas.handles):
            if handle.is_busy:
                self._replicas.remove(handle)
                self._replicas.start()

    def _hand_out(self, chunks: RowChunks, work: PredictionWork) -> bool:
        """Give rows to replicas that are idle; tells whether anything is still to come."""
        handles = self._replicas.handles
        for handle in handles:
            if not handle.is_loaded or handle.is_busy or not chunks:
                continue
            if not handle.has_begun:
                handle.actor.begin.remote(work)  # an actor does one thing after the other
                handle.has_begun = True
            handle.rows = dict(chunks.take())
            if handle.rows:
                rows = [(place, _with_absolute_path(x)) for place, x in handle.rows.items()]
                predict = handle.actor.predict.options(num_returns="streaming")
                handle.awaited = predict.remote(rows)
        return bool(chunks) or any(handle.is_busy for handle in handles)

    def _take(self, handle: ReplicaHandle, seconds: StageSeconds) -> Prediction | None:
        """Take a prediction of a replica, or note something else; replace one that is lost."""
        try:
            item = self._replicas.take(handle)
        except ReplicaLostError as loss:
            self._losses += 1
            if self._losses > _MOST_LOSSES:
                raise InputError(
                    f"{self._losses} processes with the model ended one after the other without a "
                    f"finished image ({loss}): give them more memory, or run fewer --replicas"
                ) from None
            self._replicas.remove(handle)
            self._replicas.start()
            return None
        if isinstance(item, Prediction):
            # under the identity that the image has here, whatever links are elsewhere
            image = handle.rows.pop(item.record.position)
            record = replace(item.record, key=image.key, path=image.absolute_path)
            return item._replace(record=record)
        if isinstance(item, StageSeconds):
            seconds.add(item)
        if isinstance(item, ReplicaDescription):
            self._compare(handle, item)
        return None

    def _compare(self, handle: ReplicaHandle, description: ReplicaDescription) -> None:
        """Refuse copies that are not of one model."""
        first = self._described[0] if self._described else description
        for name, value in description.settings.items():
            if first.settings[name] != value:
                self._replicas.remove(handle)  # a further run would use it
                raise InputError(
                    f"machine {description.machine} has a model with {name}={value}, but "
                    f"{first.machine} one with {name}={first.settings[name]}: give all machines "
                    "the same files"
                )
        self._described.append(description)


def _sort_lost(
    rows: dict[int, PredictionImage], attempts: dict[int, int]
) -> tuple[list[Prediction], list[Row]]:
    """Sort what a replica left: images that are given up, and those to try again.

    Args:
        rows: that it had not finished.
        attempts: at images that were alone with a replica; one is added.
    """
    if len(rows) == 1:
        ((position, image),) = rows.items()
        attempts[position] = attempts.get(position, 0) + 1
        if attempts[position] == _ATTEMPTS:
            return [_give_up(position, image)], []
    return [], list(rows.items())


def _give_up(position: int, image: PredictionImage) -> Prediction:
    fault = Fault(
        FAILED,
        f"image {image.name} ended the process with the model {_ATTEMPTS} times, perhaps for lack "
        "of memory: predict on it with more memory, or leave it out",
    )
    reading = Reading(position, image, file_state(image.path), fault)
    return Prediction(to_record(reading, fault, None), None)


def _with_absolute_path(image: PredictionImage) -> PredictionImage:
    return replace(image, path=Path(image.path).absolute())
