"""DDSM: scanned films of 2,620 cases with the outline of every abnormality.

::

    ics             the description of a case
    overlay         the abnormalities of a film, as chain codes
    pixels          the films, decoded from LJPEG
    density         values of the four digitizers to optical density
"""

from collections.abc import Iterator
from pathlib import Path

from medmask.converters.contract import (
    Contents,
    Converter,
    LeftOut,
    Lesion,
    MarkedLesions,
    SourceImage,
    any_malignant,
)
from medmask.converters.ddsm.density import CALIBRATIONS
from medmask.converters.ddsm.ics import Case, Film, read_case
from medmask.converters.ddsm.overlay import Abnormality, read_overlay
from medmask.converters.ddsm.pixels import (
    PICTURE_SUFFIXES,
    RAW_SUFFIXES,
    has_raw_size,
    is_raw,
    read_pixels,
)
from medmask.converters.problems import leave_out_if_faulty
from medmask.converters.raw_files import list_files
from medmask.errors import InputError
from medmask.utils.counts import counted

_MALIGNANT = {
    "MALIGNANT": True,
    "BENIGN": False,
    "BENIGN_WITHOUT_CALLBACK": False,
    "UNPROVEN": None,
}
_PICTURE_FOLDERS = ("", "PNGFiles")  # beside the case description, or in this folder there


def read(raw: Path) -> Contents:
    """List the films of all cases below a folder.

    Raises:
        InputError: there is no case description.
    """
    contents = Contents()
    undecoded: list[Path] = []
    for path in sorted(list_files(raw, contents.problems, ".ics")):
        contents.sources.append(path)
        with leave_out_if_faulty(contents, path.stem):
            _add_case(read_case(path), path, contents, undecoded)
    if not contents.sources:
        raise InputError(
            f"{raw} has no case descriptions such as A-1509-1.ics; give the folder 'cases' of "
            "DDSM, or one above it"
        )
    if undecoded:
        contents.problems.append(
            f"{counted(len(undecoded), 'film is', 'films are')} LJPEG only, the first is "
            f"{undecoded[0]}; decode them by the program of the set, 'jpeg -d -s FILE', which "
            "writes FILE.1"
        )
    return contents


def _add_case(case: Case, path: Path, contents: Contents, undecoded: list[Path]) -> None:
    stem = path.stem.replace("-", "_")
    fault = _fault_of_case(case, path, stem)
    for film in case.films:
        name = f"{stem}_{film.side}_{film.view}"
        if fault is not None:
            contents.left_out.append(LeftOut(name, fault))
            continue
        film_stem = f"{stem}.{film.side}_{film.view}"
        pixels = _find_pixels(path.parent, film_stem)
        if pixels is None:
            compressed = path.parent / f"{film_stem}.LJPEG"
            if compressed.is_file():
                undecoded.append(compressed)
                contents.left_out.append(LeftOut(name, "it is not decoded from LJPEG"))
            else:
                contents.left_out.append(LeftOut(name, "its file is missing"))
                contents.problems.append(
                    f"film {compressed} of {path} is missing; complete the download"
                )
            continue
        with leave_out_if_faulty(contents, name):
            overlay = path.parent / f"{film_stem}.OVERLAY"
            contents.images.append(_describe(case, film, pixels, name, overlay))


def _fault_of_case(case: Case, path: Path, stem: str) -> str | None:
    """Find the reason why no film of a case can be used; None if they can."""
    if (case.volume, case.digitizer) not in CALIBRATIONS:
        return f"no calibration of {case.digitizer} is known for volume {case.volume}"
    in_cancer_volume = any(part.startswith("cancer") for part in path.parts[-4:-1])
    has_overlay = any(
        film.has_overlay or (path.parent / f"{stem}.{film.side}_{film.view}.OVERLAY").is_file()
        for film in case.films
    )
    if in_cancer_volume and not has_overlay:
        return "its case is one of cancer, which is marked on none of its films"
    return None


def _find_pixels(folder: Path, film_stem: str) -> Path | None:
    """The decoded film; raw values go before pictures."""
    for place in _PICTURE_FOLDERS:
        for suffix in (*RAW_SUFFIXES, *PICTURE_SUFFIXES):
            path = folder / place / f"{film_stem}{suffix}"
            if path.is_file():
                return path
    return None


def _describe(case: Case, film: Film, path: Path, name: str, overlay: Path) -> SourceImage:
    if is_raw(path) and not has_raw_size(path, film.height, film.width):
        raise InputError(
            f"film {path} has not two bytes for each of the {film.height} x {film.width} pixels of "
            "its case description; decode it again"
        )
    is_marked = film.has_overlay or overlay.is_file()
    abnormalities = read_overlay(overlay) if is_marked else []
    lesions = tuple(_to_lesion(abnormality, overlay) for abnormality in abnormalities)
    assessments = [a.assessment for a in abnormalities if a.assessment is not None]
    return SourceImage(
        path=path,
        name=name,
        patient_id=f"{case.volume}_{case.number}",
        study_date=case.year,
        laterality=film.side[0],
        view=film.view,
        density=case.density,
        birads=max(assessments, default=None),
        scanner=case.digitizer,
        pixel_spacing_mm=film.resolution / 1000,
        malignant=any_malignant(lesions),
        attributes=dict(_attributes(case, film)),
        lesions=lesions,
    )


def _attributes(case: Case, film: Film) -> Iterator[tuple[str, str | int]]:
    """Collect what :func:`read_pixels` needs, and the age of the patient."""
    yield "volume", case.volume
    yield "digitizer", case.digitizer
    yield "height", film.height
    yield "width", film.width
    yield "bits_per_pixel", film.bits
    if case.age is not None:
        yield "age", case.age


def _to_lesion(abnormality: Abnormality, overlay: Path) -> Lesion:
    """The boundary; cores inside of it are told in number only."""
    if abnormality.pathology not in _MALIGNANT:
        raise InputError(
            f"overlay {overlay} has the pathology {abnormality.pathology}, which is none of "
            f"{', '.join(_MALIGNANT)}; copy it again"
        )
    if len(abnormality.boundary) < 3:
        raise InputError(f"overlay {overlay} has a BOUNDARY without area; copy it again")
    attributes: dict[str, object] = {
        "pathology": abnormality.pathology,
        "lesion_types": list(abnormality.lesion_types),
        "birads": abnormality.assessment,
        "subtlety": abnormality.subtlety,
        "cores": len(abnormality.cores),
    }
    return Lesion(
        outlines=(abnormality.boundary,),
        malignant=_MALIGNANT[abnormality.pathology],
        attributes={key: value for key, value in attributes.items() if value is not None},
    )


CONVERTER = Converter("ddsm", "DDSM", read, MarkedLesions.ALL, read_pixels=read_pixels)
