"""mini-MIAS: 322 films of 161 women, reduced to 200 micrometers a pixel and 1024 x 1024 pixels.

``Info.txt`` has a line for every lesion: a circle, whose center counts y from the lower edge. Film
2n - 1 is the right and film 2n the left breast of patient n; all views are MLO.
"""

import codecs
import re
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL.PpmImagePlugin import PpmImageFile

from medmask.converters.contract import (
    Contents,
    Converter,
    LeftOut,
    Lesion,
    MarkedLesions,
    SourceImage,
)
from medmask.converters.problems import unlisted_files
from medmask.errors import InputError
from medmask.images.limits import check_image_size

_INDEX = "Info.txt"
_NAME = re.compile(r"(mdb\d{3})(?!\d)", re.IGNORECASE)
_SIDE = 1024  # pixels, of every image
_SPACING_MM = 0.2
_TISSUES = {"F": "fatty", "G": "fatty-glandular", "D": "dense-glandular"}
_ABNORMALITIES = {
    "CALC": "calcification",
    "CIRC": "circumscribed mass",
    "SPIC": "spiculated mass",
    "MISC": "ill-defined mass",
    "ARCH": "architectural distortion",
    "ASYM": "asymmetry",
}
_NORMAL = "NORM"
_SEVERITIES = {"B": False, "M": True}


def read(raw: Path) -> Contents:
    """List the films of ``Info.txt``."""
    index = raw / _INDEX
    contents = Contents(sources=[index])
    lines_of_films = _read_lines(index)
    paths = _find_films(raw)
    for name, lines in lines_of_films.items():
        path = paths.get(name)
        if path is None:
            contents.left_out.append(LeftOut(name, "its file is missing"))
            contents.problems.append(
                f"image {raw / name}.pgm of {index} is missing; copy it from the set"
            )
            continue
        try:
            contents.images.append(_describe(path, name, lines))
        except _NoPosition:
            contents.left_out.append(LeftOut(name, "its lesion has no position"))
        except ValueError as error:
            contents.left_out.append(LeftOut(name, "its line cannot be read"))
            contents.problems.append(f"index {index}: {error}; copy it again")
    unlisted = sorted(paths.keys() - lines_of_films.keys())
    contents.left_out.extend(LeftOut(name, f"it is not in {_INDEX}") for name in unlisted)
    contents.problems.extend(unlisted_files(unlisted, "film", index))
    return contents


def read_pixels(image: SourceImage) -> np.ndarray:
    """Read a binary PGM file of 8 bits.

    Raises:
        InputError: the file is none, or it is damaged.
    """
    try:
        with PpmImageFile(image.path) as opened:
            check_image_size(image.path, opened.height, opened.width)
            if opened.mode != "L":
                raise OSError("it is not gray of 8 bits")
            return np.asarray(opened)
    except InputError:
        raise
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(
            f"image {image.path} cannot be read as PGM ({error}); copy it again"
        ) from error


class _NoPosition(Exception):
    """A lesion is known but not where: the film is neither positive nor negative."""


def _find_films(raw: Path) -> dict[str, Path]:
    """The file of each film by its name, whatever the case of its letters."""
    return {
        path.stem.lower(): path
        for path in sorted(raw.iterdir())
        if path.suffix.lower() == ".pgm" and _NAME.fullmatch(path.stem) and path.is_file()
    }


def _read_lines(index: Path) -> dict[str, list[list[str]]]:
    """The words of each line of a film, by its name; a film has a line for each lesion."""
    try:
        text = index.read_bytes().removeprefix(codecs.BOM_UTF8).decode("latin-1")
    except OSError as error:
        raise InputError(
            f"{index} cannot be read ({error.strerror}); give the folder that holds Info.txt and "
            "mdb001.pgm to mdb322.pgm"
        ) from None
    lines: dict[str, list[list[str]]] = defaultdict(list)
    for words in map(str.split, text.splitlines()):
        match = _NAME.match(words[0]) if words else None
        if match:
            lines[match[1].lower()].append(words)
    if not lines:
        raise InputError(f"{index} lists no films (mdb001 and so on); it is not that of mini-MIAS")
    return dict(sorted(lines.items()))


def _describe(path: Path, name: str, lines: list[list[str]]) -> SourceImage:
    number = int(name.removeprefix("mdb"))
    tissue = lines[0][1] if len(lines[0]) > 1 else ""
    if tissue not in _TISSUES:
        raise ValueError(f"the tissue of {name} is {tissue!r}, none of {', '.join(_TISSUES)}")
    lesions = tuple(_to_lesion(words) for words in lines if words[2:3] != [_NORMAL])
    return SourceImage(
        path=path,
        name=name,
        patient_id=f"mias{(number + 1) // 2:03d}",
        laterality="R" if number % 2 else "L",
        view="MLO",
        density=_TISSUES[tissue],
        pixel_spacing_mm=_SPACING_MM,
        malignant=any(lesion.malignant for lesion in lesions),
        lesions=lesions,
    )


def _to_lesion(words: list[str]) -> Lesion:
    """The square around the circle."""
    rest = words[2:]
    if len(rest) < 2 or rest[0] not in _ABNORMALITIES or rest[1] not in _SEVERITIES:
        raise ValueError(f"the line {' '.join(words)!r} is no lesion")
    position = rest[2:]
    if not position or position[0].startswith("*"):  # "*NOTE 3*": spread over the whole breast
        raise _NoPosition
    try:
        x, y, radius = map(int, position)
    except ValueError:
        raise ValueError(f"the position in {' '.join(words)!r} is not x, y and radius") from None
    if not (0 <= x <= _SIDE and 0 <= y <= _SIDE and 0 < radius <= _SIDE):
        raise ValueError(f"the position in {' '.join(words)!r} is no circle in an image")
    y = _SIDE - y
    return Lesion(
        box=(x - radius, y - radius, x + radius, y + radius),
        malignant=_SEVERITIES[rest[1]],
        attributes={"abnormality": _ABNORMALITIES[rest[0]]},
    )


CONVERTER = Converter("mini_mias", "mini-MIAS", read, MarkedLesions.ALL, read_pixels=read_pixels)
