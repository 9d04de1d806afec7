"""Frames of files that hold several images, such as tomosynthesis; ``scan.dcm#3`` names one."""

import os
import re
from pathlib import Path

from medmask.errors import InputError

_FRAME = re.compile(r"(?P<file>.*[^/])#(?P<frame>[0-9]{1,9})", re.DOTALL)


def frame_path(path: str | os.PathLike, frame: int) -> Path:
    """Name one frame of a file: ``frame_path("scan.dcm", 3)`` is ``scan.dcm#3``."""
    return Path(f"{os.fspath(path)}#{frame}")


def split_frame_path(path: str | os.PathLike, frame: int | None = None) -> tuple[Path, int | None]:
    """Split ``scan.dcm#3`` into the file and the number of the frame, counted from 0.

    A file whose own name ends like that stands for itself.

    Args:
        path: a file, or a frame of one.
        frame: the frame, where it is asked for apart from the path.

    Returns:
        The file, and the frame or None if none is asked for.

    Raises:
        InputError: two different frames are asked for.
    """
    text = os.fspath(path)
    match = _FRAME.fullmatch(text)
    if match is None or os.path.lexists(text) or not os.path.lexists(match["file"]):
        return Path(text), frame
    named = int(match["frame"])
    if frame not in (None, named):
        raise InputError(
            f"image {text} names frame {named}, but frame {frame} is asked for as well"
        )
    return Path(match["file"]), named


def choose_frame(path: Path, frame: int | None, count: int) -> int:
    """Decide which frame of a file to read.

    Args:
        path: the file.
        frame: the frame that is asked for, from 0; None if none is.
        count: how many there are.

    Raises:
        InputError: there are several and none is asked for, or there is no such frame.
    """
    if frame is None and count > 1:
        raise InputError(
            f"image {path} holds {count} frames; name one by its number from 0 to {count - 1}, as "
            f"in {path.name}#0"
        )
    if not 0 <= (frame or 0) < count:
        raise InputError(f"image {path} has no frame {frame}; it holds {count}, counted from 0")
    return frame or 0
