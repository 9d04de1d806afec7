"""Generated COCO trees: readers find what is in a sound one, and name the fault of another."""

import random
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from campaign import RIGHT, run_campaign, seeds
from coco_trees import FAULTS, Tree, make_tree
from isolation import assert_accepted, call

from medmask.converters.contract import Contents
from medmask.converters.registry import find_converter
from medmask.data.dataset_dicts import load_coco
from medmask.data.dataset_report import inspect_dataset
from medmask.errors import InputError
from medmask.evaluation import read_ground_truth

NAMED = "named"


def check_converter(tree: Tree) -> None:
    """The converter finds each image once, with its split, patient and lesions."""
    contents = find_converter("coco_tree").read(tree.raw)
    assert contents.problems == []
    left_out = {x.name for x in tree.images if any(y.get("iscrowd") for y in x.lesions)}
    assert {each.name for each in contents.left_out} == left_out
    expected = {image.path: image for image in tree.images if image.name not in left_out}
    assert sorted(image.path for image in contents.images) == sorted(expected)
    assert len({image.name for image in contents.images}) == len(expected)
    for found in contents.images:
        image = expected[found.path]
        patient = image.record.get("patient_id")
        assert found.patient_id == (None if patient is None else str(patient))
        assert found.split == image.split
        assert len(found.lesions) == len(image.lesions)
        labels = [tree.malignant(lesion) for lesion in image.lesions]
        assert [lesion.malignant for lesion in found.lesions] == labels
        for lesion, told in zip(found.lesions, image.lesions, strict=True):
            x, y, width, height = told["bbox"]
            assert lesion.box == pytest.approx((x, y, x + width, y + height))
            assert len(lesion.outlines) == len(told.get("segmentation", ()))


def check_other_readers(tree: Tree) -> None:
    """The checker has nothing to say, and training and evaluation find the boxes of each file."""
    for name, images in tree.files.items():
        path, folder = tree.raw / "annotations" / name, images[0].folder
        assert inspect_dataset("tree", path, folder, tree.categories).problems == []
        records = load_coco(path, folder, tree.categories)
        assert [Path(record["file_name"]) for record in records] == [x.path for x in images]
        truth = read_ground_truth(path)
        boxes = [lesion["bbox"] for image in images for lesion in image.lesions]
        assert [box for x in records for box in (a["bbox"] for a in x["annotations"])] == boxes
        ends = np.array([[x, y, x + w, y + h] for x, y, w, h in boxes]).reshape(-1, 4)
        np.testing.assert_allclose(truth.boxes, ends)


def check_fault(tree: Tree, word: str) -> None:
    """The converter or the checker names a fault, and no image comes from nowhere."""
    told: list[str] = []
    contents = Contents()
    try:
        contents = find_converter("coco_tree").read(tree.raw)
        told += contents.problems
    except InputError as error:
        told.append(str(error))
    for name, images in tree.files.items():
        path = tree.raw / "annotations" / name
        told += inspect_dataset("tree", path, images[0].folder, tree.categories).problems
    assert any(word in sentence for sentence in told), f"{word} is not named: {told}"
    paths = {image.path for image in tree.images}
    for found in contents.images:
        assert found.path in paths
        assert found.path.is_file()


def try_trees(folder: Path, seeds: range) -> dict[str, int]:
    """Read a tree for each seed, every other one with a fault; runs in a child process."""

    def case(choose: random.Random) -> str:
        raw = Path(tempfile.mkdtemp(dir=folder))
        try:
            tree = make_tree(raw, choose)
            tree.write()
            name = choose.choice([*FAULTS, *[RIGHT] * len(FAULTS)])
            word = None if name == RIGHT else FAULTS[name](tree, choose)
            if word is None:
                check_converter(tree)
                check_other_readers(tree)
                return RIGHT
            check_fault(tree, word)
            return NAMED
        except AssertionError:
            raise
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error}") from error
        finally:
            shutil.rmtree(raw)

    return run_campaign(seeds, case)


@seeds
def test_trees(seeds, tmp_path):
    outcome = call(try_trees, tmp_path, seeds, seconds=60 + len(seeds))
    verdicts = assert_accepted(outcome)
    assert sum(verdicts.values()) == len(seeds)
    assert min(verdicts[RIGHT], verdicts[NAMED]) > len(seeds) / 4
