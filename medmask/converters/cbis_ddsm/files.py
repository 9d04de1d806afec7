"""The DICOM files of CBIS-DDSM on disk, in the layouts that they are downloaded in.

::

    <folder>/07-20-2016-DDSM-NA-74994/1.000000-full mammogram images-24515/1-1.dcm   since 2020
    <folder>/07-20-2016-DDSM-74994/1-full mammogram images-24515/000000.dcm          before
    <folder>/<study UID>/<series UID>/000000.dcm                                     by UID
    <series UID>/1-172.dcm                                                           series alone

where ``<folder>`` is such as ``Mass-Training_P_00001_LEFT_CC``, with ``_1`` for the crop and the
mask of the first abnormality. Names of files and headers are of no help in telling crop and mask
apart: both are mixed up in the tables and on disk. The mask is told by what it is: a picture of two
values, nearly always of the size of the film.
"""

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medmask.converters.cbis_ddsm.cases import Place, is_folder
from medmask.converters.raw_files import list_files
from medmask.images import read_image, read_image_size

_UID = re.compile(r"[12](\.\d+){5,}")
_FULL_FILM = "full mammogram images"


@dataclass(frozen=True)
class DicomFiles:
    """All DICOM files of a download.

    Attributes:
        by_folder: those under each folder of a film or an abnormality.
        by_series: those under each folder that is named by a series, where no such folder is above.
    """

    by_folder: dict[str, list[Path]]
    by_series: dict[str, list[Path]]

    def at(self, places: tuple[Place, ...]) -> list[Path]:
        """The files at one or several places, each once, in the order of their names."""
        found: dict[Path, None] = {}
        for place in places:
            files = self.by_folder.get(place.folder) or self.by_series.get(place.series, [])
            found.update(dict.fromkeys(files))
        return sorted(found)


def find_files(raw: Path, problems: list[str]) -> DicomFiles:
    """Find all files whose name ends with ``.dcm``; problems as :func:`list_files` tells them."""
    by_folder: dict[str, list[Path]] = defaultdict(list)
    by_series: dict[str, list[Path]] = defaultdict(list)
    for path in list_files(raw, problems, ".dcm"):
        parts = path.parent.relative_to(raw).parts
        film = next((part for part in parts if is_folder(part)), None)
        if film is not None:
            by_folder[film].append(path)
        elif parts and _UID.fullmatch(parts[-1]):
            by_series[parts[-1]].append(path)
    return DicomFiles(dict(by_folder), dict(by_series))


def choose_film(files: list[Path]) -> Path | None:
    """Choose the whole film among the files at its place; None if it is not one of them."""
    films = [path for path in files if _FULL_FILM in str(path)] or files
    return films[0] if len(films) == 1 else None


def choose_mask(files: list[Path], film_size: tuple[int, int]) -> Path | None:
    """Choose the mask among the files of an abnormality.

    Pixels are decoded only where the sizes leave a doubt.

    Args:
        files: mask and crop, in any order.
        film_size: (height, width) of the film.

    Returns:
        The only file of the size of the film; or else the only one of two values; None if there is
        no such file, or several.

    Raises:
        InputError: a file is no readable image.
    """
    of_film_size = [path for path in files if read_image_size(path) == film_size]
    if len(of_film_size) == 1:
        return of_film_size[0]
    masks = [path for path in of_film_size or files if _has_two_values(path)]
    return masks[0] if len(masks) == 1 else None


def _has_two_values(path: Path) -> bool:
    pixels = read_image(path)
    low, high = pixels.min(), pixels.max()
    return bool(low < high and np.all((pixels == low) | (pixels == high)))
