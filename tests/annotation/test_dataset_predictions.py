"""Detections of an evaluation, as readers see them."""

import json

from medmask.annotation.dataset_predictions import read_detections_of_dataset
from medmask.data import register_coco_dataset


def test_overlaps_are_suppressed_as_predict_does(coco_content, write_tree, tmp_path):
    json_file, root = write_tree(coco_content)
    name = f"evaluated_{json_file.parents[1].name}"
    register_coco_dataset(name, json_file, root)
    found = {"image_id": 2, "category_id": 7, "bbox": [10, 10, 20, 20], "score": 0.9}
    beside = found | {"bbox": [11, 11, 20, 20], "score": 0.8}
    other = found | {"image_id": 3, "score": 0.1}
    elsewhere = found | {"bbox": [60, 10, 20, 20], "score": 0.7}
    path = tmp_path / "froc_detections.json"
    path.write_text(json.dumps([other, beside, elsewhere, found]))
    (tmp_path / "weights.pth").write_bytes(b"weights")
    predictions = read_detections_of_dataset(path, name, tmp_path / "weights.pth")
    assert [image.image_id for image in predictions.images] == [1, 2, 3]
    scores = [[finding.score for finding in image.findings] for image in predictions.images]
    assert scores == [[], [0.9, 0.7], [0.1]]
