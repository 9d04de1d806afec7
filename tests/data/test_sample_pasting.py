"""Pasting between samples of one stream; pixels and places are tested in test_lesion_pasting.py."""

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances

from medmask.data import LesionPasting
from medmask.data.sample_stream import SampleStream
from medmask.errors import InputError

SIZE = (80, 96)


def sample(boxes, level=100):
    """An image that is breast but for a black strip on the right."""
    image = torch.full((3, *SIZE), level, dtype=torch.uint8)
    image[:, :, 70:] = 0
    instances = Instances(SIZE)
    instances.gt_boxes = Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))
    instances.gt_classes = torch.arange(len(boxes)) % 2
    for x0, y0, x1, y1 in boxes:
        image[:, y0:y1, x0:x1] = level + 50
    return {"image": image, "instances": instances, "image_id": level}


def records(*boxes_of_images):
    return [
        {"boxes": boxes, "annotations": [{"iscrowd": 0, "bbox": box} for box in boxes]}
        for boxes in boxes_of_images
    ]


def test_a_sample_gets_the_lesions_of_another():
    own, other = sample([[5, 5, 15, 15]]), sample([[20, 20, 30, 32], [40, 50, 48, 60]], level=150)
    new = LesionPasting()(own, other)
    assert new["image_id"] == 100
    assert len(new["instances"]) == 3
    assert new["instances"].gt_classes.tolist() == [0, 0, 1]
    assert torch.equal(new["instances"].gt_boxes.tensor[0], torch.tensor([5.0, 5, 15, 15]))
    changed = (new["image"] != own["image"]).any(0)
    for x0, y0, x1, y1 in new["instances"].gt_boxes.tensor[1:].int().tolist():
        assert changed[y0:y1, x0:x1].float().mean() > 0.5
        changed[max(y0 - 3, 0) : y1 + 3, max(x0 - 3, 0) : x1 + 3] = False
    assert not changed.any()
    assert (len(own["instances"]), len(other["instances"])) == (1, 2)


def test_donors_are_images_with_lesions_and_samples_depend_on_their_index_alone():
    data = records([], [[20, 20, 30, 32]], [], [[40, 50, 48, 60]])
    pasting = LesionPasting(probability=1.0)
    assert pasting.candidates(data) == [1, 3]
    stream = SampleStream(data, lambda record: sample(record["boxes"]), 3, mix=pasting)
    numbers = [len(stream[i]["instances"]) for i in range(20)]
    assert set(numbers) == {1, 2}  # its own, and a pasted one
    again = SampleStream(data, lambda record: sample(record["boxes"]), 3, mix=pasting)
    for index in (17, 4):
        assert torch.equal(again[index]["image"], stream[index]["image"])


@pytest.mark.parametrize("probability", [0.0, 0.3])
def test_probability_is_that_of_a_sample(probability):
    data = records([[20, 20, 30, 32]])
    pasting = LesionPasting(probability=probability)
    stream = SampleStream(data, lambda record: sample(record["boxes"]), 0, mix=pasting)
    share = np.mean([len(stream[i]["instances"]) == 2 for i in range(200)])
    assert abs(share - probability) < 0.1


def test_a_set_without_lesions_has_nothing_to_paste():
    crowd = [{"annotations": [{"iscrowd": 1}]}]
    for data in (records([], []), crowd):
        with pytest.raises(InputError, match="no image has lesions: set the loader's mix to null"):
            SampleStream(data, lambda record: record, 0, mix=LesionPasting())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"probability": 1.5}, r"LesionPasting: probability is 1\.5, but must lie in \[0, 1\]"),
        ({"margin": -1.0}, r"LesionPasting: margin is -1\.0, but must be 0 or more"),
        ({"margin": float("nan")}, "LesionPasting: margin is nan"),
    ],
)
def test_senseless_numbers_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        LesionPasting(**options)


def test_samples_that_cannot_show_a_pasted_lesion_are_refused():
    whole = sample([[20, 20, 30, 32]])
    unlabeled = {key: value for key, value in whole.items() if key != "instances"}
    with pytest.raises(InputError, match="needs images with boxes"):
        LesionPasting()(unlabeled, unlabeled)
    for field in ("strong_image", "lesion_map"):
        with pytest.raises(InputError, match=f"cannot paste into {field}"):
            LesionPasting()(whole | {field: whole["image"]}, whole)
