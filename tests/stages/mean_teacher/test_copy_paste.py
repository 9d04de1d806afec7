import pytest
import torch
from detectron2.structures import Boxes, Instances

from medmask.errors import InputError
from medmask.stages.mean_teacher import LesionCopyPaste

SIZE = (80, 96)
ALWAYS = {"to_unlabeled_probability": 1.0, "to_labeled_probability": 1.0}


def sample(level, boxes, seed, label=0):
    """An image that is breast but for a black strip on the right."""
    image = torch.full((3, *SIZE), level, dtype=torch.uint8)
    image[:, :, 70:] = 0
    instances = Instances(SIZE)
    instances.gt_boxes = Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))
    instances.gt_classes = torch.full((len(boxes),), label, dtype=torch.int64)
    for x0, y0, x1, y1 in boxes:
        image[:, y0:y1, x0:x1] = min(level + 50, 255)
    return {"image": image, "instances": instances, "random_seed": seed, "file_name": str(seed)}


def test_lesions_go_both_ways_with_their_boxes_and_classes():
    labeled = [sample(100, [[20, 20, 30, 32]], 1, label=1)]
    unlabeled = [sample(150, [[40, 50, 48, 60]], 2, label=2)]
    new_labeled, new_unlabeled, count = LesionCopyPaste(**ALWAYS)(labeled, unlabeled)
    assert count == 2
    for new, old, other in (
        (new_labeled[0], labeled[0], unlabeled[0]),
        (new_unlabeled[0], unlabeled[0], labeled[0]),
    ):
        assert new["file_name"] == old["file_name"]
        own, given = old["instances"], other["instances"]
        boxes = new["instances"].gt_boxes.tensor
        assert torch.equal(boxes[:1], own.gt_boxes.tensor)
        assert new["instances"].gt_classes.tolist() == [
            int(own.gt_classes[0]),
            int(given.gt_classes[0]),
        ]
        sizes = boxes[:, 2:] - boxes[:, :2]
        given_sizes = given.gt_boxes.tensor[:, 2:] - given.gt_boxes.tensor[:, :2]
        assert torch.equal(sizes[1].sort().values, given_sizes[0].sort().values)  # perhaps turned
        # the lesion, 50 above its tissue, is added to this tissue where the box says
        x0, y0, x1, y1 = boxes[1].int().tolist()
        middle = new["image"][:, (y0 + y1) // 2, (x0 + x1) // 2].int()
        background = int(old["image"].max()) - 50
        assert ((middle - background - 50).abs() < 15).all()
        assert (new["image"][:, y0 - 5, x0:x1] == background).all()
    assert len(labeled[0]["instances"]) == 1  # what was given is left as it was


@pytest.mark.parametrize(
    ("options", "lengths"),
    [
        ({"to_unlabeled_probability": 0.0, "to_labeled_probability": 1.0}, (2, 1)),
        ({"to_unlabeled_probability": 1.0, "to_labeled_probability": 0.0}, (1, 2)),
    ],
)
def test_each_direction_has_a_probability_of_its_own(options, lengths):
    labeled, unlabeled = [sample(100, [[20, 20, 30, 32]], 1)], [sample(90, [[40, 50, 48, 60]], 2)]
    results = LesionCopyPaste(**options)(labeled, unlabeled)
    assert tuple(len(batch[0]["instances"]) for batch in results[:2]) == lengths


def test_directions_are_drawn_apart_for_samples_of_one_number():
    """Labeled and unlabeled images come from loaders of one seed."""
    labeled = [sample(100, [[20, 20, 30, 32]], seed) for seed in range(40)]
    unlabeled = [sample(90, [[40, 50, 48, 60]], seed) for seed in range(40)]
    batches = LesionCopyPaste()(labeled, unlabeled)[:2]
    pasted = list(
        zip(*([len(x["instances"]) == 2 for x in batch] for batch in batches), strict=True)
    )
    assert set(pasted) == {(a, b) for a in (False, True) for b in (False, True)}


def test_batches_of_two_lengths_and_images_without_lesions_are_legal():
    labeled = [sample(100, [], 1), sample(100, [[20, 20, 30, 32]], 2), sample(100, [], 3)]
    unlabeled = [sample(90, [], 4)]
    new_labeled, new_unlabeled, count = LesionCopyPaste(**ALWAYS)(labeled, unlabeled)
    assert (len(new_labeled), len(new_unlabeled), count) == (3, 1, 0)
    assert new_labeled == labeled


def test_places_are_those_of_the_sample_alone():
    def places(*seeds):
        labeled = [sample(100, [[20, 20, 30, 32]], 1)]
        batch = [sample(90, [], seed) for seed in seeds]
        _, pasted, _ = LesionCopyPaste(**ALWAYS)(labeled, batch)
        return [x["instances"].gt_boxes.tensor.tolist() for x in pasted]

    assert places(5) + places(6) == places(5, 6)
    assert places(5) != places(6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"to_labeled_probability": 2.0}, "to_labeled_probability is 2.0"),
        ({"to_unlabeled_probability": -0.1}, "to_unlabeled_probability is -0.1"),
        ({"margin": -0.1}, "margin is -0.1, but must be 0 or more"),
    ],
)
def test_senseless_numbers_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        LesionCopyPaste(**options)
