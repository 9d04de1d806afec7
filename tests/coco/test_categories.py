import pytest

from medmask.coco import map_categories
from medmask.errors import InputError


@pytest.mark.parametrize(
    ("names", "classes", "expected"),
    [
        ({3: "b", 1: "a"}, None, {1: 0, 3: 1}),
        ({5: "mal"}, ["malignant"], {5: 0}),
        ({1: "Car", 0: "person"}, ["car"], {1: 0}),
        ({1: "b", 2: "a"}, ["a", "b"], {2: 0, 1: 1}),
        ({5: " Mal ", 9: "ben"}, ["malignant"], {5: 0}),
        ({5: "cancer"}, ["Malignant"], {5: 0}),
    ],
)
def test_categories_are_mapped(names, classes, expected):
    categories = [{"id": id_, "name": name} for id_, name in names.items()]
    assert map_categories(categories, classes) == expected


@pytest.mark.parametrize(
    ("names", "classes"), [(["a", "b", "c"], ["x", "y"]), (["a", "x"], ["x", "y"]), ([], ["x"])]
)
def test_categories_that_do_not_match(names, classes):
    categories = [{"id": id_, "name": name} for id_, name in enumerate(names)]
    with pytest.raises(InputError, match="do not match the classes"):
        map_categories(categories, classes)
