"""CSAW-CC: Swedish screening, cancers and controls, with masks of the tumors that can be seen.

The table says of each patient whether cancer was found, on which side, and for each examination how
long before: at this screening, within two years after it (interval cancer), or later (prior).
Masks exist for some of the images of the breast with cancer. The other images of that breast are
neither positive, as nothing is marked, nor negative, and are left out; the other breast and the
controls are negative.
"""

from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from medmask.converters.contract import (
    Contents,
    Converter,
    LeftOut,
    Lesion,
    MarkedLesions,
    SourceImage,
)
from medmask.converters.problems import leave_out_if_faulty
from medmask.converters.raw_files import find_file, list_files
from medmask.converters.tables import Row, read_header, read_table
from medmask.errors import InputError
from medmask.images.limits import check_image_size
from medmask.utils.counts import counted

_TABLES = ("CSAW-CC_breast_cancer_screening_data.csv", "anon_dataset_nonhidden_211125.csv")
_COLUMNS = (
    "anon_patientid",
    "anon_filename",
    "x_case",
    "x_cancer_laterality",
    "rad_timing",
    "imagelaterality",
    "viewposition",
)
_OPTIONAL = ("exam_year", "x_age", "x_type", "libra_percentdensity")
_SIDES = {"left": "L", "right": "R", "l": "L", "r": "R"}
_FLAGS = {"0": False, "0.0": False, "1": True, "1.0": True}
_TIMINGS = {
    timing: meaning
    for number, meaning in ((1, "screen-detected"), (2, "interval"), (3, "prior"))
    for timing in (f"{number}", f"{number}.0")
}
_MASK = "_mask.png"


@dataclass(frozen=True)
class _Files:
    """Files of a download by their name; the name of a mask without ``_mask.png``."""

    images: dict[str, Path] = field(default_factory=dict)
    masks: dict[str, Path] = field(default_factory=dict)


def read(raw: Path) -> Contents:
    """List the images of the table.

    To know which images are marked, the masks are decoded: some are empty but for one pixel.

    Raises:
        InputError: there is no table of the set.
    """
    table = find_file(raw, *_TABLES)
    contents = Contents(sources=[table])
    files = _find_files(raw, contents.problems)
    missing: list[str] = []
    for row in read_table(table, _COLUMNS, _OPTIONAL, delimiter=_delimiter(table)):
        with leave_out_if_faulty(contents, f"{table.name}, line {row.line}"):
            file = row.identifier("anon_filename")
            stem = file.removesuffix(".dcm")
            mask = files.masks.pop(stem, None)
            path = files.images.get(file)
            if path is None:
                missing.append(file)
                contents.left_out.append(LeftOut(stem, "its file is missing"))
                continue
            image = _describe(row, path, mask)
            if isinstance(image, LeftOut):
                contents.left_out.append(image)
            else:
                contents.images.append(image)
    if missing:
        contents.problems.append(
            f"missing in {raw}: {counted(len(missing), 'image')} of {table}, the first is "
            f"{missing[0]}; complete the download"
        )
    if files.masks:
        contents.problems.append(
            f"{counted(len(files.masks), 'mask belongs', 'masks belong')} to no image of {table}, "
            f"the first is {next(iter(files.masks.values()))}; the table may be of another release"
        )
    return contents


def _delimiter(table: Path) -> str:
    header = read_header(table)
    return ";" if len(header) == 1 and ";" in header[0] else ","


def _find_files(raw: Path, problems: list[str]) -> _Files:
    files = _Files()
    for path in list_files(raw, problems, ".dcm", ".png"):
        if path.suffix.lower() == ".dcm":
            files.images.setdefault(path.name, path)
        elif path.name.lower().endswith(_MASK):
            files.masks.setdefault(path.name[: -len(_MASK)], path)
    return files


def _describe(row: Row, path: Path, mask: Path | None) -> SourceImage | LeftOut:
    side = row.choice("imagelaterality", _SIDES)
    row.text("x_case")  # has to be given: a patient of whom nothing is told is not healthy
    has_cancer = bool(row.choice("x_case", _FLAGS))
    cancer_side = row.choice("x_cancer_laterality", _SIDES)
    timing = row.choice("rad_timing", _TIMINGS)
    is_marked = mask is not None and _has_area(mask)
    is_affected = has_cancer and cancer_side == side
    if has_cancer and None in (side, cancer_side):
        if not is_marked:
            return LeftOut(path.stem, "its side, or that of its patient's cancer, is not told")
        is_affected = True
    if is_marked and not is_affected:
        raise InputError(
            f"mask {mask} marks a tumor, but {row.path}, line {row.line} says that there is none "
            "in this breast; correct one of them"
        )
    if is_affected and not is_marked:
        what = timing or "at an unknown time"
        return LeftOut(path.stem, f"its breast has cancer ({what}), which is not marked")
    attributes = {
        "timing": timing,
        "age_group": row["x_age"],
        "cancer_type": row["x_type"],
        "percent_density": row.number("libra_percentdensity"),
    }
    return SourceImage(
        path=path,
        name=path.stem,
        patient_id=row.identifier("anon_patientid"),
        study_date=row["exam_year"] and row.identifier("exam_year"),
        laterality=side,
        view=row["viewposition"],
        malignant=is_affected,
        attributes={key: value for key, value in attributes.items() if value is not None},
        lesions=(Lesion(mask=mask, is_split=True, malignant=True),) if is_marked else (),
    )


def _has_area(mask: Path) -> bool:
    """Tell whether more than one pixel of a mask is set."""
    try:
        with Image.open(mask, formats=["PNG"]) as opened:
            check_image_size(mask, opened.height, opened.width)
            box = opened.convert("L").getbbox()
    except InputError:
        raise
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"mask {mask} cannot be read ({error}); copy it again") from error
    return box is not None and (box[2] - box[0] > 1 or box[3] - box[1] > 1)


CONVERTER = Converter("csaw_cc", "CSAW-CC", read, MarkedLesions.MALIGNANT)
