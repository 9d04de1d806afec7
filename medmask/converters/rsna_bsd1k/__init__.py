"""RSNA-BSD1K: 1,000 images of the RSNA screening set with boxes, published as COCO files.

::

    layout    the ways in which downloads name and arrange the files
    faults    the faults that such annotation files are known for, and their repair
    splits    every patient in one split alone

Where ``train.csv`` of the RSNA set lies beside the annotations, images get what it says of them:
side, view, density, BI-RADS and scanner.
"""

import re
from pathlib import Path
from typing import Any

from medmask.coco import CocoTables, check_content, class_of_name
from medmask.coco.check import structure_problems
from medmask.converters import rsna
from medmask.converters.contract import (
    Contents,
    Converter,
    LeftOut,
    Lesion,
    MarkedLesions,
    SourceImage,
)
from medmask.converters.problems import (
    check_size,
    collect,
    leave_out_if_faulty,
    missing_files,
)
from medmask.converters.rsna_bsd1k.faults import repair
from medmask.converters.rsna_bsd1k.layout import ImageFinder, find_annotation_files
from medmask.converters.rsna_bsd1k.splits import separate
from medmask.errors import InputError
from medmask.utils.json_files import read_json

_FILE_NAME = re.compile(r"(?P<patient>[0-9]+)_(?P<image>[0-9]+)")
_MEANINGS = {"malignant": True, "benign": False}

Metadata = dict[str, dict[str, Any]]
"""Fields of a ``SourceImage`` by the image id of the RSNA set."""


def read(raw: Path) -> Contents:
    """List the images of all splits, each in one split alone."""
    files = find_annotation_files(raw)
    contents = Contents(sources=list(files.values()))
    metadata: Metadata = {}
    if (raw / "train.csv").is_file():
        contents.sources.append(raw / "train.csv")
        metadata = _read_metadata(raw / "train.csv", contents)
    by_split = {}
    for split, path in files.items():
        with leave_out_if_faulty(contents, path.name):
            by_split[split] = _read_split(raw, split, path, metadata, contents)
    images, doubled = separate(by_split)
    contents.images.extend(images)
    contents.left_out.extend(doubled)
    return contents


def _read_metadata(table: Path, contents: Contents) -> Metadata:
    metadata: Metadata = {}
    with collect(contents.problems):
        for row in rsna.read_rows(table):
            with collect(contents.problems):
                metadata[row.identifier("image_id")] = rsna.describe(row)
    return metadata


def _read_split(
    raw: Path, split: str, path: Path, metadata: Metadata, contents: Contents
) -> list[SourceImage]:
    tables = _read_annotations(path)
    lesions = _read_lesions(tables, path)
    finder = ImageFinder(raw, split)
    images, missing = [], []
    for image in tables.images:
        file = finder.find(image["file_name"])
        if file is None:
            missing.append(raw / "images" / split / image["file_name"])
            contents.left_out.append(LeftOut(image["file_name"], "its file is missing"))
            continue
        with leave_out_if_faulty(contents, image["file_name"]):
            check_size(file, image, path)
            images.append(_to_image(file, split, metadata, lesions[image["id"]]))
    contents.problems.extend(missing_files(missing, len(tables.images), path))
    return images


def _read_annotations(path: Path) -> CocoTables:
    """Read a file whose known faults are mended; any other fault is an error."""
    content = read_json(path, "annotation file")
    if isinstance(content, dict):
        content.setdefault("annotations", [])  # files of test images have none
    problems = list(structure_problems(content))
    if not problems:
        repair(content, path)
        tables, problems = check_content(content)
        problems += [
            f"image {image['id']} has no file_name"
            for image in content["images"]
            if not (isinstance(image.get("file_name"), str) and image["file_name"].strip())
        ]
        if tables is not None and not problems:
            return tables
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    raise InputError(f"annotation file {path}: {problems[0]}{more}")


def _read_lesions(tables: CocoTables, path: Path) -> dict[Any, list[Lesion]]:
    """The lesions of each image by its id."""
    lesions: dict[Any, list[Lesion]] = {image["id"]: [] for image in tables.images}
    table = tables.annotations
    for image_id, category, (x, y, width, height) in zip(
        table.image_ids, table.category_indices, table.clipped_boxes().tolist(), strict=True
    ):
        name = str(tables.categories[category]["name"])
        meaning = class_of_name(name)
        if meaning not in _MEANINGS:
            raise InputError(
                f"annotation file {path} has boxes of the category {name!r}, which is neither "
                "malignant nor benign; rename it to what it means"
            )
        box = (x, y, x + width, y + height)
        lesions[image_id].append(Lesion(box=box, malignant=_MEANINGS[meaning]))
    return lesions


def _to_image(file: Path, split: str, metadata: Metadata, lesions: list[Lesion]) -> SourceImage:
    match = _FILE_NAME.fullmatch(file.stem)
    fields: dict[str, Any] = {"malignant": any(lesion.malignant for lesion in lesions)}
    if match:
        fields["patient_id"] = match["patient"]
        fields |= metadata.get(match["image"], {})
    return SourceImage(path=file, name=file.stem, lesions=tuple(lesions), split=split, **fields)


CONVERTER = Converter("rsna_bsd1k", "RSNA-BSD1K", read, MarkedLesions.MALIGNANT)
