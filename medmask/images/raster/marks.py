"""Marks by which a decoder notices pixels that a file does not hold.

A header may promise more rows than there are data for. Pillow and the libraries behind it then
leave pixels as they were, or invent them, and say nothing. So a mark is set where the last pixel
belongs before the file is decoded; where it is still there afterwards, and another mark as well,
the pixels are missing. An image is decoded twice only if its last pixel happens to equal the mark.
"""

from typing import IO, Any

from PIL import Image, ImageFile

_MARKS = {"1": (255, 0), "F": (85.5, 170.5)}  # by mode; else by the number of bands


class IncompleteImageError(OSError):
    """The file holds fewer pixels than its header promises."""

    def __init__(self) -> None:
        super().__init__("it holds fewer pixels than its header promises")


class SurplusError(OSError):
    """The file holds more pixels than its header says, so that the image is a part of it."""

    def __init__(self) -> None:
        super().__init__("it holds more pixels than its header says")


class MarkedImage(ImageFile.ImageFile):
    """Common base of the three decoders; it goes before Pillow's class."""

    fp: IO[bytes]
    mark_index = 0
    """0 or 1: the one of two marks that is set."""
    marked: frozenset[tuple[int, int, int]] = frozenset()
    """(x, y, band) that still had the mark after decoding."""

    def load_prepare(self) -> None:
        if self._im is None:
            # as Pillow does it, but without Pillow's own limit: ours has been checked
            self.im = Image.core.new(self.mode, self.stored_size())
            for pixel in self.last_pixels():
                self.im.putpixel(pixel, self.mark())
        super().load_prepare()

    def load_end(self) -> None:
        self.marked |= self.find_marks()
        super().load_end()

    def find_marks(self) -> frozenset[tuple[int, int, int]]:
        """Find the (x, y, band) of the last pixels that have the mark now."""
        pixels = self.last_pixels()
        return frozenset((*pixel, band) for pixel in pixels for band in self.marked_bands(pixel))

    def marked_bands(self, pixel: tuple[int, int]) -> list[int]:
        """List the bands of a pixel (x, y) that have the mark now."""
        value, mark = self.im.getpixel(pixel), self.mark()
        if not isinstance(value, tuple):
            value, mark = (value,), (mark,)
        return [band for band in range(len(value)) if value[band] == mark[band]]

    def mark(self) -> Any:
        """Choose the value that is the mark in images of this mode."""
        if self.mode in _MARKS:
            return _MARKS[self.mode][self.mark_index]
        value = (85, 170)[self.mark_index]
        bands = len(Image.Image.getbands(self))
        return value if bands == 1 else (value,) * bands

    def stored_size(self) -> tuple[int, int]:
        """Return (width, height) as stored, not as turned for show."""
        return self.size

    def last_pixels(self) -> list[tuple[int, int]]:
        """List the (x, y) of the pixels that are decoded last."""
        width, height = self.stored_size()
        return [(width - 1, height - 1)]
