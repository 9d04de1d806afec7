"""Results lie on pixels of the stored image, whatever the detector was given of it."""

import numpy as np
import pydicom
import pytest
import torch
from detectron2.structures import Boxes, Instances
from painted_mammograms import TISSUE, paint_mammogram
from PIL import Image, ImageDraw

pytest.importorskip("highdicom", reason="DICOM results need the extra dicom-results")

from highdicom import sr

from medmask.data import build_test_augmentation
from medmask.dicom_results import read_predictions, write_results
from medmask.inference import PredictionOptions, predict_images
from medmask.inference.class_labels import ClassLabels
from medmask.inference.image_reader import ImageReader
from medmask.inference.prediction_images import images_of_files
from medmask.modeling.postprocessing import to_original_image

HEIGHT, WIDTH = 601, 437
SQUARE = (101, 260, 151, 310)
LEVEL = (TISSUE + 255) / 2  # where the edge of a blurred square is


class SquareDetector:
    """Finds the box of the brightest pixels in what it is given."""

    labels = ClassLabels(("mass",), (1,))
    weights_sha256 = "0" * 64

    def __init__(self, **augmentation: object) -> None:
        self.reader = ImageReader(build_test_augmentation(**augmentation))
        self.sizes: list[tuple[int, int]] = []

    def settings(self) -> dict:
        return {"weights": "0" * 16}

    def detect(self, inputs: list[dict]) -> list[Instances]:
        return [to_original_image(self._find(x["image"][0]), x) for x in inputs]

    def _find(self, plane: torch.Tensor) -> Instances:
        self.sizes.append(tuple(plane.shape))
        rows, columns = torch.nonzero(plane > LEVEL, as_tuple=True)
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        return Instances(
            tuple(plane.shape),
            pred_boxes=Boxes(torch.tensor([box], dtype=torch.float32)),
            scores=torch.tensor([0.9]),
            pred_classes=torch.tensor([0]),
        )


@pytest.fixture
def mammogram(phantom_studies, tmp_path):
    """A breast on the left; nothing but the square is brighter than tissue."""
    pixels = np.minimum(paint_mammogram(HEIGHT, WIDTH, artifacts=False)[0], TISSUE)
    pixels[SQUARE[1] : SQUARE[3], SQUARE[0] : SQUARE[2]] = 255
    dataset = pydicom.dcmread(phantom_studies[0])
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.PixelData = (pixels.astype("<u2") * 16).tobytes()
    path = tmp_path / "mammogram.dcm"
    dataset.save_as(path)
    return path


@pytest.mark.parametrize("short_edge", [301, 873])
@pytest.mark.parametrize("breast_crop", [False, True])
def test_boxes_read_back_lie_on_the_square(mammogram, tmp_path, breast_crop, short_edge):
    detector = SquareDetector(short_edge_length=short_edge, breast_crop=breast_crop)
    options = PredictionOptions(overlays=False)
    predict_images(detector, images_of_files([mammogram]), tmp_path / "p", options=options)
    assert not write_results(read_predictions(tmp_path / "p"), tmp_path / "out").problems
    ((height, width),) = detector.sizes
    assert (height, width) != (HEIGHT, WIDTH)
    assert (abs(height / width - HEIGHT / WIDTH) > 0.1) == breast_crop

    report, cad, state = (
        next((tmp_path / "out").rglob(f"{kind}*.dcm"))
        for kind in ("measurement_report", "cad_report", "presentation_state")
    )
    (group,) = sr.srread(report).content.get_planar_roi_measurement_groups()
    (annotation,) = pydicom.dcmread(state).GraphicAnnotationSequence
    outlines = [
        group.roi.value,
        np.reshape(annotation.GraphicObjectSequence[0].GraphicData, (-1, 2)),
        next(_outlines(pydicom.dcmread(cad))),
    ]
    for outline in outlines:
        corners = (*outline.min(axis=0), *outline.max(axis=0))
        # a pixel of what the detector sees, in stored pixels
        np.testing.assert_allclose(corners, SQUARE, atol=max(HEIGHT / height, 1) * 0.51 + 0.01)

    stored = pydicom.dcmread(mammogram).pixel_array
    canvas = Image.new("1", (WIDTH, HEIGHT))
    points = outlines[0] - 0.5  # of the drawing, whose pixels have their centers at whole numbers
    ImageDraw.Draw(canvas).polygon([tuple(map(round, point)) for point in points], fill=1)
    inside, bright = np.asarray(canvas), stored > LEVEL * 16
    assert (inside & bright).sum() > 0.9 * (inside | bright).sum()


def _outlines(item: pydicom.Dataset):
    if item.get("GraphicType") == "POLYLINE":
        yield np.reshape(item.GraphicData, (-1, 2))
    for child in item.get("ContentSequence", ()):
        yield from _outlines(child)
