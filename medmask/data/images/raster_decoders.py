"""Pillow's decoders of PNG, JPEG and TIFF, made to notice pixels that a file does not hold.

A header may promise more rows than there are data for. Pillow and the libraries behind it then
leave pixels as they were, or invent them, and say nothing. So a mark is set where the last pixel
belongs before the file is decoded; where it is still there afterwards, and another mark as well,
the pixels are missing. An image is decoded twice only if its last pixel happens to equal the mark.
"""

import re
import zlib
from collections.abc import Callable
from typing import Any

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

_MARKS = {"1": (255, 0), "F": (85.5, 170.5)}  # by mode; else by the number of bands
_TIFF_STRIP_BYTE_COUNTS = 279
_TIFF_BITS_PER_SAMPLE = 258
_TIFF_SAMPLES_PER_PIXEL = 277
_TIFF_ROWS_PER_STRIP = 278
_TIFF_PHOTOMETRIC = 262
_TIFF_YCBCR = 6
_TIFF_UNCOMPRESSED = "raw"
_JPEG_END = b"\xff\xd9"
# libjpeg reads a few bytes ahead; these are no valid code, so they decode to next to nothing
_JPEG_READ_AHEAD = b"\xff\x00" * 16


class IncompleteImageError(OSError):
    """The file holds fewer pixels than its header promises."""

    def __init__(self):
        super().__init__("it holds fewer pixels than its header promises")


class SurplusError(OSError):
    """The file holds more pixels than its header says, so that the image is a part of it."""

    def __init__(self):
        super().__init__("it holds more pixels than its header says")


class _MarkedImage:
    """What the three decoders have in common; goes before Pillow's class."""

    mark_index = 0
    """Which of two marks to set."""
    marked: frozenset[tuple[int, int, int]] = frozenset()
    """(x, y, band) that still had the mark after decoding."""

    def load_prepare(self) -> None:
        if self._im is None:
            # as Pillow does it, but without Pillow's own limit: ours has been checked
            self.im = Image.core.new(self.mode, self._stored_size())
            for place in self._last_places():
                self.im.putpixel(place, self._mark())
        super().load_prepare()

    def load_end(self) -> None:
        self.marked |= self._find_marks()
        super().load_end()

    def _find_marks(self) -> frozenset[tuple[int, int, int]]:
        places = self._last_places()
        return frozenset((*place, band) for place in places for band in self._marked_bands(place))

    def _marked_bands(self, place: tuple[int, int]) -> list[int]:
        value, mark = self.im.getpixel(place), self._mark()
        if not isinstance(value, tuple):
            value, mark = (value,), (mark,)
        return [band for band in range(len(value)) if value[band] == mark[band]]

    def _mark(self) -> Any:
        if self.mode in _MARKS:
            return _MARKS[self.mode][self.mark_index]
        value = (85, 170)[self.mark_index]
        bands = len(Image.Image.getbands(self))
        return value if bands == 1 else (value,) * bands

    def _stored_size(self) -> tuple[int, int]:
        """(width, height) as stored, not as turned for show."""
        return self.size

    def _last_places(self) -> list[tuple[int, int]]:
        """(x, y) of the pixels that are decoded last."""
        width, height = self._stored_size()
        return [(width - 1, height - 1)]


class PngDecoder(_MarkedImage, PngImageFile):
    """PNG (ISO/IEC 15948).

    One row more than the header says is asked for, and has to stay away. (The passes of an
    interlaced image depend on its height.)
    """

    asks_for_more = True
    """Whether to ask for that row."""

    def load_prepare(self) -> None:
        super().load_prepare()
        if self._has_surplus_row():
            self.im.putpixel(self._surplus_place(), self._mark())
        self.tile = [tile._replace(extents=(0, 0, *self._stored_size())) for tile in self.tile]

    def load_end(self) -> None:
        super().load_end()
        is_surplus = self._has_surplus_row() and not self._marked_bands(self._surplus_place())
        self.im = self.im.crop((0, 0, *self.size))
        if is_surplus and not self.marked:
            raise SurplusError

    def _is_interlaced(self) -> bool:
        return bool(self.info.get("interlace"))

    def _has_surplus_row(self) -> bool:
        return self.asks_for_more and not self._is_interlaced()

    def _stored_size(self) -> tuple[int, int]:
        width, height = self.size
        return width, height + self._has_surplus_row()

    def _surplus_place(self) -> tuple[int, int]:
        width, height = self._stored_size()
        return width - 1, height - 1

    def find_exif(self) -> None:
        """Take note of EXIF data that stand behind the pixels, without decoding these."""
        if "exif" in self.info:
            return
        start = self.fp.tell()
        self.fp.seek(8)
        while len(head := self.fp.read(8)) == 8 and head[4:] != b"IEND":
            length = int.from_bytes(head[:4], "big")
            if head[4:] == b"eXIf":
                self.info["exif"] = b"Exif\0\0" + self.fp.read(length)
                break
            self.fp.seek(length + 4, 1)
        self.fp.seek(start)

    def check_chunks(self) -> None:
        """Compare the checksums of all chunks; Pillow passes over those of the pixels.

        Raises:
            OSError: a checksum is wrong, or the file ends too early.
        """
        start = self.fp.tell()
        self.fp.seek(8)
        kind = b""
        while kind != b"IEND":
            head = self.fp.read(8)
            length, kind = int.from_bytes(head[:4], "big"), head[4:]
            content = self.fp.read(length)
            checksum = self.fp.read(4)
            if len(head) < 8 or len(content) < length or len(checksum) < 4:
                raise OSError("it is cut off")
            if zlib.crc32(content, zlib.crc32(kind)) != int.from_bytes(checksum, "big"):
                raise OSError(f"the checksum of its chunk {kind.decode('latin-1')} is wrong")
        self.fp.seek(start)

    def _last_places(self) -> list[tuple[int, int]]:
        width, height = self.size
        rows = [height - 1]
        if self._is_interlaced() and height % 2 == 1 and height > 1:
            rows.append(height - 2)  # the last pass of interlacing brings the odd rows
        return [(width - 1, row) for row in rows]


