"""Hashes by which a calibration tells what it is made of."""

import hashlib
import json

import numpy as np

from medmask.evaluation.structures import Detections, GroundTruth


def hash_ground_truth(ground_truth: GroundTruth) -> str:
    """SHA-256 of the images' ids and patients, the categories and the boxes of a set."""
    names = [
        [str(image_id) for image_id in ground_truth.image_ids],
        [None if patient is None else str(patient) for patient in ground_truth.patients],
        list(ground_truth.category_names),
    ]
    digest = hashlib.sha256(json.dumps(names).encode())
    _add(digest, ground_truth.boxes, np.float64)
    _add(digest, ground_truth.image_indices, np.int64)
    _add(digest, ground_truth.category_indices, np.int64)
    _add(digest, ground_truth.is_crowd, np.uint8)
    return digest.hexdigest()


def hash_detections(detections: Detections) -> str:
    """SHA-256 of the boxes, scores, images and categories of detections, in their order."""
    digest = hashlib.sha256()
    _add(digest, detections.boxes, np.float64)
    _add(digest, detections.scores, np.float64)
    _add(digest, detections.image_indices, np.int64)
    _add(digest, detections.category_indices, np.int64)
    return digest.hexdigest()


def _add(digest: "hashlib._Hash", values: np.ndarray, dtype: type) -> None:
    little_endian = np.dtype(dtype).newbyteorder("<")
    digest.update(np.ascontiguousarray(values, dtype=little_endian).tobytes())
