"""Files that a command is going to write."""

import os
from collections.abc import Mapping, Sequence

from medmask.errors import InputError

MaybePath = str | os.PathLike | None


def check_output_files(inputs: Mapping[str, MaybePath], outputs: Mapping[str, MaybePath]) -> None:
    """Find before the work what could not be written after it, or would overwrite a file in use.

    Args:
        inputs: option -> file that is read; None where the option is not given.
        outputs: option -> file that will be written, likewise.

    Raises:
        InputError: two options name one file, or a file cannot be written or has no name.
    """
    from medmask.utils.files import check_output_file

    in_use = {os.path.realpath(path): option for option, path in inputs.items() if path}
    for option, path in outputs.items():
        if path is None:
            continue
        if not os.fspath(path):  # such as of an unset variable
            raise InputError(f"{option} is empty: name a file, or leave it out")
        other = in_use.setdefault(os.path.realpath(path), option)
        if other != option:
            raise InputError(f"{option} and {other} are both {path}: choose another file")
        check_output_file(path)


def check_that_files_differ(option: str, paths: Sequence[str], advice: str) -> None:
    """Refuse a file that is given twice, by a link or another way to write its name, too.

    Raises:
        InputError: one is; it ends with the advice.
    """
    seen: set[str] = set()
    for path in paths:
        real = os.path.realpath(path)
        if real in seen:
            raise InputError(f"{option} names {path} twice: {advice}")
        seen.add(real)


def check_picture_name(option: str, path: MaybePath) -> None:
    """Refuse a name under which nobody looks for a PNG, as which pictures are written.

    Raises:
        InputError: it does not end in .png.
    """
    if path is not None and not os.fspath(path).lower().endswith(".png"):
        raise InputError(f"{option} {path} will be a PNG: let the name end in .png")
