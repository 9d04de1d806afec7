import numpy as np
import pytest
import torch
from detectron2.structures import BoxMode
from PIL import Image
from torch.testing import assert_close

from medmask.data import (
    DetectionMapper,
    PairedViewMapper,
    build_photometric_augmentation,
    build_train_augmentation,
)
from medmask.data.sample_stream import seeded


@pytest.fixture
def dataset_dict(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 200, (90, 70), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    annotation = {"bbox": [9, 8, 20, 30], "bbox_mode": BoxMode.XYWH_ABS, "category_id": 0}
    return {
        "file_name": str(tmp_path / "image.png"),
        "image_id": 5,
        "height": 90,
        "width": 70,
        "annotations": [annotation],
    }


def make_geometry():
    return build_train_augmentation(short_edge_lengths=[60, 80], crop_probability=0)


def make_photometric(**options):
    never = {"jitter_probability": 0, "grayscale_probability": 0, "blur_probability": 0}
    return build_photometric_augmentation(**never | options)


def run(mapper, dataset_dict, index):
    with seeded(0, index):
        return mapper(dataset_dict)


def test_views_differ_in_pixels_only(dataset_dict):
    """The strong view is a multiple of the weak one: both were flipped and resized alike."""
    strength = {"jitter_probability": 1, "brightness": 0.2, "contrast": 0}
    photometric = make_photometric(**strength)
    paired = PairedViewMapper(
        with_boxes=True, augmentation=make_geometry(), photometric=photometric
    )
    plain = DetectionMapper(with_boxes=True, augmentation=make_geometry())
    factors = set()
    for index in range(8):
        sample, expected = run(paired, dataset_dict, index), run(plain, dataset_dict, index)
        weak, strong = sample["image"], sample["strong_image"]
        assert torch.equal(weak, expected["image"])
        assert strong.shape == weak.shape
        assert strong.dtype == weak.dtype == torch.uint8
        assert strong.is_contiguous()
        boxes, expected_boxes = (x["instances"].gt_boxes.tensor for x in (sample, expected))
        assert torch.equal(boxes, expected_boxes)
        factor = float(strong.sum() / weak.sum())
        assert_close(strong.float(), factor * weak.float(), rtol=0, atol=1.0)
        factors.add(round(factor, 3))
    assert len(factors) == 8


def test_boxes_only_where_they_are_asked_for(dataset_dict):
    mapper = PairedViewMapper(
        with_boxes=False, augmentation=make_geometry(), photometric=make_photometric()
    )
    sample = run(mapper, dataset_dict, 0)
    assert not {"instances", "annotations"} & sample.keys()
    assert torch.equal(sample["strong_image"], sample["image"])


@pytest.mark.parametrize("with_boxes", [True, False])
def test_plain_mapper_changes_pixels_after_geometry(dataset_dict, with_boxes):
    photometric = make_photometric(blur_probability=1, blur_sigma_range=(1.5, 1.5))
    mapper = DetectionMapper(
        with_boxes=with_boxes, augmentation=make_geometry(), photometric=photometric
    )
    paired = PairedViewMapper(
        with_boxes=with_boxes, augmentation=make_geometry(), photometric=photometric
    )
    for index in range(4):
        sample, views = run(mapper, dataset_dict, index), run(paired, dataset_dict, index)
        assert torch.equal(sample["image"], views["strong_image"])
        assert not torch.equal(sample["image"], views["image"])
        assert ("instances" in sample) == with_boxes
