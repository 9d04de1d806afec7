"""Pictures of the detections and the annotated boxes of a data set."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from detectron2.data import DatasetCatalog
from detectron2.structures import Boxes, Instances

from medmask.calibration import AppliedCalibration
from medmask.data.dataset_dicts import has_lesions, patient_of, read_dataset_image
from medmask.errors import InputError
from medmask.evaluation import Detections, ground_truth_of, read_detections
from medmask.evaluation.structures import rows_of_images
from medmask.evaluation.suppression import suppress_overlaps
from medmask.inference.drawing import draw_overlay
from medmask.inference.image_predictor import NMS_IOU
from medmask.utils.files import check_output_folder
from medmask.utils.picture_names import picture_names
from medmask.utils.png_files import write_png
from medmask.utils.progress import with_progress


def draw_results(
    dataset: str,
    detections_file: str,
    output_dir: Path,
    *,
    num_images: int,
    score_threshold: float,
    calibration: AppliedCalibration | None = None,
    nms_iou: float | None = NMS_IOU,
) -> int:
    """Draw the detections that an evaluation counts, and the lesions.

    Images with lesions come first, one of each patient before a second of any. Regions to ignore
    (``iscrowd``) are not drawn.

    Args:
        dataset: name of the registered data set that was evaluated.
        detections_file: list of detections, see :func:`medmask.evaluation.read_detections`.
        output_dir: one PNG per image is written there, named by
            :func:`medmask.utils.picture_names.picture_names`.
        num_images: how many images to draw, at least 1.
        score_threshold: detections with a lower score are left out, in [0, 1].
        calibration: of the weights that made the detections; its threshold takes the place of the
            other one, and probabilities that of scores. None for scores.
        nms_iou: non-maximum suppression before all else, as evaluations count and a calibration's
            threshold takes for granted; None for none.

    Returns:
        How many images were drawn.

    Raises:
        InputError: a number is out of its range, the data set or the file has problems, or they do
            not belong together.
    """
    if num_images < 1:
        raise InputError(f"the number of images to draw must be at least 1, got {num_images}")
    if not 0 <= score_threshold <= 1:
        raise InputError(f"the score threshold must be in [0, 1], got {score_threshold}")
    if calibration is not None:
        score_threshold = calibration.threshold
    check_output_folder(output_dir)
    ground_truth = ground_truth_of(dataset)
    detections = read_detections(detections_file, ground_truth)
    detections = suppress_overlaps(detections, nms_iou)
    detections = detections.select(detections.scores >= score_threshold)
    found = rows_of_images(detections.image_indices, ground_truth.num_images)
    lesions = rows_of_images(ground_truth.image_indices, ground_truth.num_images)
    index_of = {image_id: index for index, image_id in enumerate(ground_truth.image_ids)}
    all_dataset_dicts = DatasetCatalog.get(dataset)
    names = picture_names([dataset_dict["file_name"] for dataset_dict in all_dataset_dicts])
    dataset_dicts = _most_telling(all_dataset_dicts)[:num_images]
    for dataset_dict in with_progress(dataset_dicts, f"drawing {dataset}", "image"):
        index = index_of[dataset_dict["image_id"]]
        of_image = detections.select(found[index])
        boxes, is_crowd = (x[lesions[index]] for x in (ground_truth.boxes, ground_truth.is_crowd))
        probabilities = None
        if calibration is not None:
            probabilities = calibration.detection_probabilities(of_image.scores)
        overlay = draw_overlay(
            read_dataset_image(dataset_dict),
            _to_instances(of_image, (dataset_dict["height"], dataset_dict["width"])),
            ground_truth.category_names,
            boxes[~is_crowd],
            probabilities=probabilities,
        )
        write_png(output_dir / names[index], overlay)
    return len(dataset_dicts)


def _most_telling(dataset_dicts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    seen: dict[tuple[str, bool], int] = defaultdict(int)

    def rank(dataset_dict: dict[str, Any]) -> tuple[bool, int]:
        patient = patient_of(dataset_dict)
        is_positive = has_lesions(dataset_dict)
        seen[patient, is_positive] += 1
        return not is_positive, seen[patient, is_positive]

    return sorted(dataset_dicts, key=rank)


def _to_instances(detections: Detections, size: tuple[int, int]) -> Instances:
    return Instances(
        size,
        pred_boxes=Boxes(torch.from_numpy(detections.boxes)),
        scores=torch.from_numpy(detections.scores),
        pred_classes=torch.from_numpy(detections.category_indices),
    )