class TiffDecoder(_MarkedImage, TiffImageFile):
    """TIFF 6.0 and BigTIFF."""

    def load_prepare(self) -> None:
        self._check_strips()
        super().load_prepare()

    def _stored_size(self) -> tuple[int, int]:
        return self._tile_size

    def _check_strips(self) -> None:
        """Compare the number of strips, and their bytes if uncompressed, with the image's size."""
        counts = self.tag_v2.get(_TIFF_STRIP_BYTE_COUNTS)
        if not counts:
            return
        width, height = self._stored_size()
        bits = self.tag_v2.get(_TIFF_BITS_PER_SAMPLE, (1,))
        samples = self.tag_v2.get(_TIFF_SAMPLES_PER_PIXEL, len(bits))
        planes = samples if self._planar_configuration == 2 else 1
        strips = planes * -(-height // min(height, self.tag_v2.get(_TIFF_ROWS_PER_STRIP, height)))
        row = planes * -(-width * bits[0] * samples // planes // 8)
        is_subsampled = self.tag_v2.get(_TIFF_PHOTOMETRIC) == _TIFF_YCBCR
        is_raw = self._compression == _TIFF_UNCOMPRESSED and not is_subsampled
        if len(counts) < strips or (is_raw and sum(counts) < height * row):
            raise IncompleteImageError
        if len(counts) > strips or (is_raw and sum(counts) >= (height + 1) * row):
            raise SurplusError


class JpegDecoder(_MarkedImage, JpegImageFile):
    """JPEG (ITU-T T.81), with the end of the file held back until the last row is decoded."""

    has_several_scans = False
    """Whether the rows come only when all scans are decoded, so that holding back tells nothing."""
    filler = b""
    """Goes behind the data of every scan; changes the image only where data are missing."""

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
            self.marked |= self._find_marks()
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
    return data[: ends[0]] + _JPEG_READ_AHEAD, data[ends[0] :]


def scan_ends(data: bytes) -> list[int]:
    """Find where the entropy-coded data of each scan of a JPEG file end.

    Args:
        data: the file.

    Returns:
        The positions of the markers behind them; empty where the file is cut off before its end.
    """
    ends, position = [], 2
    while position + 4 <= len(data) or data[position : position + 2] == _JPEG_END:
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


Decoder = PngDecoder | JpegDecoder | TiffDecoder
_FILLER = bytes(range(5, 250, 5)) * 4


def load_complete(image: Decoder, reopen: Callable[[], Decoder]) -> Decoder:
    """Decode an image and refuse it if pixels are missing; decodes again only on suspicion.

    Args:
        image: as it was opened.
        reopen: gives the same image afresh, to decode it again.

    Returns:
        The image, decoded: ``image``, or one that ``reopen`` gave.

    Raises:
        OSError: it cannot be decoded, or pixels are missing.
    """
    try:
        image.load()
    except OSError as error:
        if isinstance(error, SurplusError) or not isinstance(image, PngDecoder):
            raise
        # Where a chunk brings no more than the end of the compressed data, Pillow takes the row
        # that is asked for in vain for a file that is cut off.
        image = reopen()
        image.asks_for_more = False
        image.load()
    _check_complete(image, reopen)
    return image


def _check_complete(image: Decoder, reopen: Callable[[], Decoder]) -> None:
    if image.marked:
        again = reopen()
        again.mark_index = 1
        if isinstance(image, PngDecoder):
            again.asks_for_more = image.asks_for_more
        again.load()
        if image.marked & again.marked:  # which no value of a pixel can cause
            raise IncompleteImageError
    elif isinstance(image, JpegDecoder) and image.has_several_scans:
        again = reopen()
        again.filler = _FILLER
        corner = (max(0, image.width - 8), image.height - 1, *image.size)
        if again.crop(corner) != image.crop(corner):
            raise IncompleteImageError
