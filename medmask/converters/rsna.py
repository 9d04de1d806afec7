"""RSNA Screening Mammography Breast Cancer Detection (2022): images with labels but no boxes.

``train.csv`` says of every breast whether cancer was proven in it; where it lies is not told. So
the set is unlabeled for a detector, and its images carry ``malignant``, for training by image
labels and for image-level evaluation.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from medmask.converters.contract import Contents, Converter, LeftOut, MarkedLesions, SourceImage
from medmask.converters.problems import leave_out_if_faulty, missing_files, unlisted_files
from medmask.converters.raw_files import find_file, list_files
from medmask.converters.tables import Row, read_table

_COLUMNS = ("patient_id", "image_id", "laterality", "view", "cancer")
_FLAG_COLUMNS = ("biopsy", "invasive", "implant", "difficult_negative_case")
_OPTIONAL = ("site_id", "age", "BIRADS", "density", "machine_id", *_FLAG_COLUMNS)
_UNUSABLE_IMAGES = {"1942326353": "all of its pixels are zero"}
_UNUSABLE_PATIENTS = {"27770": "its gray levels take more bits than its header states"}
_SIDES = {"l": "L", "r": "R"}
_FLAGS = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}
_DENSITIES = {letter.lower(): letter for letter in "ABCD"}


def read(raw: Path) -> Contents:
    """List the images of ``train.csv``."""
    table = find_file(raw, "train.csv")
    contents = Contents(sources=[table])
    missing: list[Path] = []
    listed: set[Path] = set()
    for row in read_rows(table):
        with leave_out_if_faulty(contents, row.place):
            patient, image_id = row.identifier("patient_id"), row.identifier("image_id")
            path = raw / "train_images" / patient / f"{image_id}.dcm"
            listed.add(path)
            fields = describe(row)
            name = f"{patient}/{image_id}"
            unusable = _UNUSABLE_PATIENTS.get(patient) or _UNUSABLE_IMAGES.get(image_id)
            if unusable:
                contents.left_out.append(LeftOut(name, unusable))
            elif path.is_file():
                contents.images.append(SourceImage(path=path, name=name, **fields))
            else:
                missing.append(path)
                contents.left_out.append(LeftOut(name, "its file is missing"))
    contents.problems.extend(missing_files(missing, len(contents.images) + len(missing), table))
    files = list_files(raw / "train_images", contents.problems, ".dcm")
    unlisted = [path for path in files if path not in listed]
    contents.problems.extend(unlisted_files(unlisted, "image", table))
    return contents


def read_rows(table: Path) -> Iterator[Row]:
    """Read the rows of ``train.csv``."""
    return read_table(table, _COLUMNS, _OPTIONAL)


def describe(row: Row) -> dict[str, Any]:
    """Say what a row tells of its image, by the fields of a ``SourceImage``."""
    attributes: dict[str, Any] = {name: row.choice(name, _FLAGS) for name in _FLAG_COLUMNS}
    attributes |= {"age": row.number("age"), "site": row["site_id"]}
    machine = row["machine_id"] and row.identifier("machine_id")
    return {
        "patient_id": row.identifier("patient_id"),
        "laterality": row.choice("laterality", _SIDES),
        "view": row["view"],
        "density": row.choice("density", _DENSITIES),
        "birads": row["BIRADS"] and row.identifier("BIRADS"),
        "scanner": f"machine {machine}" if machine else None,
        "malignant": _label(row),
        "attributes": {key: value for key, value in attributes.items() if value is not None},
    }


def _label(row: Row) -> bool | None:
    row.text("cancer")  # has to be given
    return row.choice("cancer", _FLAGS)


CONVERTER = Converter("rsna", "RSNA screening mammography (2022)", read, MarkedLesions.NONE)
