"""Reading images of all formats: PNG, JPEG, TIFF and DICOM, all as RGB in [0, 255].

::

    reading         any file, whatever its name
    raster/         PNG, JPEG and TIFF
    dicom/          DICOM
    frames          files of several images
    intensity       gray levels to [0, 255]
    limits          the largest image that is read
"""

from medmask.images.dicom import DICOM_SUFFIXES, is_dicom
from medmask.images.frames import frame_path, split_frame_path
from medmask.images.intensity import stretch_to_255, to_rgb
from medmask.images.reading import (
    IMAGE_SUFFIXES,
    count_frames,
    read_gray_levels,
    read_image,
    read_image_size,
    read_pixel_spacing,
)

__all__ = [
    "DICOM_SUFFIXES",
    "IMAGE_SUFFIXES",
    "count_frames",
    "frame_path",
    "is_dicom",
    "read_gray_levels",
    "read_image",
    "read_image_size",
    "read_pixel_spacing",
    "split_frame_path",
    "stretch_to_255",
    "to_rgb",
]
