"""Detections on a data set: whose classes must be those of the model."""

from types import SimpleNamespace

import pytest

from medmask.errors import InputError
from medmask.inference import detect_in_dataset
from medmask.inference.class_labels import ClassLabels, numbered_names


class Began(Exception):
    """The images are gone through."""


@pytest.fixture
def detect(monkeypatch):
    """Begins to detect by a model of some classes in a set of some classes."""

    def begin(name):
        raise Began

    def detect(model_classes, set_classes):
        predictor = SimpleNamespace(labels=ClassLabels(model_classes, (None,) * len(model_classes)))
        truth = SimpleNamespace(category_names=set_classes, image_ids=())
        detect_in_dataset(predictor, "mine", truth)

    monkeypatch.setattr("medmask.inference.dataset_detections.images_of_dataset", begin)
    return detect


@pytest.mark.parametrize(
    ("model_classes", "set_classes"),
    [
        (("mass", "mal"), ("Mass", "malignant")),
        (("malignant",), ("lesion",)),
        (numbered_names(2), ("mass", "calcification")),
    ],
    ids=["other spelling", "a single one", "unknown names"],
)
def test_classes_that_may_be_the_same(detect, model_classes, set_classes):
    with pytest.raises(Began):
        detect(model_classes, set_classes)


@pytest.mark.parametrize(
    ("set_classes", "words"),
    [
        (("calcification", "mass"), "mass, calcification, but those of mine calcification, mass"),
        (("mass", "malignant"), "the classes of the model are mass, calcification, but"),
        (("mass",), "the model has 2 classes, but mine has 1"),
    ],
    ids=["other order", "other names", "other number"],
)
def test_other_classes_are_refused(detect, set_classes, words):
    with pytest.raises(InputError, match=words):
        detect(("mass", "calcification"), set_classes)
