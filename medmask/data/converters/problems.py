"""Problems of a raw download, collected so that all are told at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from medmask.data.converters.contract import Contents, LeftOut
from medmask.errors import InputError


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
        f"{len(missing)} of the {count} images of {index} are missing, the first is {missing[0]}; "
        "complete the download or unpack the rest of it"
    ]
