"""Collecting the detections of a data set from all processes, for Detectron2's evaluation loop."""

from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np
from detectron2.evaluation import DatasetEvaluator
from detectron2.structures import Instances
from detectron2.utils import comm

from medmask.errors import InputError
from medmask.evaluation.boxes import to_xywh, to_xyxy
from medmask.evaluation.dataset_ground_truth import ground_truth_of
from medmask.evaluation.structures import Detections
from medmask.utils.counts import counted


class _Prediction(NamedTuple):
    """Detections of one image; arrays travel between processes faster than Instances."""

    boxes: np.ndarray  # (D, 4) float64 XYXY pixels
    scores: np.ndarray  # (D,) float64
    classes: np.ndarray  # (D,) contiguous category ids


class DetectionEvaluator(DatasetEvaluator):
    """Evaluates the detections of a whole data set at once, on the main process.

    An image that several processes saw counts once.
    """

    def __init__(self, dataset_name: str) -> None:
        """Load the ground truth.

        Args:
            dataset_name: a set in Detectron2's ``DatasetCatalog``.

        Raises:
            InputError: for a faulty data set.
        """
        self.dataset_name = dataset_name
        self.ground_truth = ground_truth_of(dataset_name)
        self._predictions: dict[Hashable, _Prediction] = {}

    @abstractmethod
    def metric_names(self) -> list[str]:
        """The metrics that the results will have, each as ``group/metric``."""

    @abstractmethod
    def summarize(self, detections: Detections) -> OrderedDict[str, dict[str, float]]:
        """Evaluate the detections of all images; runs on the main process alone.

        Returns:
            ``{group: {metric: number}}``.
        """

    def reset(self) -> None:
        self._predictions = {}

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        """Keep the predictions of a batch.

        Args:
            inputs: records with ``image_id``.
            outputs: for each, ``instances`` with ``pred_boxes``, ``scores`` and ``pred_classes``,
                in pixels of the image as it is in the data set.
        """
        for record, output in zip(inputs, outputs, strict=True):
            self._predictions[record["image_id"]] = _to_prediction(output["instances"])

    def evaluate(self) -> OrderedDict[str, dict[str, float]]:
        """Evaluate the predictions of all processes.

        Returns:
            The results on the main process, nothing on the others.

        Raises:
            InputError: if images of the set were not predicted on, or others were, or if boxes or
                scores are not finite.
        """
        comm.synchronize()
        gathered = comm.gather(self._predictions, dst=0)
        if not comm.is_main_process():
            return OrderedDict()
        predictions: dict[Hashable, _Prediction] = {}
        for of_process in gathered:
            for image_id, prediction in of_process.items():
                predictions.setdefault(image_id, prediction)
        return self.summarize(self._collect(predictions))

    def _collect(self, predictions: dict[Hashable, _Prediction]) -> Detections:
        """All predictions in the order of the data set's images."""
        self._check_images(predictions)
        image_ids = self.ground_truth.image_ids
        ordered = [predictions[image_id] for image_id in image_ids]
        # The very boxes that a file of detections gives back, where a width is rounded.
        boxes = to_xyxy(to_xywh(np.concatenate([p.boxes for p in ordered])))
        detections = Detections(
            boxes=boxes,
            scores=np.concatenate([p.scores for p in ordered]),
            image_indices=np.repeat(np.arange(len(ordered)), [len(p.scores) for p in ordered]),
            category_indices=np.concatenate([p.classes for p in ordered]),
        )
        finite = np.isfinite(detections.boxes).all(axis=1) & np.isfinite(detections.scores)
        if not finite.all():
            bad_images = detections.image_indices[~finite]
            raise InputError(
                "the model predicted boxes or scores that are not finite, first on image "
                f"{image_ids[bad_images[0]]!r} of {self.dataset_name} ({len(bad_images)} in all): "
                "its weights are broken, or training has diverged"
            )
        num_classes = len(self.ground_truth.category_ids)
        highest = int(detections.category_indices.max(initial=0))
        if highest >= num_classes:
            raise InputError(
                f"the model predicted class {highest}, but {self.dataset_name} has "
                f"{counted(num_classes, 'class', 'classes')}, counted from 0: set the model's "
                "number of classes to match"
            )
        return detections

    def _check_images(self, predictions: dict[Hashable, _Prediction]) -> None:
        image_ids = self.ground_truth.image_ids
        unknown = list(predictions.keys() - set(image_ids))
        if unknown:
            raise InputError(
                f"{counted(len(unknown), 'predicted image is', 'predicted images are')} not in "
                f"{self.dataset_name} (one is {unknown[0]!r}): evaluate with that data set's own "
                "loader"
            )
        missing = [image_id for image_id in image_ids if image_id not in predictions]
        if missing:
            raise InputError(
                f"no prediction of {len(missing)} of the {counted(len(image_ids), 'image')} of "
                f"{self.dataset_name} (first {missing[0]!r}): evaluate with a loader over the "
                "whole data set"
            )


def _to_prediction(instances: Instances) -> _Prediction:
    return _Prediction(
        boxes=instances.pred_boxes.tensor.detach().cpu().double().numpy(),
        scores=instances.scores.detach().cpu().double().numpy(),
        classes=instances.pred_classes.cpu().numpy(),
    )
