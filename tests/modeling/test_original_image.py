"""Detections in original pixels, by a detector that finds painted squares and nothing else."""

import cv2
import numpy as np
import pytest
import torch
from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.structures import Boxes, Instances
from painted_mammograms import TISSUE, paint_mammogram
from PIL import Image

from medmask.data import DetectionMapper, build_test_augmentation, build_train_augmentation
from medmask.data.sample_stream import seeded
from medmask.errors import InputError
from medmask.modeling import MedMask
from medmask.modeling.decoder import DecoderOutput
from medmask.modeling.postprocessing import to_original_image
from medmask.modeling.transformer import TransformerOutput

HEIGHT, WIDTH = 601, 437  # odd, and no multiple of any stride
SQUARE = (101, 260, 151, 310)
LEVEL = (TISSUE + 255) / 2  # where the edge of a blurred square is


class SquareFinder(MedMask):
    """A detector whose only query is the box of the brightest pixels."""

    def detect(self, images):
        boxes = []
        for image, (height, width) in zip(images.tensor, images.image_sizes, strict=True):
            pixels = (image * self.pixel_std + self.pixel_mean)[0, :height, :width]
            rows, columns = torch.nonzero(pixels > LEVEL, as_tuple=True)
            x0, x1 = columns.min() / width, (columns.max() + 1) / width
            y0, y1 = rows.min() / height, (rows.max() + 1) / height
            boxes.append(torch.stack([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0]))
        boxes = torch.stack(boxes)[None, :, None]
        logits = torch.full((1, boxes.shape[1], 1, 1), 3.0)
        return TransformerOutput(None, None, DecoderOutput(logits, boxes, None), None)


@pytest.fixture
def detector(make_model):
    model = make_model().eval()
    model.__class__ = SquareFinder
    return model


def _painted(side):
    """Nothing but the square is brighter than tissue."""
    image, _ = paint_mammogram(HEIGHT, WIDTH, side=side, artifacts=False)
    box = SQUARE if side == "left" else (WIDTH - SQUARE[2], SQUARE[1], WIDTH - SQUARE[0], SQUARE[3])
    image = np.minimum(image, TISSUE)
    image[box[1] : box[3], box[0] : box[2]] = 255
    return image, box


@pytest.fixture(params=["png8", "png16", "dicom"])
def save(request, tmp_path, write_dicom):
    def save(image):
        if request.param == "dicom":
            return write_dicom(image.astype(np.uint16) * 16, BitsStored=12)
        path = tmp_path / "image.png"
        if request.param == "png16":
            cv2.imwrite(str(path), image.astype(np.uint16) * 257)
        else:
            Image.fromarray(image).save(path)
        return path

    return save


def _dataset_dict(path):
    size = {"height": HEIGHT, "width": WIDTH}
    return {"file_name": str(path), "image_id": 1, "annotations": [], **size}


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("short_edge", [WIDTH, 301, 873])
@pytest.mark.parametrize("breast_crop", [False, True])
def test_square_is_found_where_it_is(detector, save, breast_crop, short_edge, side):
    image, box = _painted(side)
    augmentation = build_test_augmentation(short_edge_length=short_edge, breast_crop=breast_crop)
    mapper = DetectionMapper(with_boxes=False, augmentation=augmentation)
    sample = mapper(_dataset_dict(save(image)))
    x0, y0, x1, y1 = sample["original_corners"]
    is_cropped = (y1 - y0) * (x1 - x0) < 0.8 * HEIGHT * WIDTH
    assert is_cropped == breast_crop
    with torch.no_grad():
        (output,) = detector([sample])
    instances = output["instances"]
    assert instances.image_size == (HEIGHT, WIDTH)
    # half a pixel of what the detector sees, in original pixels
    tolerance = 0.51 * (y1 - y0) / sample["image"].shape[1]
    np.testing.assert_allclose(instances.pred_boxes.tensor[0], box, atol=max(tolerance, 0.51))


def test_square_is_found_in_augmented_images(detector, tmp_path):
    """Mirrored, zoomed into, resized, and several of them padded to a batch."""
    image, box = _painted("left")
    Image.fromarray(image).save(tmp_path / "image.png")
    augmentation = build_train_augmentation(
        short_edge_lengths=[400, 500], crop_probability=0, breast_crop=True
    )
    mapper = DetectionMapper(with_boxes=False, augmentation=augmentation)
    samples = []
    for index in range(8):
        with seeded(0, index):
            samples.append(mapper(_dataset_dict(tmp_path / "image.png")))
    assert {s["original_corners"][0] > s["original_corners"][2] for s in samples} == {False, True}
    assert len({s["image"].shape for s in samples}) > 1
    with torch.no_grad():
        outputs = detector(samples)
    for output in outputs:
        np.testing.assert_allclose(output["instances"].pred_boxes.tensor[0], box, atol=0.6)


def _detections(boxes, size):
    scores = torch.linspace(0.9, 0.5, len(boxes))
    return Instances(size, pred_boxes=Boxes(torch.tensor(boxes)), scores=scores)


def test_boxes_without_a_crop_are_scaled_as_detectron2_does():
    boxes = torch.rand(50, 2, 2).sort(dim=1).values.flatten(1) * 70
    expected = detector_postprocess(_detections(boxes.tolist(), (61, 67)), 417, 333)
    ours = to_original_image(_detections(boxes.tolist(), (61, 67)), {"height": 417, "width": 333})
    assert ours.image_size == expected.image_size
    torch.testing.assert_close(ours.scores, expected.scores, rtol=0, atol=0)
    torch.testing.assert_close(ours.pred_boxes.tensor, expected.pred_boxes.tensor)


def test_boxes_of_a_crop_are_moved_mirrored_and_clipped():
    sample = {"height": 100, "width": 100, "original_corners": (60, 10, 20, 110)}  # mirrored
    boxes = [[0.0, 0, 10, 10], [5, 40, 20, 50], [0, 46, 3, 50]]
    detections = to_original_image(_detections(boxes, (50, 20)), sample)
    # 2 original pixels to a pixel; the last lies below the original image
    assert detections.pred_boxes.tensor.tolist() == [[40, 10, 60, 30], [20, 90, 50, 100]]
    assert len(detections.scores) == 2


def test_turned_image_is_refused():
    sample = {"file_name": "a.png", "height": 9, "width": 9, "original_corners": None}
    with pytest.raises(InputError, match=r"a\.png was turned"):
        to_original_image(_detections([[0.0, 0, 1, 1]], (9, 9)), sample)
