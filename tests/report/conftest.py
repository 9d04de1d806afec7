"""Folders of runs as training and evaluation leave them, on tiny phantoms."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from calibrations import SOURCE, calibrate

from medmask.calibration import calibration_to_json
from medmask.evaluation import (
    Detections,
    EvaluationSettings,
    detections_to_coco,
    evaluate_detections,
    ground_truth_of,
    result_to_json,
)

WEIGHTS = b"weights"
WEIGHTS_SHA256 = hashlib.sha256(WEIGHTS).hexdigest()
SETTINGS = EvaluationSettings(bootstrap=50)
DATASET = "phantom_film_val"


def make_detections(truth, seed):
    """Most lesions found, shifted a little, and one false positive an image."""
    random = np.random.default_rng(seed)
    found = random.uniform(size=len(truth.boxes)) < 0.8
    boxes = truth.boxes[found] + random.uniform(-1, 1, (found.sum(), 4))
    corners = random.uniform(0, 20, (truth.num_images, 2))
    images = np.concatenate([truth.image_indices[found], np.arange(truth.num_images)])
    scores = np.concatenate(
        [random.uniform(0.4, 1, found.sum()), random.uniform(0, 0.7, truth.num_images)]
    )
    return Detections(
        boxes=np.concatenate([boxes, np.concatenate([corners, corners + 8], axis=1)]),
        scores=scores,
        image_indices=images,
        category_indices=np.zeros(len(images), dtype=np.int64),
    )


@pytest.fixture
def make_run(datasets, tmp_path, monkeypatch):
    """Writes the folder of a run that was trained and evaluated."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(datasets))

    def make(name="run", seed=0, dataset=DATASET) -> Path:
        folder = tmp_path / name
        (folder / "inference").mkdir(parents=True)
        truth = ground_truth_of(dataset)
        detections = make_detections(truth, seed)
        result = evaluate_detections(truth, detections, SETTINGS)
        files = {
            "inference/froc_detections.json": detections_to_coco(truth, detections),
            "inference/froc.json": result_to_json(result),
            "evaluations.json": [
                {"iteration": 5, "froc/R@0.3": 20.0, "bbox/AP": None},
                {
                    "iteration": 10,
                    "froc/R@0.3": 40.0,
                    "bbox/AP": 3.0,
                    "learning/mae/r2": 0.25,
                    "learning/mae/r2_constant": 0.0,
                    "learning/mae/r2_beats_constant": 1.0,
                },
            ],
            "versions.json": {"medmask": "0.2.0", "torch": "2.11.0"},
        }
        for path, content in files.items():
            (folder / path).write_text(json.dumps(content))
        lines = [
            {
                "iteration": i,
                "total_loss": 9.0 - i,
                "loss_class": None if i == 3 else 2.0,
                "lr": 0.1,
            }
            for i in range(10)
        ]
        (folder / "metrics.json").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        (folder / "model_best.pth").write_bytes(WEIGHTS)
        source = replace(SOURCE, weights_file="model_best.pth", weights_sha256=WEIGHTS_SHA256)
        calibration = calibrate(source, bootstrap=50)
        (folder / "calibration.json").write_text(json.dumps(calibration_to_json(calibration)))
        (folder / "config.yaml").write_text(
            f"dataloader:\n  test: {{dataset: {dataset}}}\n"
            f"  train: {{dataset: phantom_film_train}}\ntrain: {{seed: {seed}}}\n"
        )
        return folder

    return make
