import copy
import json

import pytest

from medmask.errors import InputError
from medmask.evaluation import read_ground_truth

TRUTH = {
    "images": [
        {"id": 7, "width": 100, "height": 80, "patient_id": "P1", "laterality": "L"},
        {"id": 3},
    ],
    "categories": [{"id": 4, "name": "malignant"}, {"id": 2, "name": "benign"}],
    "annotations": [
        {"id": 0, "image_id": 3, "category_id": 2, "bbox": [10, 20, 5, 6.5]},
        {"id": 1, "image_id": 7, "category_id": 4, "bbox": [1, 2, 3, 4], "iscrowd": 1},
    ],
}


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.fixture
def truth_file(tmp_path):
    return write(tmp_path / "truth.json", TRUTH)


def changed(content, *edits):
    """A deep copy with values set: each edit is (*keys, value)."""
    content = copy.deepcopy(content)
    for *keys, last, value in edits:
        target = content
        for key in keys:
            target = target[key]
        target[last] = value
    return content


def test_reads_what_the_file_says(truth_file):
    truth = read_ground_truth(truth_file)
    assert truth.image_ids == (7, 3)
    assert truth.category_ids == (4, 2)
    assert truth.category_names == ("malignant", "benign")
    assert truth.boxes.tolist() == [[10, 20, 15, 26.5], [1, 2, 4, 6]]
    assert truth.image_indices.tolist() == [1, 0]
    assert truth.category_indices.tolist() == [1, 0]
    assert truth.is_crowd.tolist() == [False, True]
    assert truth.patients == ("P1", None)
    assert truth.lateralities == ("L", None)


def test_no_lesions_are_legal(tmp_path):
    truth = read_ground_truth(write(tmp_path / "truth.json", changed(TRUTH, ("annotations", []))))
    assert truth.boxes.shape == (0, 4)
    assert truth.num_lesions == 0


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('{"images": [{"id": 1}, {"i', "truth.json is cut off at line 1"),
        ([1, 2], "the top level is a list, not an object"),
        (changed(TRUTH, ("images", [])), "the list 'images' is empty"),
        (changed(TRUTH, ("images", 1, "id", 7)), "image id 7 is used by 2 records"),
        (changed(TRUTH, ("images", 0, "width", "100")), 'image 7 gives its width as text ("100")'),
        (changed(TRUTH, ("annotations", 0, "bbox", [1, 2, 3])), "[1, 2, 3] is not four finite"),
        (changed(TRUTH, ("annotations", 1, "iscrowd", "no")), 'iscrowd "no" is not 0 or 1'),
        (changed(TRUTH, ("images", 0, "patient_id", {})), "patient_id {} is neither text nor"),
        (
            changed(
                TRUTH, ("annotations", 0, "image_id", 99), ("annotations", 1, "category_id", {})
            ),
            "annotation 0 (image 99): no image has the id 99",
        ),
    ],
)
def test_faulty_ground_truth_is_refused(tmp_path, content, sentence):
    path = write(tmp_path / "truth.json", content)
    with pytest.raises(InputError) as error:
        read_ground_truth(path)
    assert str(path) in str(error.value)
    assert sentence in str(error.value)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.json cannot be read: No such file"):
        read_ground_truth(tmp_path / "nowhere.json")
    with pytest.raises(InputError, match="is not a file, but a folder"):
        read_ground_truth(tmp_path)
