"""PNG, JPEG and TIFF files."""

from medmask.images.raster.decoding import find_decoder
from medmask.images.raster.reading import (
    count_raster_frames,
    read_raster,
    read_raster_size,
    read_raster_values,
)

__all__ = [
    "count_raster_frames",
    "find_decoder",
    "read_raster",
    "read_raster_size",
    "read_raster_values",
]
