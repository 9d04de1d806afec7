import math

import cv2
import detectron2.data.transforms as T
import numpy as np
import pytest
from detectron2.structures import BoxMode

from medmask.data import DetectionMapper, build_test_augmentation, build_train_augmentation
from medmask.data.mapper import augment_image
from medmask.data.pixel_spacing import pixel_spacing_of, spacing_problems, uses_pixel_spacing
from medmask.data.sample_stream import seeded
from medmask.errors import InputError
from medmask.images import read_pixel_spacing

IMAGE = np.zeros((331, 257, 3), np.uint8)


def _size(augmentation, spacing):
    return augment_image(IMAGE, augmentation, spacing).pixels.shape[:2]


@pytest.mark.parametrize(
    ("spacing", "expected"),
    [
        ((0.2, 0.2), (331 * 0.2 / 0.25, 257 * 0.2 / 0.25)),
        ((0.07, 0.07), (331 * 0.07 / 0.25, 257 * 0.07 / 0.25)),
        ((0.1, 0.3), (331 * 0.1 / 0.25, 257 * 0.3 / 0.25)),
        ((10.0, 10.0), (500, 500 * 257 / 331)),
        (None, (120, 100)),
    ],
    ids=["film", "digital", "rows-unlike-columns", "too-large", "unknown"],
)
def test_size_is_that_of_the_spacing(spacing, expected):
    augmentation = build_test_augmentation(
        short_edge_length=100, max_size=120 if spacing is None else 500, pixel_spacing_mm=0.25
    )
    if spacing is None:
        expected = _size(build_test_augmentation(short_edge_length=100, max_size=120), None)
    np.testing.assert_allclose(_size(augmentation, spacing), expected, atol=0.51)


def test_equal_lesions_are_equally_large(tmp_path):
    """One breast on two scanners, with its box, in training and in testing."""
    options = {"pixel_spacing_mm": 0.2, "max_size": 1000}
    train = build_train_augmentation(flip_probability=0, crop_probability=0, **options)
    for augmentation in (train, build_test_augmentation(**options)):
        boxes = []
        for side, spacing in ((200, 0.4), (800, 0.1)):
            path = tmp_path / f"{side}.png"
            cv2.imwrite(str(path), np.zeros((side, side), np.uint8))
            box = [0.1 * side, 0.2 * side, 0.3 * side, 0.15 * side]
            annotation = {"bbox": box, "bbox_mode": BoxMode.XYWH_ABS, "category_id": 0}
            record = {"file_name": str(path), "height": side, "width": side, "image_id": 1}
            record |= {"annotations": [annotation], "pixel_spacing_mm": spacing}
            sample = DetectionMapper(with_boxes=True, augmentation=augmentation)(record)
            assert sample["image"].shape == (3, 400, 400)
            boxes.append(sample["instances"].gt_boxes.tensor[0].tolist())
        np.testing.assert_allclose(boxes, [[40, 80, 160, 140]] * 2, atol=1e-4)


def test_scale_jitter_varies_the_size():
    augmentation = build_train_augmentation(
        crop_probability=0, flip_probability=0, pixel_spacing_mm=0.2, scale_range=(0.5, 2.0)
    )
    heights = []
    for index in range(40):
        with seeded(0, index):
            heights.append(_size(augmentation, (0.2, 0.2))[0])
    assert 0.5 * 331 - 1 <= min(heights) < 0.7 * 331
    assert 1.5 * 331 < max(heights) <= 2 * 331 + 1


def test_zooming_is_refused():
    with pytest.raises(InputError, match=r"crop_probability is 0\.5"):
        build_train_augmentation(pixel_spacing_mm=0.2)


@pytest.mark.parametrize("spacing", [0, -1.0, float("nan"), float("inf")])
def test_senseless_spacing_is_refused(spacing):
    with pytest.raises(InputError, match="pixel_spacing_mm"):
        build_test_augmentation(pixel_spacing_mm=spacing)


@pytest.mark.parametrize("spacing", [0, -0.2, "0.2", True, [0.2, 0.2], float("nan")])
def test_faulty_record_is_named(spacing):
    with pytest.raises(InputError, match=r"a\.png has the pixel_spacing_mm"):
        pixel_spacing_of({"file_name": "a.png", "pixel_spacing_mm": spacing})


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({}, None),
        ({"ImagerPixelSpacing": [0.07, 0.08]}, (0.07, 0.08)),
        ({"PixelSpacing": [0.2, 0.1]}, (0.2, 0.1)),
        ({"PixelSpacing": [0.2, 0.1], "ImagerPixelSpacing": [0.07, 0.07]}, (0.07, 0.07)),
    ],
    ids=["none", "imager", "pixel", "both"],
)
def test_dicom_states_its_spacing(write_dicom, elements, expected):
    path = write_dicom(np.zeros((4, 4), np.uint16), **elements)
    assert read_pixel_spacing(path) == expected
    assert pixel_spacing_of({"file_name": str(path)}) == expected
    assert pixel_spacing_of({"file_name": str(path), "pixel_spacing_mm": 0.3}) == (0.3, 0.3)


@pytest.mark.parametrize("value", [[0.1], [0.0, 0.1], [-1.0, 0.1]], ids=["one", "zero", "negative"])
def test_faulty_dicom_spacing_is_named(write_dicom, value):
    path = write_dicom(np.zeros((4, 4), np.uint16), ImagerPixelSpacing=value)
    with pytest.raises(InputError, match="Imager Pixel Spacing"):
        read_pixel_spacing(path)


def test_other_files_state_none(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), IMAGE)
    assert read_pixel_spacing(tmp_path / "a.png") is None


def test_who_asks_for_the_spacing_is_known():
    assert not uses_pixel_spacing(build_test_augmentation())
    assert uses_pixel_spacing(T.AugmentationList([build_test_augmentation(pixel_spacing_mm=1)]))


def test_spacings_of_a_file_that_are_none_are_found():
    sound = [{"id": 1}, *({"id": 2, "pixel_spacing_mm": x} for x in (0.05, 0.2, 1, 2.5))]
    assert not list(spacing_problems(sound))
    faults = ["0.07", 0, -0.07, math.inf, True, [0.07, 0.07]]
    problems = list(spacing_problems([{"id": 3, "pixel_spacing_mm": x} for x in faults]))
    assert len(problems) == len(faults)
    start = 'image 3: its pixel_spacing_mm "0.07" must be the side of a pixel in millimeters'
    assert problems[0].startswith(start)
    micrometers, meters = spacing_problems(
        [{"id": 3, "pixel_spacing_mm": 70}, {"id": 4, "pixel_spacing_mm": 7e-5}]
    )
    assert micrometers.startswith("image 3: its pixel_spacing_mm 70 is no side of a mammogram's")
    assert meters.startswith("image 4")
