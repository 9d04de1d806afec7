"""Damage to JPEG 2000 codestreams that shows in their structure (ITU-T T.800 annex A).

A decoder refuses data that end early, but decodes what else is missing to black, and damaged bytes
to other gray levels, and says nothing. There are no checksums; some of it can be known all the
same.
"""

import struct

import numpy as np

_JP2, _CODESTREAM_BOX = b"\0\0\0\x0cjP  \r\n\x87\n", b"jp2c"
_START, _SIZE = b"\xff\x4f", b"\xff\x51"
_EXTENDED, _CODING_STYLE, _TILE_PART, _DATA, _END = 0xFF50, 0xFF52, 0xFF90, 0xFF93, 0xFFD9
_HAS_MARKERS = 0b110  # of Scod: markers may stand between the packets
_LAST_BYTE = 0x8F  # that 0xFF is followed by in packets; from here on, it makes a marker


def find_codestream(data: bytes) -> int:
    """Find where a codestream begins, perhaps within a file of JP2; -1 if there is none.

    In JP2 it is a box behind others, such as color profiles of any length (annex I).
    """
    position = 0
    if data.startswith(_JP2):
        while (box := data[position : position + 16])[4:8] != _CODESTREAM_BOX:
            length = int.from_bytes(box[:4], "big")
            if length == 1:  # it does not fit, and stands behind the kind
                length = int.from_bytes(box[8:], "big")
            if length < 8 or position + length >= len(data):
                return -1
            position += length
        position += 16 if box[:4] == b"\0\0\0\1" else 8
    return position if data.startswith(_START + _SIZE, position) else -1


def damage_of_codestream(data: bytes) -> str | None:
    """Tell what is wrong with a codestream, as far as its structure shows it.

    Refused are tile-parts that are cut off, not one after the other, or missing, a missing end, and
    packets with bytes that no encoder writes there. Other changed bytes cannot be told from pixels.

    Args:
        data: with a codestream in it; what follows its end does not count.

    Returns:
        What is wrong, as part of a sentence; None if nothing is seen, or there is no codestream.
    """
    start = find_codestream(data)
    if start < 0:
        return None
    try:
        return _Codestream(data, start).damage()
    except struct.error:  # a field is beyond the end
        return "the JPEG 2000 data are cut off"


class _Codestream:
    """Walks along the markers; raises ``struct.error`` where the data end too early."""

    def __init__(self, data: bytes, start: int) -> None:
        self._data = data
        self._position = start + len(_START)
        self._may_have_markers = False

    def damage(self) -> str | None:
        num_tiles = self._read_number_of_tiles()
        if not self._pass_over_header(until=_TILE_PART):
            return "the header of the JPEG 2000 data is damaged"
        seen: dict[int, list[int]] = {}
        totals: dict[int, int] = {}
        while self._marker() == _TILE_PART:
            start = self._position
            _, tile, length, part, total = struct.unpack_from(">HHLBB", self._data, start + 2)
            end = start + length if length else self._find_end()
            if end > len(self._data):
                return "the JPEG 2000 data are cut off"
            if not self._pass_over_header(until=_DATA) or self._position > end:
                return "a tile of the JPEG 2000 data is damaged"
            if not self._may_have_markers and _has_marker(self._data, self._position + 2, end):
                return "the JPEG 2000 data are damaged"
            seen.setdefault(tile, []).append(part)
            totals[tile] = total or totals.get(tile, 0)
            self._position = end
        if self._marker() != _END:
            return "the JPEG 2000 data are damaged or cut off"
        # the number of the parts of a tile need not be told
        if len(seen) != num_tiles or any(
            tile >= num_tiles or parts != list(range(totals[tile] or len(parts)))
            for tile, parts in seen.items()
        ):
            return "tiles of the JPEG 2000 data are missing"
        return None

    def _read_number_of_tiles(self) -> int:
        numbers = struct.unpack_from(">8L", self._data, self._position + 6)
        width, height, _, _, tile_width, tile_height, left, top = numbers
        if not tile_width or not tile_height:
            return 0
        return -(-(width - left) // tile_width) * -(-(height - top) // tile_height)

    def _pass_over_header(self, until: int) -> bool:
        """Go to a marker that ends a header; False if something else than segments is before it."""
        if self._marker() == _TILE_PART:
            self._position += 12
        while (marker := self._marker()) != until:
            if marker <= 0xFF00 or marker in (_TILE_PART, _DATA, _END):
                return False
            length, style = struct.unpack_from(">HB", self._data, self._position + 2)
            if marker == _EXTENDED or (marker == _CODING_STYLE and style & _HAS_MARKERS):
                self._may_have_markers = True
            self._position += 2 + length
        return True

    def _marker(self) -> int:
        return struct.unpack_from(">H", self._data, self._position)[0]

    def _find_end(self) -> int:
        """The place of the end of a codestream whose last tile-part does not tell its length."""
        end = self._data.rfind(_END.to_bytes(2, "big"), self._position)
        return end if end >= 0 else len(self._data)


def _has_marker(data: bytes, start: int, end: int) -> bool:
    values = np.frombuffer(data, np.uint8, max(end - start, 0), start)
    return bool(((values[:-1] == 0xFF) & (values[1:] > _LAST_BYTE)).any())
