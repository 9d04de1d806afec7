import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medmask.data import register_coco_dataset
from medmask.data.dataset_report import find_overlaps, inspect_dataset

TOOL = Path(__file__).parents[2] / "tools" / "check_dataset.py"


@pytest.fixture
def run(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", [TOOL.name, *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(TOOL), run_name="__main__")
        captured = capsys.readouterr()
        return end.value.code, captured.out, captured.err

    return run


def test_summary(coco_content, write_tree):
    coco_content["annotations"].append({**coco_content["annotations"][0], "id": 14, "iscrowd": 1})
    report = inspect_dataset("mine", *write_tree(coco_content))
    assert report.problems == []
    assert report.summary().startswith("3 images (2 with lesions), 3 lesions, 2 patients")
    sides = np.sqrt([20 * 30, 25.5 * 20, 100 * 80])
    np.testing.assert_allclose(report.box_sides, sides)
    assert f"50% {np.median(sides):.0f}" in report.summary()


def test_sizes_on_disk_are_compared(coco_content, write_tree):
    json_file, image_root = write_tree(coco_content)
    Image.fromarray(np.zeros((81, 100), np.uint8)).save(image_root / "1.png")
    (image_root / "3.png").write_bytes(b"no image")
    report = inspect_dataset("mine", json_file, image_root)
    wrong, unreadable = report.problems
    assert "image 1 (1.png) is 100 x 81" in wrong
    assert "says 100 x 80" in wrong
    assert "3.png cannot be read" in unreadable


def test_turned_photograph_is_told(coco_content, write_tree):
    json_file, image_root = write_tree(coco_content)
    exif = Image.Exif()
    exif[274] = 6  # a quarter turn
    Image.open(image_root / "1.png").save(image_root / "1.png", exif=exif)
    (problem,) = inspect_dataset("mine", json_file, image_root).problems
    assert "is 80 x 100" in problem
    assert (
        "(the sides are exchanged; an image with an EXIF orientation is turned as that says)"
        in problem
    )


def test_faults_that_training_would_stop_at_are_told(coco_content, write_tree):
    coco_content["annotations"][0]["segmentation"] = [[1, 2, 3]]
    coco_content["images"][2]["pixel_spacing_mm"] = "0.07"
    outline, spacing = inspect_dataset("mine", *write_tree(coco_content)).problems
    assert "its segmentation is faulty: a polygon of it" in outline
    assert 'its pixel_spacing_mm "0.07" must be' in spacing


def test_overlap_of_splits(coco_content, write_tree):
    first = inspect_dataset("a", *write_tree(coco_content, "a.json", "a"))
    coco_content["images"] = coco_content["images"][:1]
    coco_content["annotations"] = coco_content["annotations"][:2]
    second = inspect_dataset("b", *write_tree(coco_content, "b.json", "b"))
    assert find_overlaps(first, second) == [
        "a and b share 1 image (1.png); each must be in one split only",
        "a and b share 1 patient (P1); each must be in one split only",
    ]
    # each split may count its images from 1
    Image.fromarray(np.zeros((80, 100), np.uint8)).save(second.image_root / "1.png")
    (problem,) = find_overlaps(first, second)
    assert "share 1 patient" in problem
    coco_content["images"][0].update(file_name="other.png", patient_id="P9")
    third = inspect_dataset("c", *write_tree(coco_content, "c.json", "c"))
    assert find_overlaps(first, third) == []


def test_tool_on_files(run, coco_content, write_tree):
    json_file, image_root = write_tree(coco_content)
    code, out, _ = run("--json", json_file, "--images", image_root)
    assert code == 0
    assert f"{json_file}: no problems" in out
    assert "3 images (2 with lesions)" in out

    for annotation in coco_content["annotations"]:
        annotation["bbox"][2] = -1
    json_file.write_text(json.dumps(coco_content))
    code, out, _ = run("--json", json_file, "--images", image_root)
    assert code == 1
    assert f"{json_file}: 3 problems" in out
    for number in (11, 12, 13):
        assert f"annotation {number} " in out


def test_tool_on_names(run, coco_content, write_tree, monkeypatch, tmp_path):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    write_tree(coco_content, "ddsm/annotations/instances_train.json", "ddsm/images/train")
    write_tree(coco_content, "inbreast/annotations/instances_val.json", "inbreast/images/val")
    code, out, _ = run("ddsm_train", "inbreast_val")  # other sets may have the same names
    assert (code, "share" in out) == (0, False)
    write_tree(coco_content, "ddsm/annotations/instances_val.json", "ddsm/images/val")
    code, out, _ = run("ddsm_train", "ddsm_val", "ddsm_test")
    assert code == 1
    assert "ddsm_train and ddsm_val share 3 images" in out
    assert "data set 'ddsm_test' has no annotation file" in out


def test_sets_are_compared_with_their_own_splits_only(run, coco_content, write_tree):
    json_file, image_root = write_tree(coco_content)
    for name in ("one_train", "one_val", "two_val", "one_all", "one_fold0_train"):
        register_coco_dataset(f"family_{name}", json_file, image_root)
    names = ("family_one_train", "family_two_val", "family_one_all", "family_one_fold0_train")
    status, out, _ = run(*names)
    assert status == 0
    assert out.count("share") == 3
    for pair in ("one_train and family_one_all", "one_train and family_one_fold0_train"):
        assert f"note: family_{pair} share 3 images and 2 patients, which" in out
    status, out, _ = run(*names, "family_one_val")
    assert status == 1
    problems = [line for line in out.splitlines() if "share" in line and "note: " not in line]
    assert len(problems) == 2
    assert all(line.startswith("family_one_train and family_one_val share") for line in problems)


def test_part_that_contains_another_gets_a_note(run, coco_content, write_tree):
    json_file, image_root = write_tree(coco_content)
    for name in ("heldout", "val", "lesion_train"):
        register_coco_dataset(f"parts_{name}", json_file, image_root)
    status, out, _ = run("parts_heldout", "parts_val")
    assert status == 0
    assert "note: parts_heldout and parts_val share 3 images and 2 patients" in out
    status, out, _ = run("parts_lesion_train", "parts_heldout")  # other labels of the same images
    assert status == 1
    assert "parts_lesion_train and parts_heldout share 3 images" in out


def test_tool_on_wrong_arguments(run):
    assert run("no_such_set")[0] == 2
    code, _, err = run("--json", "a.json")
    assert code == 2
    assert "give one --images folder for each --json file" in err
    assert run()[0] == 2
