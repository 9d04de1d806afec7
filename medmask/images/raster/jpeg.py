"""JPEG files (ITU-T T.81) by Pillow, which hands them to libjpeg."""

import re

from PIL.JpegImagePlugin import JpegImageFile

from medmask.images.raster.marks import MarkedImage

_END = b"\xff\xd9"
_SCAN = b"\xff\xda"
_MOST_SCANS = 100  # encoders write up to about ten
# libjpeg reads a few bytes ahead; these are no valid code, so they decode to next to nothing
_READ_AHEAD = b"\xff\x00" * 16


class JpegDecoder(MarkedImage, JpegImageFile):
    """A JPEG file whose end is held back until the last row is decoded."""

    has_several_scans = False
    """True if the rows come only when all scans are decoded, so that holding back tells nothing."""
    filler = b""
    """Bytes behind the data of every scan, which change the image only where data are missing."""

    _rest: bytes | None = None

    def load_read(self, read_bytes: int) -> bytes:
        if self._rest is None:
            data = self.fp.read()
            ends = scan_ends(data)
            self.has_several_scans = len(ends) > 1
            data, self._rest = hold_back_end(_insert(data, ends, self.filler))
            return data
        rest, self._rest = self._rest, b""
        if rest:
            # either the row is not there, or it equals the mark by chance
            self.marked |= self.find_marks()
        return rest


def _insert(data: bytes, positions: list[int], part: bytes) -> bytes:
    pieces = [data[a:b] for a, b in zip([0, *positions], [*positions, len(data)], strict=True)]
    return part.join(pieces)


def hold_back_end(data: bytes) -> tuple[bytes, bytes]:
    """Cut a JPEG file of one scan before its end-of-image marker.

    Where data end early at that marker, libjpeg goes on with gray and only warns; without it, it
    asks for more.

    Returns:
        The file up to there, and the rest; the whole file and nothing if it has several scans, as
        these are shown only when all of them are there, or has no end.
    """
    ends = scan_ends(data)
    if len(ends) != 1:
        return data, b""
    return data[: ends[0]] + _READ_AHEAD, data[ends[0] :]


def scan_ends(data: bytes) -> list[int]:
    """Find where the entropy-coded data of each scan of a JPEG file end.

    Args:
        data: the file.

    Returns:
        The positions of the markers behind them; empty where the file is cut off before its end.

    Raises:
        OSError: it has so many scans, each a pass over all pixels, that it was made to take hours.
    """
    # not as the markers are followed below, since libjpeg passes over bytes between them
    num_scans = data.count(_SCAN)
    if num_scans > _MOST_SCANS:
        raise OSError(f"it has {num_scans} scans, and an image has at most {_MOST_SCANS}")
    ends: list[int] = []
    position = 2
    while position + 4 <= len(data) or data[position : position + 2] == _END:
        marker = data[position + 1]
        if data[position] != 0xFF:
            return []
        if marker == 0xD9:
            return ends
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == 0xDA:
            # in the data 0xFF is followed by 0, or by the number of a restart
            match = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]").search(data, position)
            if match is None:
                return []
            position = match.start()
            ends.append(position)
    return []
