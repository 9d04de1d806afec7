"""Damaged records of predictions: refused, or completed to what they were."""

import random

import cv2
import numpy as np
import pytest
import torch
from campaign import REFUSED, RIGHT, run_campaign, seeds
from detectron2.data.transforms import AugmentationList
from detectron2.structures import Boxes, Instances
from mutations import damage_bytes

from medmask.errors import InputError
from medmask.inference import PredictionOptions, images_of_files, predict_images
from medmask.inference.class_labels import ClassLabels
from medmask.inference.image_reader import ImageReader

WITHOUT_PICTURES = PredictionOptions(overlays=False)


class Detector:
    """Finds as many boxes in an image as its brightness."""

    labels = ClassLabels(("malignant",), (1,))
    reader = ImageReader(AugmentationList([]))

    def settings(self):
        return {"weights": "abc"}

    def detect(self, inputs):
        return [self._detect(x["image"], (x["height"], x["width"])) for x in inputs]

    def _detect(self, pixels, size):
        number = int(pixels[0, 0, 0])
        boxes = torch.linspace(0, 5, 4 * number).reshape(number, 4).sort(dim=1).values
        return Instances(
            size,
            pred_boxes=Boxes(boxes),
            scores=torch.linspace(0.99, 0.01, number),
            pred_classes=torch.zeros(number, dtype=torch.int64),
        )


@pytest.fixture
def images(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for number, path in enumerate(paths):
        cv2.imwrite(str(path), np.full((6, 6), number, np.uint8))
    return images_of_files(paths)


@seeds
def test_journals(seeds, images, tmp_path):
    output = tmp_path / "out"
    journal, result = output / "predictions.jsonl", output / "detections.json"
    predict_images(Detector(), images, output, options=WITHOUT_PICTURES)
    sound, expected = journal.read_bytes(), result.read_bytes()

    def case(draw: random.Random) -> str:
        damaged = sound
        for _ in range(draw.randint(1, 3)):
            damaged = damage_bytes(damaged, draw)
        journal.write_bytes(damaged)
        result.unlink(missing_ok=True)
        refusal = ""
        try:
            predict_images(Detector(), images, output, options=WITHOUT_PICTURES)
        except InputError as error:
            refusal = str(error)
        if refusal:
            assert str(journal) in refusal
            assert journal.read_bytes() == damaged, "a refused record was changed"
            return REFUSED
        assert result.read_bytes() == expected
        return RIGHT

    verdicts = run_campaign(seeds, case)
    assert min(verdicts[RIGHT], verdicts[REFUSED]) > len(seeds) / 20
