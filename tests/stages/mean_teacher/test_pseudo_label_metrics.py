import math

import pytest
import torch
from detectron2.structures import Boxes, Instances

from medmask.stages.mean_teacher.pseudo_label_metrics import measure_pseudo_labels


def boxes(centers, size=(100, 200), half=5.0, classes=None):
    centers = torch.tensor(centers, dtype=torch.float32).reshape(-1, 2)
    corners = torch.cat((centers - half, centers + half), dim=1)
    classes = torch.zeros(len(centers), dtype=torch.int64) if classes is None else classes
    return Instances(size, gt_boxes=Boxes(corners), gt_classes=classes)


def lesions(count):
    """Lesions of images, one each, all at other places."""
    return [[(10.0 + 9 * i, 20.0 + 3 * i)] for i in range(count)]


def test_labels_near_the_lesions_beat_those_of_other_images():
    truths = [boxes(x, half=4.0) for x in lesions(20)]
    labels = [boxes([(x + 1, y - 2)]) for ((x, y),) in lesions(20)]
    measures = measure_pseudo_labels(labels, truths)
    assert measures["precision"].value == measures["recall"].value == 1
    assert measures["precision"].constant == measures["recall"].constant == 0
    assert all(measure.beats_constant for measure in measures.values())


def test_labels_that_are_the_same_for_all_images_do_not():
    truths = [boxes(x) for x in lesions(20)]
    labels = [boxes([(19.0, 23.0)])] * 20
    measures = measure_pseudo_labels(labels, truths)
    assert measures["precision"].value == measures["precision"].constant > 0
    assert not any(measure.beats_constant for measure in measures.values())


@pytest.mark.parametrize(("number", "is_shown"), [(1, False), (2, True)])
def test_a_single_label_may_be_right_by_luck(number, is_shown):
    truths = [boxes(x, half=4.0) for x in lesions(20)]
    labels = [*truths[:number], *[boxes([(5.0, 95.0)])] * (20 - number)]
    for measure in measure_pseudo_labels(labels, truths).values():
        assert (measure.value, measure.constant) == (number / 20, 0)
        assert measure.beats_constant == is_shown


def test_precision_and_recall_are_counted_by_centers():
    truths = [boxes([(50.0, 50.0), (150.0, 50.0)]), boxes([])]
    labels = [
        boxes([(54.0, 50.0), (56.0, 50.0), (51.0, 52.0)], half=30.0),  # the second is outside
        boxes([(50.0, 50.0)]),
    ]
    measures = measure_pseudo_labels(labels, truths)
    assert measures["precision"].value == pytest.approx(2 / 4)
    assert measures["recall"].value == pytest.approx(1 / 2)
    # On each other's image, the last label finds the first lesion.
    assert measures["precision"].constant == pytest.approx(1 / 4)
    assert measures["recall"].constant == pytest.approx(1 / 2)


def test_other_images_of_another_size_are_scaled():
    truths = [boxes([(25.0, 25.0)], size=(50, 50)), boxes([(100.0, 50.0)], size=(100, 200))]
    measures = measure_pseudo_labels(truths, truths)
    assert measures["precision"].constant == 1


def test_a_label_of_another_class_is_wrong():
    truths = [boxes([(50.0, 50.0)])] * 2
    labels = [boxes([(50.0, 50.0)], classes=torch.ones(1, dtype=torch.int64))] * 2
    assert measure_pseudo_labels(labels, truths)["precision"].value == 0


def test_no_label_does_not_beat_anything_and_no_lesion_gives_no_measure():
    nothing, truths = [boxes([])] * 3, [boxes([(50.0, 50.0)])] * 3
    measures = measure_pseudo_labels(nothing, truths)
    assert math.isnan(measures["precision"].value)
    assert measures["recall"].value == 0
    assert not any(measure.beats_constant for measure in measures.values())
    assert measure_pseudo_labels(truths, nothing) == {}
