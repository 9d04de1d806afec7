#!/usr/bin/env python3
"""Write the annotation files of the benchmark beside those of a tree, which stay as they are.

From ``annotations/instances_{all,train,val,test}.json``, whose boxes are those of any lesion and
say ``malignant`` of each, come for both labels, lesion and malignant:

  all, train, val, test      the same images
  heldout                    val and test together
  fold0_train ... fold4_test five folds by patient: each patient is in one test set

Patients with lesions and those without are dealt to the folds apart, in an order that a hash of
their id and of the seed gives. So the folds depend on nothing else, and are the same everywhere.
"""

import argparse
import hashlib
from pathlib import Path
from typing import Any

from medmask.coco import read_coco
from medmask.errors import InputError
from medmask.utils.command_line import command_line_tool
from medmask.utils.json_files import read_json, write_json

LABELS = ("lesion", "malignant")
_SPLITS = ("all", "train", "val", "test")
_NAMES = ("instances_{}_lesion.json", "instances_{}_abnormality.json", "instances_{}.json")
"""Names of a file with any lesion; the first that exists is taken."""
_EXAMPLES = """examples:
  python benchmarks/make_splits.py datasets/inbreast datasets/mini_mias
"""


def make_splits(tree: Path, *, folds: int = 5, seed: int = 0) -> dict[str, tuple[int, int, int]]:
    """Write the files of one tree.

    Args:
        tree: with ``annotations`` and ``images``.
        folds: how many there are.
        seed: of the folds.

    Returns:
        Name of each file, without its suffix, to its patients, images and lesions.

    Raises:
        InputError: a file is missing or faulty, an image has no ``patient_id``, or a lesion does
            not say whether it is malignant.
    """
    content = {split: _read(tree, split) for split in _SPLITS}
    whole = content["all"]
    chosen = {
        split: {image["file_name"] for image in content[split]["images"]} for split in content
    }
    chosen["heldout"] = chosen["val"] | chosen["test"]
    for fold, patients in enumerate(deal_patients(whole, folds, seed)):
        test = {i["file_name"] for i in whole["images"] if i["patient_id"] in patients}
        chosen[f"fold{fold}_test"] = test
        chosen[f"fold{fold}_train"] = chosen["all"] - test
    counts = {}
    for label in LABELS:
        for split, file_names in chosen.items():
            part = _restrict(whole, file_names, label)
            write_json(tree / "annotations" / f"{label}_{split}.json", part)
            patients = {image["patient_id"] for image in part["images"]}
            sizes = len(patients), len(part["images"]), len(part["annotations"])
            counts[f"{label}_{split}"] = sizes
    return counts


def deal_patients(content: dict[str, Any], folds: int, seed: int) -> list[set[str]]:
    """The patients of each fold's test set.

    Args:
        content: of a COCO file whose images have a ``patient_id``.
        folds: how many there are.
        seed: of their order.

    Raises:
        InputError: there are fewer patients than folds.
    """
    patient_of = {image["id"]: image["patient_id"] for image in content["images"]}
    with_lesions = {patient_of[each["image_id"]] for each in content["annotations"]}
    without = set(patient_of.values()) - with_lesions

    def place(patient: str) -> bytes:
        return hashlib.sha256(f"{seed} {patient}".encode()).digest()

    patients = [*sorted(with_lesions, key=place), *sorted(without, key=place)]
    if len(patients) < folds:
        raise InputError(f"{folds} folds need as many patients, but there are {len(patients)}")
    # The second group goes on where the first one stopped, or fold 0 would get all remainders.
    return [set(patients[fold::folds]) for fold in range(folds)]


def _read(tree: Path, split: str) -> dict[str, Any]:
    """The content of a file with any lesion, after a check."""
    paths = [tree / "annotations" / name.format(split) for name in _NAMES]
    path = next((path for path in paths if path.is_file()), paths[-1])
    read_coco(path, tree / "images")
    content = read_json(path, "annotation file")
    for image in content["images"]:
        if image.get("patient_id") in (None, ""):
            raise InputError(
                f"{path}: image {image['file_name']} has no patient_id, which splits need"
            )
    for annotation in content["annotations"]:
        if not isinstance(annotation.get("malignant"), bool):
            raise InputError(
                f"{path}: annotation {annotation.get('id')} does not say true or false in "
                "'malignant': convert the set with its lesions' labels"
            )
    return content


def _restrict(content: dict[str, Any], file_names: set[str], label: str) -> dict[str, Any]:
    """The images of these names, and their lesions of a label as the only class, called like it."""
    images = [image for image in content["images"] if image["file_name"] in file_names]
    ids = {image["id"] for image in images}
    annotations = [
        {**annotation, "category_id": 1}
        for annotation in content["annotations"]
        if annotation["image_id"] in ids and (label == "lesion" or annotation["malignant"])
    ]
    return {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": label}],
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("trees", nargs="+", type=Path, metavar="TREE", help="folder of a data set")
    parser.add_argument("--seed", type=int, default=0, help="of the folds (default 0)")
    return parser


@command_line_tool
def main() -> None:
    options = _parser().parse_args()
    for tree in options.trees:
        for name, (patients, images, lesions) in make_splits(tree, seed=options.seed).items():
            print(f"{tree.name} {name}: {patients} patients, {images} images, {lesions} lesions")


if __name__ == "__main__":
    main()
