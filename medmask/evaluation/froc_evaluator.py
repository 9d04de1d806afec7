"""FROC analysis as a Detectron2 evaluator."""

import logging
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from medmask.evaluation.detection_evaluator import DetectionEvaluator
from medmask.evaluation.detection_files import detections_to_coco
from medmask.evaluation.evaluate import evaluate_detections
from medmask.evaluation.report import format_table, result_to_json
from medmask.evaluation.results import ClassificationResult, FrocResult
from medmask.evaluation.settings import LESION_BOX, OPERATING_POINTS, EvaluationSettings
from medmask.evaluation.structures import Detections
from medmask.utils.json_files import write_json

logger = logging.getLogger(__name__)


class FROCEvaluator(DetectionEvaluator):
    """Lesion sensitivity per false positive, and image- and breast-level AUC, of a data set.

    The results are percentages in [0, 100], as those of :class:`AveragePrecisionEvaluator`, which a
    config puts beside this one. Under the key ``froc``: ``R@0.025`` to ``R@4`` (sensitivity at that
    many false positives per image), ``CPM`` (mean sensitivity at 1/8, 1/4, ... 8), ``image_auc``,
    ``image_f1``, ``image_sensitivity`` and ``image_specificity`` (at the score with the best F1),
    and the same for ``breast_`` where all images carry a ``patient_id`` and a ``laterality``. A
    figure that is undefined is NaN.
    """

    def __init__(
        self,
        dataset_name: str,
        *,
        nms_iou: float | None = 0.1,
        iou_threshold: float | None = None,
        hit_rule: str = LESION_BOX,
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
            iou_threshold: None: a detection hits a lesion when its center lies in the lesion's
                box; else when their IoU is at least this.
            hit_rule: "lesion_box", or, for comparison with published figures only,
                "published_script" (:mod:`medmask.evaluation.published_script`), which goes with
                ``nms_iou=None``.
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
        super().__init__(dataset_name)
        self._settings = EvaluationSettings(
            operating_points=tuple(float(point) for point in operating_points),
            iou_threshold=iou_threshold,
            hit_rule=hit_rule,
            nms_iou=nms_iou,
            bootstrap=bootstrap,
            seed=seed,
            score=score,
        )
        self._output_dir = None if output_dir is None else Path(output_dir)

    def metric_names(self) -> list[str]:
        names = [f"R@{point:g}" for point in self._settings.operating_points]
        names.append("CPM")
        ground_truth = self.ground_truth
        has_breasts = None not in (*ground_truth.patients, *ground_truth.lateralities)
        for level in ("image", "breast") if has_breasts else ("image",):
            names += [f"{level}_{name}" for name in ("auc", "f1", "sensitivity", "specificity")]
        return [f"froc/{name}" for name in names]

    def summarize(self, detections: Detections) -> OrderedDict[str, dict[str, float]]:
        """Analyze the detections of all images.

        Returns:
            ``{"froc": {metric: percentage}}``.
        """
        result = evaluate_detections(self.ground_truth, detections, self._settings)
        logger.info("FROC of %s:\n%s", self.dataset_name, format_table(result))
        for sentence in result.warnings:
            logger.warning("%s: %s", self.dataset_name, sentence)
        if self._output_dir is not None:
            self._write(detections, result, self._output_dir)
        return OrderedDict(froc=_to_percentages(result))

    def _write(self, detections: Detections, result: FrocResult, folder: Path) -> None:
        from medmask.evaluation.plot import plot_froc  # here: most that import this draw nothing

        records = detections_to_coco(self.ground_truth, detections)
        write_json(folder / "froc_detections.json", records)
        write_json(folder / "froc.json", result_to_json(result))
        plot_froc([(self.dataset_name, result)], folder / "froc.png")


def _to_percentages(result: FrocResult) -> OrderedDict[str, float]:
    metrics: OrderedDict[str, float] = OrderedDict()
    for point, sensitivity in zip(
        result.settings.operating_points, result.sensitivity, strict=True
    ):
        metrics[f"R@{point:g}"] = 100 * float(sensitivity)
    metrics["CPM"] = 100 * result.cpm
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
