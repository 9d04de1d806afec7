import pytest
import torch
from detectron2.structures import Boxes, Instances

from medmask.errors import InputError
from medmask.modeling.targets import prepare_targets

BOX = [5.0, 10.0, 30.0, 40.0]
CPU = torch.device("cpu")


@pytest.fixture
def sample(make_input):
    return make_input(64, 48, [BOX]) | {"file_name": "images/7.png"}


def refuse(sample, match):
    with pytest.raises(InputError, match=match):
        prepare_targets([sample], 1, CPU)


def test_image_without_instances_is_told_to_be_detected_in(make_model, sample):
    """The usual reason is a detector that was never put into evaluation mode."""
    del sample["instances"]
    with pytest.raises(InputError, match=r"images/7\.png has no instances .*eval\(\)"):
        make_model().train()([sample])


def test_instances_without_fields_are_refused(sample):
    sample["instances"] = Instances((64, 48))
    refuse(sample, r"images/7\.png has no instances with gt_boxes and gt_classes")


def test_instances_of_another_size_than_the_image_are_refused(sample):
    """Their boxes would be divided by the wrong size, and lie elsewhere without a word."""
    whole = sample["instances"]
    sample["instances"] = Instances((128, 96), **whole.get_fields())
    refuse(sample, r"images/7\.png is 64 x 48 pixels .* its instances are of 128 x 96")


@pytest.mark.parametrize(
    "box",
    [[30.0, 10.0, 25.0, 40.0], [float("nan"), 10.0, 30.0, 40.0], [5.0, 10.0, 30.0, float("inf")]],
    ids=["width-for-x1", "nan", "inf"],
)
def test_what_is_no_box_is_refused(sample, make_input, box):
    sample["instances"].gt_boxes = Boxes(torch.tensor([box]))
    other = make_input(64, 48, [BOX])
    with pytest.raises(InputError, match=r"images/7\.png has the box \[.*BoxMode"):
        prepare_targets([other, sample], 1, CPU)


def test_box_without_area_and_box_outside_are_taken(sample):
    sample["instances"].gt_boxes = Boxes(torch.tensor([[70.0, 10.0, 70.0, 40.0]]))
    (target,) = prepare_targets([sample], 1, CPU)
    assert target.boxes[0, 2] == 0
    assert target.boxes[0, 0] > 1


def test_classes_of_floating_point_are_refused(sample):
    sample["instances"].gt_classes = torch.tensor([0.0])
    refuse(sample, r"gt_classes of torch\.float32")


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
def test_classes_of_other_integers_train_alike(make_model, sample, dtype):
    model = make_model()
    expected = model([sample])
    sample["instances"].gt_classes = sample["instances"].gt_classes.to(dtype)
    torch.testing.assert_close(model([sample]), expected)
