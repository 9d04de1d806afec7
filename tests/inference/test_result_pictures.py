import json

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from medmask.calibration import AppliedCalibration, read_calibration
from medmask.calibration.logistic import LogisticCalibrator
from medmask.calibration.report import FORMAT
from medmask.commands.visualize_results import main
from medmask.data import register_coco_dataset
from medmask.errors import InputError
from medmask.inference import draw_results

NAME = "drawn_set"
FILES = ("a/1-1.png", "b/1-1.png", "c/2.png")
DETECTION = {"image_id": 1, "category_id": 5, "bbox": [10, 10, 20, 20], "score": 0.9}


@pytest.fixture
def dataset(tmp_path):
    """Three images; two have one file name in different folders, as all of CBIS-DDSM have."""
    root = tmp_path / "images"
    for file_name in FILES:
        (root / file_name).parent.mkdir(parents=True)
        Image.fromarray(np.full((40, 50), 90, np.uint8)).save(root / file_name)
    content = {
        "images": [
            {"id": i, "file_name": file_name, "height": 40, "width": 50}
            for i, file_name in enumerate(FILES)
        ],
        "categories": [{"id": 5, "name": "malignant"}],
        "annotations": [
            {"image_id": 1, "category_id": 5, "bbox": [12, 12, 15, 15]},
            {"image_id": 0, "category_id": 5, "bbox": [12, 12, 15, 15], "iscrowd": 1},
        ],
    }
    (tmp_path / "set.json").write_text(json.dumps(content))
    register_coco_dataset(NAME, tmp_path / "set.json", root)
    yield NAME
    DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


@pytest.fixture
def draw(dataset, tmp_path):
    """Draw detections; gives the pictures by name."""

    def write_and_draw(
        detections=(DETECTION,), num_images=3, score_threshold=0.3, name=dataset, **options
    ):
        (tmp_path / "detections.json").write_text(json.dumps(list(detections)))
        draw_results(
            name,
            str(tmp_path / "detections.json"),
            tmp_path / "out",
            num_images=num_images,
            score_threshold=score_threshold,
            **options,
        )
        return {p.name: np.asarray(Image.open(p)) for p in sorted((tmp_path / "out").iterdir())}

    return write_and_draw


def test_images_of_one_name_get_pictures_of_their_own(draw):
    pictures = draw()
    has_color = {name: bool(np.ptp(pixels, axis=2).any()) for name, pixels in pictures.items()}
    assert has_color == {"a_1-1.png": False, "b_1-1.png": True, "2.png": False}


def test_images_with_lesions_come_first_under_the_same_names(draw):
    assert list(draw(num_images=1)) == ["b_1-1.png"]


def test_detections_are_known_by_their_names(draw):
    by_name = {**DETECTION, "image_id": None, "file_name": "/x/c/2.png", "category_id": None}
    pictures = draw([{**by_name, "category_name": "mal"}])
    assert np.ptp(pictures["2.png"], axis=2).any()


@pytest.mark.parametrize(("threshold", "is_drawn"), [(0.9, True), (0.95, False)])
def test_calibration_decides_what_is_drawn(draw, threshold, is_drawn):
    identity = LogisticCalibrator(1.0, 0.0)
    applied = AppliedCalibration(0.3, threshold, "a set", "hash", identity, identity)
    found = {**DETECTION, "image_id": 0}  # where no lesion is drawn
    picture = draw([found], calibration=applied, score_threshold=0.0)["a_1-1.png"]
    assert np.ptp(picture, axis=2).any() == is_drawn
    # no line at the bottom says that scores are not calibrated
    assert not (picture[-6:] == 0).all(axis=2).any()


