"""FROC analysis as a Detectron2 evaluator."""

import logging
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from detectron2.evaluation import DatasetEvaluator
from detectron2.structures import Instances
from detectron2.utils import comm

from medmask.errors import InputError
from medmask.evaluation.detection_files import detections_to_coco
from medmask.evaluation.evaluate import evaluate_detections
from medmask.evaluation.froc import OPERATING_POINTS
from medmask.evaluation.ground_truth import ground_truth_of
from medmask.evaluation.plot import plot_froc
from medmask.evaluation.report import format_table, result_to_json, write_json
from medmask.evaluation.results import ClassificationResult, EvaluationSettings, FrocResult
from medmask.evaluation.structures import Detections, to_xywh, to_xyxy

logger = logging.getLogger(__name__)


class _Prediction(NamedTuple):
    """What a model found in one image; arrays travel between processes faster than Instances."""

    boxes: np.ndarray  # (D, 4) float64 XYXY pixels
    scores: np.ndarray  # (D,) float64
    classes: np.ndarray  # (D,) contiguous category ids


class FROCEvaluator(DatasetEvaluator):
    """Lesion sensitivity per false positive, and image- and breast-level AUC, of a data set.

    The results are percentages in [0, 100], as those of Detectron2's ``COCOEvaluator``, which a
    config puts beside this one. Under the key ``froc``: ``R@0.025`` to ``R@4`` (sensitivity at that
    many false positives per image), ``image_auc``, ``image_f1``, ``image_sensitivity`` and
    ``image_specificity`` (at the score with the best F1), and the same for ``breast_`` where all
    images carry a ``patient_id`` and a ``laterality``. A figure that is undefined is NaN.

    The evaluator merges the predictions of all processes; an image that several of them saw counts
    once.
    """

    def __init__(
        self,
        dataset_name: str,
        *,
        nms_iou: float | None = 0.1,
        iou_threshold: float | None = None,
        bootstrap: int = 1000,
        seed: int = 0,
        score: float = 0.5,
        operating_points: Sequence[float] = OPERATING_POINTS,
        output_dir: str | None = None,
    ) -> None:
        """Load the ground truth.

        Args:
            dataset_name: a set in Detectron2's ``DatasetCatalog``. Its records may carry
                ``patient_id`` and ``laterality``.
            nms_iou: non-maximum suppression before the evaluation, None for none.
            iou_threshold: None: a detection hits a lesion when its centre lies in the lesion's
                box; else when their IoU is at least this.
            bootstrap: resamples of the patients for 95% intervals, 0 for no intervals.
            seed: of the resampling.
            score: threshold at which F1, sensitivity and specificity are reported in the files.
            operating_points: false positives per image at which sensitivities are reported.
            output_dir: where to write ``froc_detections.json`` (in COCO's result format, with the
                data set's own category ids), ``froc.json`` (fractions in [0, 1]) and ``froc.png``;
                None to write nothing.

        Raises:
            InputError: for a setting out of its range, or a faulty data set.
        """
        self._dataset_name = dataset_name
        self._settings = EvaluationSettings(
            operating_points=tuple(float(point) for point in operating_points),
            iou_threshold=iou_threshold,
            nms_iou=nms_iou,
            bootstrap=bootstrap,
            seed=seed,
            score=score,
        )
        self._output_dir = None if output_dir is None else Path(output_dir)
        self._ground_truth = ground_truth_of(dataset_name)
        self._predictions: dict[Hashable, _Prediction] = {}

    def metric_names(self) -> list[str]:
        """The keys of the results under ``froc``, known before anything is evaluated."""
        names = [f"R@{point:g}" for point in self._settings.operating_points]
        ground_truth = self._ground_truth
        has_breasts = None not in (*ground_truth.patients, *ground_truth.lateralities)
        for level in ("image", "breast") if has_breasts else ("image",):
            names += [f"{level}_{name}" for name in ("auc", "f1", "sensitivity", "specificity")]
        return names

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

    def evaluate(self) -> OrderedDict[str, OrderedDict[str, float]]:
        """Evaluate the predictions of all processes.

        Returns:
            ``{"froc": {metric: percentage}}`` on the main process, nothing on the others.

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
        detections = self._collect(predictions)
        result = evaluate_detections(self._ground_truth, detections, self._settings)
        logger.info("FROC of %s:\n%s", self._dataset_name, format_table(result))
        for sentence in result.warnings:
            logger.warning("%s: %s", self._dataset_name, sentence)
        if self._output_dir is not None:
            self._write(detections, result)
        return OrderedDict(froc=_to_percentages(result))

    def _collect(self, predictions: dict[Hashable, _Prediction]) -> Detections:
        """All predictions in the order of the data set's images."""
        self._check_images(predictions)
        image_ids = self._ground_truth.image_ids
        ordered = [predictions[image_id] for image_id in image_ids]
        # The very boxes that the file will give, where a width is rounded.
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
                f"the model predicted {len(bad_images)} boxes or scores that are not finite, first "
                f"on image {image_ids[bad_images[0]]!r} of {self._dataset_name}: "
                "its weights are broken, or training has diverged"
            )
        num_classes = len(self._ground_truth.category_ids)
        highest = int(detections.category_indices.max(initial=0))
        if highest >= num_classes:
            raise InputError(
                f"the model predicted class {highest}, but {self._dataset_name} has {num_classes} "
                "classes, counted from 0: set the model's number of classes to match"
            )
        return detections

    def _check_images(self, predictions: dict[Hashable, _Prediction]) -> None:
        image_ids = self._ground_truth.image_ids
        unknown = list(predictions.keys() - set(image_ids))
        if unknown:
            raise InputError(
                f"{len(unknown)} predicted images are not in {self._dataset_name} (one is "
                f"{unknown[0]!r}): evaluate with that data set's own loader"
            )
        missing = [image_id for image_id in image_ids if image_id not in predictions]
        if missing:
            raise InputError(
                f"{len(missing)} of {len(image_ids)} images of {self._dataset_name} have no "
                f"prediction (first {missing[0]!r}): evaluate with a loader over the whole data set"
            )

    def _write(self, detections: Detections, result: FrocResult) -> None:
        records = detections_to_coco(self._ground_truth, detections)
        write_json(self._output_dir / "froc_detections.json", records)
        write_json(self._output_dir / "froc.json", result_to_json(result))
        plot_froc([(self._dataset_name, result)], self._output_dir / "froc.png")


def _to_prediction(instances: Instances) -> _Prediction:
    return _Prediction(
        boxes=instances.pred_boxes.tensor.detach().cpu().double().numpy(),
        scores=instances.scores.detach().cpu().double().numpy(),
        classes=instances.pred_classes.cpu().numpy(),
    )


def _to_percentages(result: FrocResult) -> OrderedDict[str, float]:
    metrics: OrderedDict[str, float] = OrderedDict()
    for point, sensitivity in zip(
        result.settings.operating_points, result.sensitivity, strict=True
    ):
        metrics[f"R@{point:g}"] = 100 * float(sensitivity)
    metrics.update(_classification_percentages("image", result.images))
    if result.breasts is not None:
        metrics.update(_classification_percentages("breast", result.breasts))
    return metrics


def _classification_percentages(level: str, result: ClassificationResult) -> dict[str, float]:
    best = result.best_f1
    return {
        f"{level}_auc": 100 * result.auc,
        f"{level}_f1": 100 * best.f1 if best else float("nan"),
        f"{level}_sensitivity": 100 * best.sensitivity if best else float("nan"),
        f"{level}_specificity": 100 * best.specificity if best else float("nan"),
    }
