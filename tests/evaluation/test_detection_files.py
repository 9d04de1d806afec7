import copy
import json

import numpy as np
import pytest

from medmask.errors import InputError
from medmask.evaluation import (
    Detections,
    GroundTruth,
    detections_to_coco,
    read_detections,
)

IDS = [
    {"image_id": 3, "category_id": 4, "bbox": [0, 0, 2, 2], "score": 0.25},
    {"image_id": 7, "category_id": 2, "bbox": [5.5, 1, 0, 3], "score": 1},
]
"""Detections that are named by ids."""
NAMES = [{"file_name": "r/b/1.png"}, {"file_name": "r/a/1.png"}]
CLASSES = [{"category_name": "Malignant"}, {"category_name": "benign"}]


def build_truth(**changes) -> GroundTruth:
    """Two images without lesions, and two categories."""
    values = {
        "image_ids": (7, 3),
        "category_ids": (4, 2),
        "category_names": ("mal", "benign"),
        "boxes": np.zeros((0, 4)),
        "image_indices": np.zeros(0, np.int64),
        "category_indices": np.zeros(0, np.int64),
        "is_crowd": np.zeros(0, bool),
        "patients": (None, None),
        "lateralities": (None, None),
        "file_names": ("a/1.png", "b/1.png"),
    }
    return GroundTruth(**{**values, **changes})


@pytest.fixture
def read(tmp_path):
    """Write records to a file and read it."""

    def write_and_read(records, truth=None) -> Detections:
        path = tmp_path / "detections.json"
        path.write_text(records if isinstance(records, str) else json.dumps(records))
        return read_detections(path, truth or build_truth())

    return write_and_read


def with_fields(*added, of=IDS):
    """The detections with fields added, replaced or (by ...) removed."""
    records = copy.deepcopy(of)
    for fields in added:
        for record, extra in zip(records, fields, strict=True):
            record.update(extra)
            for key in [key for key, value in extra.items() if value is ...]:
                del record[key]
    return records


def assert_as_meant(detections: Detections) -> None:
    assert detections.boxes.tolist() == [[0, 0, 2, 2], [5.5, 1, 5.5, 4]]
    assert detections.scores.tolist() == [0.25, 1]
    assert detections.image_indices.tolist() == [1, 0]
    assert detections.category_indices.tolist() == [0, 1]


NO_IMAGE_ID = [{"image_id": None}, {"image_id": float("nan")}]
NO_CATEGORY_ID = [{"category_id": ...}, {"category_id": None}]


@pytest.mark.parametrize(
    "records",
    [
        IDS,
        with_fields([{"image_id": 3.0}, {"category_id": 2.0}]),
        with_fields(NAMES),
        with_fields(CLASSES),
        with_fields([{"file_name": ""}, {"file_name": float("nan")}]),
        with_fields(NAMES, NO_IMAGE_ID),
        with_fields(NAMES, [{"image_id": 1}, {"image_id": 2}]),  # ids of another numbering
        with_fields([{"file_name": "b/1.png"}, {"file_name": "a/1.png"}], NO_IMAGE_ID),
        with_fields([{"file_name": r"C:\x\b\1.png"}, {"file_name": "./a/1.png"}], NO_IMAGE_ID),
        with_fields(CLASSES, NO_CATEGORY_ID),
        with_fields(CLASSES, [{"category_id": 0}, {"category_id": 1}]),
        with_fields(NAMES, CLASSES, NO_IMAGE_ID, NO_CATEGORY_ID),
    ],
)
def test_ids_or_names_tell_what_is_meant(read, records):
    assert_as_meant(read(records))


