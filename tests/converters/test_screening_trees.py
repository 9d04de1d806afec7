"""Whole conversions of the screening sets: sound trees, whose labels reach training."""

from pathlib import Path

import pytest
from detectron2.config import LazyConfig, instantiate
from detectron2.data import DatasetCatalog, MetadataCatalog
from image_files import DEEP, GRAY
from raw_trees import RAW_TREES

from medmask.converters.options import ConversionOptions
from medmask.converters.run import convert
from medmask.data import register_coco_dataset
from medmask.data.dataset_dicts import load_coco
from medmask.data.dataset_report import inspect_dataset

CONFIG = Path(__file__).parents[2] / "configs/common/data/phantom.py"


@pytest.fixture
def converted(request, tmp_path):
    """The tree of a set, written from a raw one in miniature."""
    raw, output = tmp_path / "raw", tmp_path / request.param
    RAW_TREES[request.param](raw)
    report = convert(request.param, raw, output, ConversionOptions())
    return output, report


def load(output, split: str, label: str):
    suffix = "" if label == "malignant" else f"_{label}"
    json_file = output / f"annotations/instances_{split}{suffix}.json"
    report = inspect_dataset(split, json_file, output / "images", [label])
    assert not report.problems
    return load_coco(json_file, output / "images", [label])


@pytest.mark.parametrize(
    ("converted", "labels"),
    [
        ("cdd_cesm", {"P1_L_DM_MLO": (True, True), "P3_R_DM_CC": (False, False)}),
        ("inbreast", {"101": (False, False), "102": (True, True), "103": (False, True)}),
        # these do not mark all benign lesions
        ("csaw_cc", {"00075_20990909_R_CC_1": (False, None)}),
        ("rsna_bsd1k", {"2_21": (True, True)}),
        ("coco_tree", {"0": (True, True), "1": (False, True), "2": (None, None)}),
    ],
    indirect=["converted"],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_labels_of_images_are_those_that_the_set_tells(converted, labels):
    images = load(converted[0], "all", "lesion")
    found = {
        Path(image["file_name"]).stem: (image.get("malignant"), image.get("lesion"))
        for image in images
    }
    assert found.items() >= labels.items()


@pytest.mark.parametrize("converted", ["vindr_mammo"], indirect=True)
def test_vindr_mammo(converted):
    output, report = converted
    assert not report.problems
    # images of the breast of BI-RADS 4 that show no finding are neither positive nor negative
    assert [left.name for left in report.left_out] == ["e1/b", "e1/c"]
    for label in ("malignant", "lesion"):
        (image,) = load(output, "all", label)
        (annotation,) = image["annotations"]
        assert annotation["bbox"] == [1.5, 2, 18.5, 28]
        assert (image["malignant"], image["birads"], image["density"]) == (True, "4", "C")
        assert (image["height"], image["width"]) == DEEP.shape


@pytest.mark.parametrize("converted", ["rsna_bsd1k"], indirect=True)
def test_rsna_bsd1k(converted):
    output, report = converted
    assert not report.problems
    train, val = load(output, "train", "malignant"), load(output, "val", "malignant")
    assert [image["patient_id"] for image in train + val] == ["1", "2", "3", "4"]
    boxes = [[a["bbox"] for a in image["annotations"]] for image in val]
    assert boxes == [[[3, 4, 5, 6], [2, 2, 9, 9]], [[0, 1.5, 20, 30]]]
    assert all(image["malignant"] for image in val)
    assert (val[0]["height"], val[0]["width"]) == GRAY.shape


@pytest.mark.parametrize("converted", ["embed"], indirect=True)
def test_embed(converted):
    """Random noise is tissue everywhere; a region of two findings is of unknown malignancy."""
    output, report = converted
    assert not report.problems
    assert [left.name for left in report.left_out] == ["1/2/c", "1/2/b"]
    (image,) = load(output, "all", "lesion")
    # 28 pixels wide, and mirrored: no Patient Orientation, right side, CC
    assert [a["bbox"] for a in image["annotations"]] == [[8, 1, 18, 29], [19, 5, 4, 4]]
    assert image["exam_id"] == "2"


@pytest.mark.parametrize("converted", ["rsna"], indirect=True)
def test_rsna_is_unlabeled_and_keeps_its_image_labels(converted):
    output, report = converted
    assert not report.problems
    assert not report.left_out
    images = load(output, "all", "malignant")
    assert not any(image["annotations"] for image in images)
    assert {image["image_id"]: image["malignant"] for image in images} == {
        1: True,
        2: False,
        3: True,
    }


@pytest.mark.parametrize("converted", ["rsna"], indirect=True)
def test_an_unlabeled_set_is_accepted_as_unlabeled_training_data(converted):
    output, _ = converted
    name = "unlabeled_rsna_of_test"
    register_coco_dataset(
        name, output / "annotations/instances_all.json", output / "images", ["malignant"]
    )
    try:
        loader = LazyConfig.load(str(CONFIG)).unlabeled
        loader.update(dataset=name, total_batch_size=3, num_workers=0, seed=0)
        batch = next(iter(instantiate(loader)))
    finally:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
    assert {sample["image_id"]: sample["malignant"] for sample in batch} == {
        1: True,
        2: False,
        3: True,
    }
    assert not any("instances" in sample for sample in batch)
