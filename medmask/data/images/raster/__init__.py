"""PNG, JPEG and TIFF files."""

from medmask.data.images.raster.decoding import find_decoder
from medmask.data.images.raster.reading import count_raster_frames, read_raster, read_raster_size

__all__ = ["count_raster_frames", "find_decoder", "read_raster", "read_raster_size"]