@pytest.mark.parametrize(
    ("boxes", "sentence"),
    [
        ([[0.1, 0.2, 0.3, 0.4], [0.8, 0.8, 0.9, 0.95], [0, 0, 0, 0]], "look like shares of width"),
        ([[60, 30, 90, 70], [50, 40, 100, 80], [5, 5, 9, 9]], "2 of 3 boxes reach out of their"),
        # two are too few to tell, and others are right
        ([[60, 30, 90, 70], [50, 40, 100, 80]], None),
        ([[60, 30, 90, 70], [50, 40, 100, 80], [70, 10, 40, 20]], None),
        ([[0, 0, 1, 1], [5, 5, 50, 60], [2, 1, 90, 70]], None),
    ],
)
def test_boxes_of_another_form_are_refused(read, boxes, sentence):
    records = [{"image_id": 7, "category_id": 4, "bbox": box, "score": 0.5} for box in boxes]
    sized = build_truth(image_sizes=np.array([[100.0, 80.0], [np.nan, np.nan]]))
    assert len(read(records)) == len(boxes)  # without sizes nothing is known
    if sentence is None:
        assert len(read(records, sized)) == len(boxes)
    else:
        with pytest.raises(InputError, match=sentence):
            read(records, sized)


@pytest.mark.filterwarnings("error")
def test_corners_that_overflow_are_told_in_one_sentence(read):
    with pytest.raises(InputError, match=r"record 0: bbox .* of finite numbers"):
        read([{**IDS[0], "bbox": [1e308, 0, 1e308, 1]}])


def test_ids_need_no_names_in_the_annotations(read):
    assert_as_meant(read(with_fields(NAMES), build_truth(file_names=None)))
    assert_as_meant(read(with_fields(NAMES), build_truth(file_names=(None, None))))
    assert_as_meant(read(with_fields(CLASSES), build_truth(category_names=("4", "2"))))


def test_one_file_name_may_be_the_end_of_another(read):
    truth = build_truth(file_names=("1.png", "b/1.png"))
    exact = with_fields([{"file_name": "b/1.png"}, {"file_name": "1.png"}], NO_IMAGE_ID)
    assert_as_meant(read(exact, truth))
    with pytest.raises(InputError, match=r'"r/b/1\.png" fits "1\.png" and "b/1\.png"'):
        read(with_fields(NAMES, NO_IMAGE_ID), truth)


@pytest.mark.parametrize(
    ("records", "sentence"),
    [
        # numbered by place, in another order than the annotations: once scored 0 without a word
        (
            with_fields(NAMES, [{"image_id": 7}, {"image_id": 3}]),
            '2 faults: record 0: image_id 7 is "a/1.png" in the annotations, but file_name is '
            '"r/b/1.png"',
        ),
        (with_fields(NAMES, [{"image_id": 3}, {"image_id": 8}]), "record 1: image_id 8 is unknown"),
        (
            with_fields(NAMES, [{"image_id": 3}, {"image_id": None}]),
            "1 fault: record 1: image_id (missing or null) is unknown",
        ),
        (
            with_fields([{"file_name": "x/1.png"}, {"file_name": "r/a/1.png"}], NO_IMAGE_ID),
            'record 0: neither image_id (missing or null) nor file_name "x/1.png" is known',
        ),
        (
            with_fields([{"file_name": "1.png"}, {"file_name": "a/1.png"}], NO_IMAGE_ID),
            'record 0: file_name "1.png" fits "a/1.png" and "b/1.png"',
        ),
        (
            with_fields([{}, {"file_name": "a/1.png"}], NO_IMAGE_ID),
            "record 0: image_id (missing or null) is unknown, and there is no file_name",
        ),
        (
            with_fields([{"file_name": "x/a/1.png"}, {"file_name": "y/a/1.png"}], NO_IMAGE_ID),
            'file_name "y/a/1.png" and "x/a/1.png" of another record are different images',
        ),
        (
            with_fields([{"image_id": 7, "file_name": f"{f}/a/1.png"} for f in "xy"]),
            'file_name "y/a/1.png" and "x/a/1.png" of another record are different images',
        ),
        (with_fields([{"file_name": 5}, {}]), "record 0: file_name 5 is not text"),
        (
            with_fields(CLASSES, [{"category_id": 2}, {"category_id": 4}]),
            'record 0: category_id 2 is "benign" in the annotations, but category_name is '
            '"Malignant"',
        ),
        (
            with_fields(NO_CATEGORY_ID, [{"category_name": "mass"}, CLASSES[1]]),
            'neither category_id (missing or null) nor category_name "mass" is known',
        ),
        ("[{", "detections.json is cut off"),
        ({"annotations": IDS}, "are a JSON list"),
        ([IDS[0], "x"], "record 1 is not an object"),
        (with_fields([{"image_id": 8}, {}]), "record 0: image_id 8 is unknown"),
        (
            with_fields([{"image_id": "7"}, {}]),
            'image_id "7" is unknown, but the annotations have 7: write it so',
        ),
        (with_fields([{"image_id": True}, {}]), "image_id true is unknown"),
        (with_fields([{"image_id": [7]}, {}]), "image_id [7] is unknown"),
        (with_fields([{}, {"category_id": 9}]), "record 1: category_id 9 is unknown"),
        (with_fields([{}, {"score": np.nan}]), "record 1: score NaN is not a finite"),
        (with_fields([{}, {"score": np.inf}]), "score Infinity is not a finite"),
        (with_fields([{}, {"score": 10**400}]), "is not a finite"),
        (with_fields([{}, {"score": -0.5}]), "score -0.5 is not a finite"),
        (with_fields([{}, {"score": "0.5"}]), 'score "0.5" is not a finite'),
        (with_fields([{}, {"score": True}]), "score true is not a finite"),
        (with_fields([{}, {"score": 97.5}]), "score 97.5 is above 1; divide percentages by 100"),
        (with_fields([{"bbox": [1, 2, -3, 4]}, {}]), "has a negative width or height"),
        (with_fields([{"bbox": [1, 2, np.nan, 4]}, {}]), "is not [x, y, width, height]"),
        (with_fields([{"bbox": [1, 2, 10**400, 4]}, {}]), "is not [x, y, width, height]"),
        (with_fields([{"bbox": 5}, {}]), "bbox 5 is not [x, y, width, height]"),
        ([{}], "4 faults: record 0: image_id (missing or null) is unknown; record 0: category_id"),
        ([{}] * 30, "120 faults: record 0: image_id"),
        ([{}] * 30, "; and 110 more"),
    ],
)
def test_what_cannot_be_understood_is_refused(read, records, sentence):
    with pytest.raises(InputError) as error:
        read(records)
    assert sentence in str(error.value)
    assert "detections.json" in str(error.value)
    assert "\n" not in str(error.value)


