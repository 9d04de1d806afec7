"""COCO trees in miniature, whose content is known: sound ones, and ones with a single fault."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SPLITS = ("train", "val", "test")
WHOLE, ODD_NAME, WHOLE_AND_SPLITS, IN_SPLITS, IN_FOLDERS = range(5)
"""Layouts: a file of all images, under its name or another; with splits; splits alone, whose images
are in one folder, or in a folder each."""
_ENDINGS = ("", "_lesion", "_abnormality")
_FOLDERS = ("", "", "case 1/", "größe/", "a/b/c/")
_CATEGORIES = (["malignant"], ["benign", "malignant"], ["mass"], ["mass", "calcification"])
_MEANINGS = {"malignant": True, "benign": False}


@dataclass
class TreeImage:
    """An image of a tree, and what readers have to find of it."""

    record: dict[str, Any]
    split: str | None
    folder: Path
    lesions: list[dict[str, Any]] = field(default_factory=list)

    @property
    def path(self) -> Path:
        return self.folder / self.record["file_name"]

    @property
    def name(self) -> str:
        return self.record["file_name"]


@dataclass
class Tree:
    """A tree: its images, and the names of its annotation files with the images of each."""

    raw: Path
    layout: int
    categories: list[str]
    images: list[TreeImage]
    files: dict[str, list[TreeImage]]

    def malignant(self, lesion: dict[str, Any]) -> bool | None:
        """What a lesion's flag says, or else its category."""
        by_category = _MEANINGS.get(self.categories[lesion["category_id"] - 1])
        return lesion.get("malignant", by_category)

    def write(self) -> None:
        """Write images and annotation files."""
        for image in self.images:
            image.path.parent.mkdir(parents=True, exist_ok=True)
            size = image.record["height"], image.record["width"]
            deep = image.record["id"] % 2 if isinstance(image.record["id"], int) else 0
            Image.fromarray(np.full(size, 100, np.uint16 if deep else np.uint8)).save(image.path)
        for name, images in self.files.items():
            path = self.raw / "annotations" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(self.content(images)))

    def content(self, images: list[TreeImage]) -> dict[str, Any]:
        """The content of an annotation file."""
        return {
            "images": [image.record for image in images],
            "annotations": [lesion for image in images for lesion in image.lesions],
            "categories": [{"id": i + 1, "name": name} for i, name in enumerate(self.categories)],
        }


def make_tree(raw: Path, choose: random.Random) -> Tree:
    """Draw a sound tree; nothing of it is on the disk yet."""
    layout = choose.randrange(5)
    categories = choose.choice(_CATEGORIES)
    has_splits = layout >= WHOLE_AND_SPLITS
    # one file alone is that of all images, whatever its name
    splits = choose.sample(SPLITS, choose.randint(2, 3)) if has_splits else []
    text_ids = choose.random() < 0.3
    images = []
    for number in range(choose.randint(2 if has_splits else 1, 6)):
        split = splits[number % len(splits)] if splits else None
        folder = raw / "images" / split if layout == IN_FOLDERS else raw / "images"
        image_id = f"i{number}" if text_ids else number
        images.append(TreeImage(_draw_record(image_id, number, choose), split, folder))
    number = 0
    for image in images:
        for _ in range(choose.choice((0, 0, 1, 2, 3))):
            number += 1
            image.lesions.append(_draw_lesion(number, image.record, len(categories), choose))
    ending = choose.choice(_ENDINGS)
    files: dict[str, list[TreeImage]] = {}
    if layout in (WHOLE, WHOLE_AND_SPLITS):
        files[f"instances_all{ending}.json"] = images
    if layout == ODD_NAME:
        files[choose.choice(("mine.json", "größe 1.json", "instances.json"))] = images
    for split in splits:
        members = [image for image in images if image.split == split]
        if members:
            files[f"instances_{split}{ending}.json"] = members
    return Tree(raw, layout, categories, images, files)


def _draw_record(image_id: int | str, number: int, choose: random.Random) -> dict[str, Any]:
    name = choose.choice((f"{number}", f"x {number}", f"1.2.840.{number}", f"影像{number}"))
    record = {
        "id": image_id,
        "file_name": f"{choose.choice(_FOLDERS)}{name}{choose.choice(('.png', '.tif', '.PNG'))}",
        "width": choose.randint(12, 40),
        "height": choose.randint(12, 40),
    }
    patient = choose.choice((None, 7, "p1", f"p{number}"))
    return record if patient is None else record | {"patient_id": patient}


