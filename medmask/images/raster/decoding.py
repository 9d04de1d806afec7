"""Decoding of PNG, JPEG and TIFF files, which refuses images of which pixels are missing.

Pillow is asked for these formats by name, so that no other of its readers runs on a file that
somebody named .png.
"""

from collections.abc import Callable

from medmask.images.raster.jpeg import JpegDecoder
from medmask.images.raster.marks import IncompleteImageError, SurplusError
from medmask.images.raster.png import PngDecoder
from medmask.images.raster.tiff import TiffDecoder

Decoder = PngDecoder | JpegDecoder | TiffDecoder

_DECODERS: dict[bytes, type[Decoder]] = {
    b"\x89PNG\r\n\x1a\n": PngDecoder,
    b"\xff\xd8\xff": JpegDecoder,
    b"II*\0": TiffDecoder,
    b"MM\0*": TiffDecoder,
    b"II+\0": TiffDecoder,  # BigTIFF
    b"MM\0+": TiffDecoder,
}
_FILLER = bytes(range(5, 250, 5)) * 4


def find_decoder(head: bytes) -> type[Decoder] | None:
    """Find the decoder of a file by its first 8 bytes; None if it is not PNG, JPEG or TIFF."""
    return next((d for mark, d in _DECODERS.items() if head.startswith(mark)), None)


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
        assert isinstance(image, PngDecoder)  # as before
        image.asks_for_more = False
        image.load()
    _check_complete(image, reopen)
    return image


def _check_complete(image: Decoder, reopen: Callable[[], Decoder]) -> None:
    if image.marked:
        again = reopen()
        again.mark_index = 1
        if isinstance(image, PngDecoder) and isinstance(again, PngDecoder):
            again.asks_for_more = image.asks_for_more
        again.load()
        if image.marked & again.marked:  # which no value of a pixel can cause
            raise IncompleteImageError
    elif isinstance(image, JpegDecoder) and image.has_several_scans:
        again = reopen()
        assert isinstance(again, JpegDecoder)  # as before
        again.filler = _FILLER
        corner = (max(0, image.width - 8), image.height - 1, *image.size)
        if again.crop(corner) != image.crop(corner):
            raise IncompleteImageError
