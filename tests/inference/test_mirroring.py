"""Detection in mirror images, with boxes of the images as they are."""

import cv2
import detectron2.data.transforms as T
import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances

from medmask.data.breast import BreastPreprocessing
from medmask.inference.class_labels import ClassLabels
from medmask.inference.image_reader import ImageReader
from medmask.inference.mirroring import MirroringDetector
from medmask.inference.prediction_images import PredictionImage
from medmask.modeling.postprocessing import to_original_image


class SpotDetector:
    """Finds the box around all that is brighter than 128."""

    labels = ClassLabels(("spot",), (1,))

    def __init__(self, *augmentations):
        self.reader = ImageReader(T.AugmentationList(list(augmentations)))
        self.seen = []

    def settings(self):
        return {"weights": "a"}

    def detect(self, inputs):
        self.seen += [x["image"][0].numpy() for x in inputs]
        return [to_original_image(self.find(x["image"][0]), x) for x in inputs]

    def find(self, plane):
        rows, columns = torch.nonzero(plane > 128, as_tuple=True)
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        return Instances(
            tuple(plane.shape),
            pred_boxes=Boxes(torch.tensor([box], dtype=torch.float32)),
            scores=torch.ones(1),
            pred_classes=torch.zeros(1, dtype=torch.int64),
        )


@pytest.fixture
def path(tmp_path):
    pixels = np.full((40, 60), 0, np.uint8)
    pixels[5:35, :45] = 60  # a breast on the left
    pixels[10:14, 20:30] = 250
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    return tmp_path / "a.png"


@pytest.mark.parametrize(
    "augmentations",
    [(), (T.Resize((80, 120)),), (BreastPreprocessing(crop=True, window=False),)],
    ids=["whole", "resized", "cropped"],
)
def test_boxes_are_those_of_the_image_as_it_is(path, augmentations):
    detector = SpotDetector(*augmentations)
    mirroring = MirroringDetector(detector)
    read = mirroring.reader.read(PredictionImage(path, "a.png"), with_view=True)
    (found,) = mirroring.detect([read.model_input])
    assert found.pred_boxes.tensor.tolist() == [pytest.approx([20, 10, 30, 14], abs=1e-4)]
    assert found.image_size == (40, 60)
    (seen,) = detector.seen
    assert seen[:, 0].max() < 30 < seen[:, -1].max()  # the model saw the mirror image
    # people see the image, 15 times as large
    assert (read.view[11 * 15 : 13 * 15, 21 * 15 : 29 * 15] == 250).all()


def test_settings_tell():
    assert MirroringDetector(SpotDetector()).settings() == {"weights": "a", "mirrored": True}
