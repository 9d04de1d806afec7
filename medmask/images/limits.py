"""The limit on the size of images, the same for every format."""

import os

from medmask.errors import InputError

MAX_IMAGE_PIXELS = 100_000_000
"""Pixels of the largest image that is read; twice the largest mammograms (6000 x 8000).

The environment variable ``MEDMASK_MAX_IMAGE_PIXELS`` sets another limit. It is checked against the
size that a file's header states, before any pixel is decoded, so that a small file cannot ask for
all memory. Of a file with several frames, the one that is read counts.
"""

_VARIABLE = "MEDMASK_MAX_IMAGE_PIXELS"


def max_image_pixels() -> int:
    """The limit in force.

    Raises:
        InputError: the environment variable is not a positive whole number.
    """
    text = os.environ.get(_VARIABLE, "").strip()
    if not text:
        return MAX_IMAGE_PIXELS
    if not (text.isascii() and text.isdigit() and 0 < len(text) <= 15 and int(text) > 0):
        raise InputError(
            f"the environment variable {_VARIABLE} is {text[:40]!r} and must be a positive whole "
            "number of pixels"
        )
    return int(text)


def check_image_size(path: str | os.PathLike, height: int, width: int) -> None:
    """Refuse an image that is larger than the limit, or has no pixels.

    Args:
        path: the file, for the message.
        height: rows, as the file's header states them.
        width: columns, likewise.

    Raises:
        InputError: the image is too large or empty.
    """
    if height < 1 or width < 1:
        raise InputError(
            f"image {path} has {height} rows and {width} columns, so there is nothing in it"
        )
    limit = max_image_pixels()
    if height * width > limit:
        raise InputError(
            f"image {path} of {height} x {width} pixels is larger than the limit of {limit} "
            f"pixels; if that is right, raise it by the environment variable {_VARIABLE}"
        )
