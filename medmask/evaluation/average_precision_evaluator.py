"""COCO's average precision as a Detectron2 evaluator."""

import logging
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from detectron2.utils.logger import create_small_table

from medmask.evaluation.coco_average_precision import average_precision
from medmask.evaluation.detection_evaluator import DetectionEvaluator
from medmask.evaluation.detection_files import detections_to_coco
from medmask.evaluation.structures import Detections
from medmask.utils.json_files import write_json

logger = logging.getLogger(__name__)


class AveragePrecisionEvaluator(DetectionEvaluator):
    """Average precision of boxes by COCO's protocol, of a data set.

    The results are those of Detectron2's ``COCOEvaluator``, percentages in [0, 100] under the key
    ``bbox``: ``AP``, ``AP50``, ``AP75``, ``APs``, ``APm``, ``APl``, and ``AP-<class>`` where there
    are several classes; NaN where the set has no such lesion. That evaluator reads the annotation
    file by rules of its own (it needs areas, loses the annotation with the id 0, and stops at other
    things that the loader understands); this one takes the data set as it was loaded.
    """

    def __init__(self, dataset_name: str, *, output_dir: str | None = None) -> None:
        """Load the ground truth.

        Args:
            dataset_name: a set in Detectron2's ``DatasetCatalog``.
            output_dir: where to write ``coco_instances_results.json``, the detections in COCO's
                result format, with the data set's own category ids; None to write nothing.

        Raises:
            InputError: for a faulty data set.
        """
        super().__init__(dataset_name)
        self._output_dir = None if output_dir is None else Path(output_dir)

    def metric_names(self) -> list[str]:
        return coco_metric_names(self.ground_truth.category_names)

    def summarize(self, detections: Detections) -> OrderedDict[str, dict[str, float]]:
        """Compute the average precision of the detections of all images.

        Returns:
            ``{"bbox": {metric: percentage}}``.
        """
        if self._output_dir is not None:
            records = detections_to_coco(self.ground_truth, detections)
            write_json(self._output_dir / "coco_instances_results.json", records)
        result = average_precision(self.ground_truth, detections)
        metrics = {
            "AP": result.ap,
            "AP50": result.ap50,
            "AP75": result.ap75,
            "APs": result.ap_small,
            "APm": result.ap_medium,
            "APl": result.ap_large,
        }
        if len(result.categories) > 1:
            names = self.ground_truth.category_names
            metrics |= {f"AP-{name}": ap for name, ap in zip(names, result.categories, strict=True)}
        percentages = {name: 100 * value for name, value in metrics.items()}
        logger.info("AP of %s:\n%s", self.dataset_name, create_small_table(percentages))
        return OrderedDict(bbox=percentages)


def coco_metric_names(classes: Sequence[str]) -> list[str]:
    """The metrics of COCO's protocol, each as ``bbox/metric``; several classes get an AP each."""
    by_class = [f"AP-{name}" for name in classes] if len(classes) > 1 else []
    return [f"bbox/{name}" for name in ("AP", "AP50", "AP75", "APs", "APm", "APl", *by_class)]
