"""Problems of a raw download, collected so that all are told at once."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medmask.converters.contract import Contents, LeftOut
from medmask.errors import InputError
from medmask.images import read_image_size
from medmask.utils.counts import counted

_MOST_SHOWN = 20


def list_first(problems: Sequence[str], start: str = "", where: str = "") -> list[str]:
    """List the first problems, a line each, and how many more there are.

    Args:
        problems: one sentence each; a table of another release can give one for each of its rows.
        start: of each line.
        where: a clause on what has all of them.
    """
    lines = [start + problem for problem in problems[:_MOST_SHOWN]]
    if len(problems) > _MOST_SHOWN:
        lines.append(f"and {counted(len(problems) - _MOST_SHOWN, 'more problem')}{where}")
    return lines


@contextmanager
def collect(problems: list[str]) -> Iterator[None]:
    """Take an error that the user can act on as one more problem, and go on after the block."""
    try:
        yield
    except InputError as error:
        problems.append(str(error))


@contextmanager
def leave_out_if_faulty(contents: Contents, record: str) -> Iterator[None]:
    """Collect an error of the block, and leave the record out that it is about.

    Args:
        contents: what has been read so far, to which the problem is added.
        record: the name of an image, or the place of its record, as in ``train.csv, line 7``.
    """
    with collect(contents.problems):
        try:
            yield
        except InputError:
            contents.left_out.append(LeftOut(record, "its record has a fault"))
            raise


def missing_files(missing: list[Path], count: int, index: Path) -> list[str]:
    """Tell of the images that are not in the download, in one sentence or none.

    Args:
        missing: where they were looked for.
        count: how many images the index lists.
        index: the table or annotation file.
    """
    if not missing:
        return []
    return [
        f"missing: {len(missing)} of the {counted(count, 'image')} of {index}, the first is "
        f"{missing[0]}; complete the download or unpack the rest of it"
    ]


def unlisted_files(names: Sequence[object], noun: str, index: Path) -> list[str]:
    """Tell of files of a download that its index has no row of, in one sentence or none.

    Args:
        names: of those files.
        noun: what one of them is.
        index: file that should list them.
    """
    if not names:
        return []
    return [
        f"not in {index}: {counted(len(names), noun)}, the first is {names[0]}; the table may be "
        "cut off, copy it again"
    ]


def check_size(file: Path, image: Mapping[str, Any], index: Path) -> None:
    """Refuse an image whose boxes are in pixels of another size.

    Args:
        file: the image.
        image: its record in an annotation file; ``width`` and ``height`` may be absent.
        index: the annotation file.

    Raises:
        InputError: the sizes differ, or the image cannot be read.
    """
    height, width = read_image_size(file)
    told = image.get("width", width), image.get("height", height)
    if told != (width, height):
        raise InputError(
            f"image {file} is {width} x {height} (width x height), but {index} says "
            f"{told[0]:g} x {told[1]:g}; its boxes would be wrong: take the images that belong to "
            "the annotations"
        )
