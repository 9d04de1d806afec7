"""CDD-CESM: contrast-enhanced mammography with hand-drawn regions; its low-energy images.

Each view comes twice: as a low-energy image, which looks like any digital mammogram, and as a
subtracted image of the contrast agent, which does not and is left out. ``regions`` reads the shapes
that were drawn.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from medmask.converters.cdd_cesm.regions import read_outline
from medmask.converters.contract import (
    Contents,
    Converter,
    LeftOut,
    Lesion,
    MarkedLesions,
    SourceImage,
)
from medmask.converters.problems import collect, leave_out_if_faulty
from medmask.converters.raw_files import find_file, list_files
from medmask.converters.spreadsheet import read_sheet
from medmask.converters.tables import Row, read_table
from medmask.utils.counts import counted

_ANNOTATIONS = tuple(
    f"Radiology{space}manual{space}annotations{suffix}"
    for space in ("-", " ", "_")
    for suffix in (".xlsx", ".csv")
)
_SHEET = "all"
_REGIONS = ("Radiology_hand_drawn_segmentations_v2.csv", "Radiology_hand_drawn_segmentations.csv")
_PATHOLOGY = "Pathology Classification/ Follow up"
_DENSITY = "Breast density (ACR)"
_COLUMNS = ("Image_name", _PATHOLOGY)
_OPTIONAL = ("Age", _DENSITY, "BIRADS", "Findings", "Machine")
_NAME = re.compile(r"(P\d+)_([LR])_(DM|CM)_([A-Z]+)\d*")
_PATHOLOGIES = {"normal", "benign", "malignant"}
_SEPARATOR = "$"  # between the values of several findings of one image

Outlines = list[np.ndarray | None]
"""Of the regions of an image; None for a point, or one that cannot be read."""


def read(raw: Path) -> Contents:
    """List the low-energy images of the annotation table.

    Raises:
        InputError: a table of the set is missing.
    """
    table, regions_table = find_file(raw, *_ANNOTATIONS), find_file(raw, *_REGIONS)
    contents = Contents(sources=[table, regions_table])
    files = _find_files(raw, contents.problems)
    rows: dict[str, list[Row]] = defaultdict(list)
    for row in read_sheet(table, _COLUMNS, _OPTIONAL, sheet=_SHEET):
        with collect(contents.problems):
            rows[row.text("Image_name").removesuffix(".jpg").strip()].append(row)
    regions = _read_regions(regions_table, contents.problems)
    missing: list[str] = []
    for name, image_rows in rows.items():
        with leave_out_if_faulty(contents, name):
            match = _match_name(name, image_rows[0])
            if match[3] == "CM":
                contents.left_out.append(LeftOut(name, "it is a subtracted image"))
            elif name not in files:
                missing.append(name)
                contents.left_out.append(LeftOut(name, "its file is missing"))
            else:
                image = _describe(match, files[name], image_rows, regions.get(name, []))
                if isinstance(image, LeftOut):
                    contents.left_out.append(image)
                else:
                    contents.images.append(image)
    if missing:
        contents.problems.append(
            f"missing in {raw}: {counted(len(missing), 'low-energy image')} of {table}, the first "
            f"is {missing[0]}.jpg; complete the download"
        )
    unknown = [name for name in regions if name not in rows]
    if unknown:
        contents.problems.append(
            f"not in {table}: {counted(len(unknown), 'image')} of {regions_table}, the first is "
            f"{unknown[0]}; the two may be of different releases"
        )
    return contents


def _find_files(raw: Path, problems: list[str]) -> dict[str, Path]:
    """JPEG files by their name without suffix; some names have a space before it."""
    files: dict[str, Path] = {}
    for path in list_files(raw, problems, ".jpg", ".jpeg"):
        files.setdefault(path.stem.strip(), path)
    return files


def _read_regions(table: Path, problems: list[str]) -> dict[str, Outlines]:
    """The outlines of each image that has a region, by its name without suffix."""
    regions: dict[str, Outlines] = defaultdict(list)
    for row in read_table(table, ("#filename", "region_shape_attributes")):
        with collect(problems):
            shape = row.text("region_shape_attributes")
            if shape == "{}":
                continue
            outlines = regions[row.text("#filename").removesuffix(".jpg").strip()]
            try:
                outlines.append(read_outline(shape))
            except ValueError as error:
                outlines.append(None)
                raise row.fault("region_shape_attributes", f"is no region: {error}") from None
    return regions


def _match_name(name: str, row: Row) -> re.Match[str]:
    match = _NAME.fullmatch(name)
    if match is None:
        raise row.fault(
            "Image_name", "is not such as P1_L_DM_MLO; the table may be of another release"
        )
    return match


def _describe(
    match: re.Match[str], path: Path, rows: list[Row], outlines: Outlines
) -> SourceImage | LeftOut:
    pathologies = _pathologies(rows)
    name = match[0]
    if pathologies == {"normal"} and outlines:
        return LeftOut(name, "it is called normal and has a region")
    if pathologies != {"normal"} and not outlines:
        return LeftOut(name, "it has a finding, which is not outlined")
    if any(outline is None for outline in outlines):
        return LeftOut(name, "the extent of one of its findings is not told")
    # which of several findings of different pathology a region shows is not told
    is_mixed = {"benign", "malignant"} <= pathologies
    malignant = None if is_mixed else "malignant" in pathologies
    findings = list(_values(rows, "Findings"))
    lesions = tuple(
        Lesion(outlines=(outline,), malignant=malignant, attributes={"findings": findings})
        for outline in outlines
        if outline is not None
    )
    ages = {row.number("Age") for row in rows} - {None}
    return SourceImage(
        path=path,
        name=name,
        patient_id=match[1],
        laterality=match[2],
        view=match[4],
        density=next((d for d in _values(rows, _DENSITY) if d != "_"), None),
        birads=max(_values(rows, "BIRADS"), default=None),
        scanner=next(iter(_values(rows, "Machine")), None),
        malignant="malignant" in pathologies,
        attributes={"age": ages.pop()} if len(ages) == 1 else {},
        lesions=lesions,
    )


def _pathologies(rows: list[Row]) -> set[str]:
    found = {value.lower() for value in _values(rows, _PATHOLOGY)}
    if not found or not found <= _PATHOLOGIES:
        raise rows[0].fault(_PATHOLOGY, f"is none of {', '.join(sorted(_PATHOLOGIES))}; correct it")
    return found


def _values(rows: Iterable[Row], column: str) -> list[str]:
    """The values of a column, each once; one cell may hold those of several findings."""
    cells = [row[column] or "" for row in rows]
    values = [value.strip() for cell in cells for value in cell.split(_SEPARATOR)]
    return [value for value in dict.fromkeys(values) if value]


CONVERTER = Converter("cdd_cesm", "CDD-CESM", read, MarkedLesions.ALL)