def test_no_detections_are_legal(read):
    detections = read([])
    assert detections.boxes.shape == (0, 4)
    assert len(detections) == 0


def test_what_is_written_is_read(read):
    truth, random = build_truth(), np.random.default_rng(0)
    corners = random.uniform(0, [1e-7, 500], (200, 2)).astype(np.float32)
    boxes = np.hstack([corners, corners + random.uniform(0, 3000, (200, 2))]).astype(np.float32)
    written = Detections(
        boxes=boxes.astype(np.float64),
        scores=random.random(200).astype(np.float32).astype(np.float64),
        image_indices=random.integers(2, size=200),
        category_indices=random.integers(2, size=200),
    )
    records = detections_to_coco(truth, written)
    first = {
        "image_id": truth.image_ids[written.image_indices[0]],
        "file_name": truth.file_names[written.image_indices[0]],
        "category_id": truth.category_ids[written.category_indices[0]],
        "category_name": truth.category_names[written.category_indices[0]],
    }
    assert records[0].items() >= first.items()
    once = read(records)
    for field in ("scores", "image_indices", "category_indices"):
        np.testing.assert_array_equal(getattr(once, field), getattr(written, field))
    np.testing.assert_allclose(once.boxes, written.boxes, rtol=1e-12)
    twice = read(detections_to_coco(truth, once))
    np.testing.assert_array_equal(twice.boxes, once.boxes)


def test_an_image_of_no_data_set_is_known_by_its_name(read):
    nothing_known = {"image_id": None, "category_id": None}
    records = [
        nothing_known | {"file_name": file_name, "category_name": name, "bbox": box, "score": score}
        for file_name, name, box, score in (
            ("/elsewhere/b/1.png", "malignant", [0, 0, 2, 2], 0.25),
            ("/elsewhere/a/1.png", "benign", [5.5, 1, 0, 3], 1),
        )
    ]
    assert_as_meant(read(records))
