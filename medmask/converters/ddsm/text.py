"""The text files of DDSM."""

from pathlib import Path

from medmask.errors import InputError

_LARGEST_FILE = 4 * 2**20  # bytes; those of the set have some kilobytes


def read_text(path: Path) -> str:
    """Read a small file of ASCII text.

    Raises:
        InputError: it cannot be read, or is something else.
    """
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise InputError(f"{path} has more than 4 MB and is no file of DDSM; copy it again")
        return path.read_text(encoding="ascii")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not ASCII text; copy it again") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from None
