"""CBIS-DDSM: scanned films with masks of every mass and every cluster of calcifications.

::

    cases           the four tables
    files           the DICOM files on disk
    films           both together: films with their abnormalities

71 films come twice, once with their masses and once with their calcifications: they become one
image with both. 31 patients are in the training part of one kind and in the test part of the other:
as all images of a patient are in the last of its splits, all their films are test films, and every
film that was published for testing is one.
"""

from pathlib import Path

from medmask.converters.cbis_ddsm.cases import TABLES, Region, read_regions
from medmask.converters.cbis_ddsm.files import find_files
from medmask.converters.cbis_ddsm.films import Film, group_films, locate
from medmask.converters.contract import (
    Contents,
    Converter,
    LeftOut,
    Lesion,
    MarkedLesions,
    SourceImage,
)
from medmask.converters.problems import collect, leave_out_if_faulty
from medmask.converters.raw_files import find_file
from medmask.errors import InputError
from medmask.utils.counts import counted


def read(raw: Path) -> Contents:
    """List the films of the four tables.

    Raises:
        InputError: there is no DICOM file of the set, or a table is missing or has a fault.
    """
    contents = Contents()
    files = find_files(raw, contents.problems)
    if not files.by_folder and not files.by_series:
        raise InputError(
            f"{raw} has no DICOM files of CBIS-DDSM, in folders such as "
            "Mass-Training_P_00001_LEFT_CC; give the folder of the download (copies as JPEG are "
            "not read, they lost the gray levels)"
        )
    regions = _read_tables(raw, contents)
    missing: list[str] = []
    for film in group_films(regions):
        absent = [place.folder for place in film.copies if not files.at((place,))]
        absent += [each.cutouts[0].folder for each in film.regions if not files.at(each.cutouts)]
        if absent:
            missing += absent
            reason = f"its DICOM file is missing ({absent[0]})"
            contents.left_out.append(LeftOut(film.name, reason))
            continue
        with leave_out_if_faulty(contents, film.name):
            located = locate(film, files)
            if isinstance(located, str):
                contents.left_out.append(LeftOut(film.name, located))
            else:
                contents.images.append(_source_image(film, *located))
    if missing:
        contents.problems.append(
            f"{counted(len(missing), 'folder is', 'folders are')} missing in {raw}, the first is "
            f"{missing[0]}; complete the download"
        )
    return contents


def _read_tables(raw: Path, contents: Contents) -> list[Region]:
    """All rows of the four tables, without which no film is known to have all of its lesions."""
    regions: list[Region] = []
    problems: list[str] = []
    for name in TABLES:
        with collect(problems):
            table = find_file(raw, name, f"csv/{name}")
            regions += read_regions(table)
            contents.sources.append(table)
    if problems:
        raise InputError("\n".join(problems))
    return regions


def _source_image(film: Film, path: Path, masks: list[Path]) -> SourceImage:
    lesions = tuple(
        Lesion(
            mask=mask,
            malignant=region.malignant,
            attributes={**region.attributes, "birads": region.assessment},
        )
        for region, mask in zip(film.regions, masks, strict=True)
    )
    splits = sorted({region.split for region in film.regions})  # test goes before train
    densities = {region.density for region in film.regions}
    return SourceImage(
        path=path,
        name=film.name,
        patient_id=film.patient,
        laterality=film.side[0],
        view=film.view,
        density=densities.pop() if len(densities) == 1 else None,
        birads=max(region.assessment for region in film.regions),
        malignant=any(region.malignant for region in film.regions),
        attributes={"published_split": "+".join(splits)},
        lesions=lesions,
        split=splits[0],
    )


CONVERTER = Converter("cbis_ddsm", "CBIS-DDSM", read, MarkedLesions.ALL)
