"""Detections of a predictor on all images of a registered data set."""

from collections.abc import Sequence

import numpy as np
from detectron2.structures import Instances

from medmask.coco import class_of_name
from medmask.errors import InputError
from medmask.evaluation.boxes import to_xywh, to_xyxy
from medmask.evaluation.structures import Detections, GroundTruth
from medmask.inference.class_labels import numbered_names
from medmask.inference.prediction_images import (
    PredictionImage,
    images_of_dataset,
    read_spacing,
)
from medmask.inference.predictor import MedMaskPredictor
from medmask.utils.counts import counted
from medmask.utils.progress import with_progress


def detect_in_dataset(
    predictor: MedMaskPredictor, dataset: str, ground_truth: GroundTruth
) -> Detections:
    """Detect in every image of a data set.

    Args:
        predictor: the detector.
        dataset: name of the registered set.
        ground_truth: of it (:func:`medmask.evaluation.ground_truth_of`).

    Returns:
        All detections, the same as an evaluation of the set gives.

    Raises:
        InputError: an image cannot be read, or the set has other classes than the model, or several
            in another order.
    """
    _check_classes(predictor.labels.names, dataset, ground_truth)
    index_of = {image_id: index for index, image_id in enumerate(ground_truth.image_ids)}
    boxes, scores, classes, images = [], [], [], []
    for image in with_progress(images_of_dataset(dataset), f"detecting in {dataset}", "image"):
        assert image.image_id is not None  # it is of a data set
        found = _detect(predictor, image)
        boxes.append(found.pred_boxes.tensor.double().numpy())
        scores.append(found.scores.double().numpy())
        classes.append(found.pred_classes.numpy())
        images.append(np.full(len(found), index_of[image.image_id], dtype=np.int64))
    return Detections(
        # The very boxes that a file of detections gives back, where a width is rounded.
        boxes=to_xyxy(to_xywh(np.concatenate(boxes))),
        scores=np.concatenate(scores),
        image_indices=np.concatenate(images),
        category_indices=np.concatenate(classes),
    )


def _check_classes(names: Sequence[str], dataset: str, ground_truth: GroundTruth) -> None:
    """Compare a model's classes with those of a set; a single one may have any name."""
    remedy = "choose a set with the classes that the weights were trained on"
    others, known = ground_truth.category_names, len(names)
    if len(others) != known:
        raise InputError(
            f"the model has {counted(known, 'class', 'classes')}, but {dataset} has "
            f"{len(others)}: {remedy}"
        )
    are_same = list(map(class_of_name, names)) == list(map(class_of_name, others))
    if known > 1 and not are_same and tuple(names) != numbered_names(known):
        raise InputError(
            f"the classes of the model are {', '.join(names)}, but those of {dataset} "
            f"{', '.join(others)}: {remedy}, in the same order"
        )


def _detect(predictor: MedMaskPredictor, image: PredictionImage) -> Instances:
    # a file states its own spacing to the predictor; what the set states goes before that
    spacing = None if image.pixel_spacing_mm is None else read_spacing(image)
    found = predictor(image.name, pixel_spacing_mm=spacing)["instances"].to("cpu")
    if image.size not in (None, found.image_size):
        height, width = found.image_size
        raise InputError(
            f"image {image.name} is {width} x {height} (width x height), but its data set says "
            f"{image.size[1]} x {image.size[0]}; run medmask check-data"
        )
    return found
