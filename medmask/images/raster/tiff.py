"""TIFF 6.0 and BigTIFF files by Pillow."""

from PIL.TiffImagePlugin import TiffImageFile

from medmask.images.raster.marks import IncompleteImageError, MarkedImage, SurplusError

_STRIP_BYTE_COUNTS = 279
_BITS_PER_SAMPLE = 258
_SAMPLES_PER_PIXEL = 277
_ROWS_PER_STRIP = 278
_PHOTOMETRIC = 262
_MIN_IS_WHITE, _YCBCR = 0, 6
_UNCOMPRESSED = "raw"


class TiffDecoder(MarkedImage, TiffImageFile):
    """A TIFF file whose missing and surplus strips are noticed."""

    def is_min_white(self) -> bool:
        """Tell whether the file stores white as 0; Pillow inverts those of 8 bits only."""
        return self.tag_v2.get(_PHOTOMETRIC) == _MIN_IS_WHITE

    def load_prepare(self) -> None:
        self._check_strips()
        super().load_prepare()

    def stored_size(self) -> tuple[int, int]:
        return self._tile_size

    def _check_strips(self) -> None:
        """Compare the number of strips, and their bytes if uncompressed, with the image's size."""
        counts = self.tag_v2.get(_STRIP_BYTE_COUNTS)
        if not counts:
            return
        width, height = self.stored_size()
        bits = self.tag_v2.get(_BITS_PER_SAMPLE, (1,))
        samples = self.tag_v2.get(_SAMPLES_PER_PIXEL, len(bits))
        planes = samples if self._planar_configuration == 2 else 1
        strips = planes * -(-height // min(height, self.tag_v2.get(_ROWS_PER_STRIP, height)))
        row = planes * -(-width * bits[0] * samples // planes // 8)
        is_subsampled = self.tag_v2.get(_PHOTOMETRIC) == _YCBCR
        is_raw = self._compression == _UNCOMPRESSED and not is_subsampled
        if len(counts) < strips or (is_raw and sum(counts) < height * row):
            raise IncompleteImageError
        if len(counts) > strips or (is_raw and sum(counts) >= (height + 1) * row):
            raise SurplusError
