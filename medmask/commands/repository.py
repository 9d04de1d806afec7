"""Files of the repository that an installed package does not have, such as configs."""

from pathlib import Path

from medmask.errors import InputError

_ROOT = Path(__file__).parents[2]


def find_in_repository(path: str) -> Path:
    """Find a file or a folder of the repository.

    Args:
        path: relative to the root of the repository.

    Returns:
        The path as it is where it exists in the current folder, else that in the clone that this
        package is in.

    Raises:
        InputError: there is no clone.
    """
    for candidate in (Path(path), _ROOT / path):
        if candidate.exists():
            return candidate
    raise InputError(
        f"{path} does not exist: it is a part of the repository, not of the installed package, so "
        "call this in the folder of a clone"
    )
