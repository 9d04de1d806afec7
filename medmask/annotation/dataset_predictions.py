"""Detections on a registered data set, as an evaluation leaves them, as predictions."""

from datetime import datetime
from pathlib import Path

import numpy as np

from medmask.dicom_results.predictions import Finding, Predictions, ScoredImage
from medmask.evaluation import ground_truth_of
from medmask.evaluation.detection_files import read_detections
from medmask.evaluation.structures import rows_of_images
from medmask.evaluation.suppression import suppress_overlaps
from medmask.inference.image_predictor import NMS_IOU
from medmask.inference.prediction_images import images_of_dataset
from medmask.utils.file_hash import HASH_LENGTH, hash_weights_file


def read_detections_of_dataset(path: Path, dataset: str, checkpoint: Path) -> Predictions:
    """Read a list of detections on the images of a registered data set.

    An evaluation writes them as they are before its suppression of overlaps; readers see those that
    are left after it, as those of `medmask predict` are.

    Args:
        path: JSON file in COCO's result format, by ids or by names.
        dataset: name of the set, all of whose images were scored.
        checkpoint: the weights that the detections were made with.

    Raises:
        InputError: the set is unknown or faulty, a file is missing, or the detections are not of
            the set.
    """
    truth = ground_truth_of(dataset)
    detections = read_detections(path, truth)
    detections = suppress_overlaps(detections, NMS_IOU)
    names = [str(name) for name in truth.category_names]
    detections = detections.select(np.argsort(-detections.scores, kind="stable"))  # highest first
    of_all_images = images_of_dataset(dataset)
    rows = rows_of_images(detections.image_indices, len(of_all_images))
    images = []
    for image, of_image in zip(of_all_images, rows, strict=True):
        findings = [
            Finding(
                tuple(detections.boxes[i].tolist()),
                float(detections.scores[i]),
                names[detections.category_indices[i]],
            )
            for i in of_image
        ]
        images.append(ScoredImage(image.path, tuple(findings), image.file_name, image.image_id))
    made = datetime.fromtimestamp(int(path.stat().st_mtime))
    weights = hash_weights_file(checkpoint)[:HASH_LENGTH]
    return Predictions(weights, made, tuple(images), (), tuple(names))