def test_pictures_have_the_detections_of_their_own_images(draw):
    places = [(2, 10), (0, 10), (2, 30), (1, 20), (0, 28)]  # not in the order of the images
    found = [{**DETECTION, "image_id": i, "bbox": [x, 5, 6, 6]} for i, x in places]
    together = draw(found, nms_iou=None)
    for number, name in enumerate(("a_1-1.png", "b_1-1.png", "2.png")):
        alone = draw([x for x in found if x["image_id"] == number], nms_iou=None)
        assert (together[name] == alone[name]).all()
        assert np.ptp(together[name], axis=2).any()


def test_suppressed_detections_are_not_drawn(draw):
    found = {**DETECTION, "image_id": 2}
    beside = {**found, "bbox": [11, 11, 20, 20], "score": 0.8}
    alone = draw([found])["2.png"]
    assert (draw([found, beside], nms_iou=None)["2.png"] != alone).any()
    assert (draw([found, beside])["2.png"] == alone).all()


@pytest.fixture
def run_command(dataset, tmp_path):
    """Calls the command with the detections that were drawn last; gives a picture."""

    def run(name, *options):
        files = ("--detections", tmp_path / "detections.json", "--output", tmp_path / "out")
        with pytest.raises(SystemExit) as stopped:
            main([str(each) for each in ("--dataset", dataset, *files, *options)])
        assert not stopped.value.code
        return np.asarray(Image.open(tmp_path / "out" / name))

    return run


def test_command_draws_what_an_evaluation_counts(draw, run_command):
    found = {**DETECTION, "image_id": 2}
    beside = {**found, "bbox": [11, 11, 20, 20], "score": 0.8}
    alone = draw([found])["2.png"]
    draw([found, beside], nms_iou=None)
    assert (run_command("2.png") == alone).all()


def test_command_suppresses_as_the_calibration_did(draw, run_command, tmp_path):
    found = {**DETECTION, "image_id": 2}
    beside = {**found, "bbox": [11, 11, 20, 20], "score": 0.8}
    part = {"calibrator": {"method": "logistic", "slope": 1.0, "intercept": 0.0}}
    calibration = {
        **FORMAT,
        "source": {"weights_sha256": "0", "data_name": "a set"},
        "settings": {"nms_iou": 0.7},
        "operating_points": [{"fpi": 0.3, "threshold": 0.5}],
        "detections": part,
        "images": part,
    }
    (tmp_path / "calibration.json").write_text(json.dumps(calibration))
    calibrated = read_calibration(tmp_path / "calibration.json").at(0.3)
    alone = draw([found], calibration=calibrated)["2.png"]
    chosen = ("--operating-point", 0.3, "--calibration", tmp_path / "calibration.json")
    for other, is_drawn in ((beside, False), ({**beside, "bbox": [16, 16, 20, 20]}, True)):
        both = draw([found, other], calibration=calibrated, nms_iou=None)["2.png"]
        assert (both != alone).any()
        assert (run_command("2.png", *chosen) == (both if is_drawn else alone)).all()


def test_thresholds_of_the_command_exclude_each_other(dataset, capsys):
    files = ("--dataset", dataset, "--detections", "d.json", "--output", "out")
    with pytest.raises(SystemExit) as stopped:
        main([*files, "--errors-at", "0.3", "--score-threshold", "0.5"])
    assert stopped.value.code == 2
    assert "--score-threshold: not allowed with argument --errors-at" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_images": 0}, "number of images to draw must be at least 1, got 0"),
        ({"score_threshold": 1.5}, r"score threshold must be in \[0, 1\], got 1.5"),
        ({"score_threshold": float("nan")}, r"score threshold must be in \[0, 1\], got nan"),
        ({"name": "no_such_set"}, "'no_such_set' is not registered"),
        ({"detections": [{**DETECTION, "category_id": 6}]}, "category_id 6 is unknown"),
        ({"detections": [{**DETECTION, "image_id": 9}]}, "image_id 9 is unknown"),
        ({"detections": [{**DETECTION, "file_name": "a/1-1.png"}]}, "image_id 1 is .*b/1-1.png"),
        ({"detections": [{}]}, "4 faults"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw, options, words):
    with pytest.raises(InputError, match=words):
        draw(**options)
