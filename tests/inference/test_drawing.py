import time

import cv2
import numpy as np
import pytest
import torch
from detectron2.data.transforms import AugmentationList
from detectron2.structures import Boxes, Instances

from medmask.inference.drawing import LONGEST_SIDE, SHORTEST_SIDE, draw_overlay, make_view
from medmask.inference.image_reader import ImageReader
from medmask.inference.prediction_images import PredictionImage


def detections(size, *boxes):
    return Instances(
        size,
        pred_boxes=Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)),
        scores=torch.linspace(0.9, 0.1, len(boxes)),
        pred_classes=torch.arange(len(boxes)) % 2,
    )


@pytest.mark.parametrize(
    ("size", "drawn"),
    [
        ((256, 192), (800, 600)),
        ((600, 800), (600, 800)),
        ((4000, 3000), (2000, 1500)),
        ((1, 5000), (1, 2000)),
        ((5000, 1), (2000, 1)),
        ((1, 1), (600, 600)),
        ((3000, 20), (2000, 13)),
        ((2, 300), (13, 2000)),
    ],
)
def test_size_is_bounded_whatever_the_shape(size, drawn):
    image = np.zeros((*size, 3), np.uint8)
    boxes = ((0, 0, size[1], size[0]), (0, 0, 0, 0))
    overlay = draw_overlay(image, detections(size, *boxes), ["malignant", "benign"])
    assert overlay.shape == (*drawn, 3)
    assert overlay.dtype == np.uint8
    assert max(drawn) <= LONGEST_SIDE
    assert min(drawn) == SHORTEST_SIDE or max(size) * SHORTEST_SIDE > LONGEST_SIDE


def test_boxes_that_reach_far_out_are_drawn_as_far_as_the_image_goes():
    image = np.zeros((600, 600, 3), np.uint8)
    near, far = ((-9, 200, 609, 700), (-1e12, 200, 1e12, 1e12))
    expected = draw_overlay(image, detections((600, 600), near), ["malignant", "benign"])
    drawn = draw_overlay(image, detections((600, 600), far), ["malignant", "benign"])
    assert (drawn == expected).all()
    assert (drawn[200, [0, 300, 599]] != 0).any(axis=1).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -5.0, 300.0])
@pytest.mark.parametrize("size", [(700, 700), (50, 50), (4000, 4000)])
def test_values_out_of_range_stay_themselves(value, size):
    image = np.full((*size, 3), 100, np.float32)
    image[: size[0] // 2] = value
    overlay = draw_overlay(image, detections(size), [])
    expected = 255 if value > 255 else 0
    assert (overlay[: overlay.shape[0] // 2 - 20] == expected).all()
    assert (overlay[overlay.shape[0] // 2 + 20 :] == 100).all()


def test_boxes_lie_where_they_are_in_the_image():
    size = (400, 800)
    overlay = draw_overlay(
        np.zeros((*size, 3), np.uint8),
        detections(size, (200, 100, 600, 300)),
        ["malignant"],
        probabilities=np.array([0.4]),
    )
    scale = overlay.shape[0] / 400
    rows, columns = np.nonzero(overlay[round(80 * scale) :].max(axis=2))
    assert abs(columns.min() - 200 * scale) < 3
    assert abs(columns.max() - 600 * scale) < 3
    assert abs(rows.max() + round(80 * scale) - 300 * scale) < 3


@pytest.mark.parametrize("size", [(50, 60), (700, 800), (2400, 1800)])
def test_view_of_an_image_stands_for_it(size):
    image = np.random.default_rng(0).uniform(0, 255, (*size, 3)).astype(np.float32)
    found = detections(size, (20, 10, 40, 30))
    of_image, of_view = (draw_overlay(x, found, ["malignant"]) for x in (image, make_view(image)))
    assert (of_image == of_view).all()


def test_images_are_read_with_a_view_no_larger_than_pictures(tmp_path):
    path = tmp_path / "deep.png"
    cv2.imwrite(str(path), np.arange(2400 * 30, dtype=np.uint16).reshape(2400, 30))
    read = ImageReader(AugmentationList([])).read(PredictionImage(path, "deep"), with_view=True)
    assert read.model_input["image"].shape == (3, 2400, 30)
    assert (read.view.shape, read.view.dtype) == ((2000, 25, 3), np.uint8)


def test_annotated_boxes_are_green_and_dashed():
    overlay = draw_overlay(
        np.zeros((600, 600, 3), np.uint8),
        detections((600, 600)),
        [],
        np.array([[50, 50, 550, 550]]),
    )
    edge = overlay[50, 60:540].astype(int)
    green = edge[:, 1] - edge[:, 0] > 80
    assert 0.3 < green.mean() < 0.7


def test_scores_that_are_not_calibrated_say_so():
    image = np.zeros((600, 600, 3), np.uint8)
    found = detections((600, 600), (100, 100, 300, 300))
    as_score = draw_overlay(image, found, ["malignant"])
    as_probability = draw_overlay(image, found, ["malignant"], probabilities=np.array([0.9]))
    assert as_score[-20:].any()  # the line at the bottom
    assert not as_probability[-20:].any()
    assert not draw_overlay(image, detections((600, 600)), ["malignant"]).any()
    labels = [overlay[60:98] for overlay in (as_score, as_probability)]
    assert (labels[0] != labels[1]).any()


def test_full_mammogram_takes_a_fraction_of_a_second():
    image = np.zeros((6000, 5000, 3), np.uint8)
    start = time.process_time()
    draw_overlay(image, detections((6000, 5000), *[(9, 9, 99, 99)] * 20), ["a", "b"])
    assert time.process_time() - start < 3  # 13 s with matplotlib, 0.15 s here


def test_class_names_may_have_any_letters():
    """Each is drawn as itself, not all as the same box."""
    found = detections((600, 600), (100, 100, 300, 300))
    image = np.zeros((600, 600, 3), np.uint8)
    pictures = {draw_overlay(image, found, [name]).tobytes() for name in "aäößéłžβж"}
    assert len(pictures) == 9