def _draw_lesion(
    number: int, image: dict[str, Any], num_categories: int, choose: random.Random
) -> dict[str, Any]:
    x, y = choose.randint(0, 5) + choose.choice((0, 0.5)), choose.randint(0, 5)
    width = choose.choice((2, 3.25, image["width"] - 6))
    height = choose.choice((2, 4.5, image["height"] - 6))
    lesion = {
        "id": number,
        "image_id": image["id"],
        "category_id": choose.randint(1, num_categories),
        "bbox": [x, y, width, height],
    }
    if choose.random() < 0.3:
        lesion["segmentation"] = [[x, y, x + width, y, x + width, y + height]]
    if choose.random() < 0.3:
        lesion["malignant"] = choose.choice((True, False))
    if choose.random() < 0.15:
        lesion["iscrowd"] = 1
    return lesion


Fault = Callable[[Tree, random.Random], str | None]
"""Changes a tree that is written; returns a word that whoever finds it names, None if there is no
place for such a fault."""


def _rewrite(tree: Tree) -> None:
    for name, images in tree.files.items():
        (tree.raw / "annotations" / name).write_text(json.dumps(tree.content(images)))


def _lose_image(tree: Tree, choose: random.Random) -> str:
    image = choose.choice(_kept(tree))
    image.path.unlink()
    return image.name


def _empty_image(tree: Tree, choose: random.Random) -> str:
    image = choose.choice(_kept(tree))
    image.path.write_bytes(choose.choice((b"", b"no image", image.path.read_bytes()[:20])))
    return image.name


def _other_size(tree: Tree, choose: random.Random) -> str:
    image = choose.choice(_kept(tree))
    Image.fromarray(np.zeros((77, 66), np.uint8)).save(image.path)
    return image.name


def _kept(tree: Tree) -> list[TreeImage]:
    """Images that are not left out anyway, or all if there are none."""
    return [x for x in tree.images if not _is_left_out(x)] or tree.images


def _is_left_out(image: TreeImage) -> bool:
    return any(lesion.get("iscrowd") for lesion in image.lesions)


def _of_lesion(field_name: str, *values: Any) -> Fault:
    def change(tree: Tree, choose: random.Random) -> str | None:
        images = [image for image in tree.images if not _is_left_out(image)]
        lesions = [lesion for image in images for lesion in image.lesions]
        if not lesions:
            return None
        choose.choice(lesions)[field_name] = choose.choice(values)
        _rewrite(tree)
        return field_name.split("_")[0]

    return change


def _of_image(field_name: str, word: str, *values: Any) -> Fault:
    def change(tree: Tree, choose: random.Random) -> str:
        choose.choice(_kept(tree)).record[field_name] = choose.choice(values)
        _rewrite(tree)
        return word

    return change


def _in_two_splits(tree: Tree, choose: random.Random) -> str | None:
    names = [name for name in tree.files if "_all" not in name]
    if tree.layout != WHOLE_AND_SPLITS or len(names) < 2:
        return None
    image = choose.choice(tree.files[names[0]])
    tree.files[names[1]] = [*tree.files[names[1]], image]
    _rewrite(tree)
    return image.name


def _cut_file(tree: Tree, choose: random.Random) -> str:
    name = choose.choice(list(tree.files))
    path = tree.raw / "annotations" / name
    content = path.read_bytes()
    path.write_bytes(content[: choose.randrange(len(content))])
    return name


FAULTS: dict[str, Fault] = {
    "image that is not there": _lose_image,
    "image that is none": _empty_image,
    "image of another size": _other_size,
    "lesion outside": _of_lesion("bbox", [500, 500, 4, 4], [-9, -9, 4, 4]),
    "box that is none": _of_lesion("bbox", [1, 2, 3], "x", [1, 1, -4, 4], None, [1, 1, 0, 0]),
    "lesion of no image": _of_lesion("image_id", 999, "none", None),
    "lesion of no category": _of_lesion("category_id", 99, None),
    "label that is none": _of_lesion("malignant", "maybe", 2, [True]),
    "path that leaves": _of_image("file_name", "file_name", "../../etc/passwd", "/etc/passwd"),
    "size that is none": _of_image("width", "width", 0, -3, "x"),
    "image in two splits": _in_two_splits,
    "file that is cut off": _cut_file,
}
