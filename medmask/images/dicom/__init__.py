"""Radiographs from DICOM files (PS3.3 of the DICOM standard: C.7.6.3, C.7.6.16, C.11).

::

    parsing         a file up to its pixels: header, transfer syntax, inflation
    elements        the one place that reads an element
    description     size, number of frames and layout of the pixels
    pixels          the stored values of one frame
    decompression   those that are compressed; jpeg2000 looks for damage that decoders pass over
    lookup          stored values to values for presentation
    spacing, view   the side of a pixel, and the view of a breast
    reading         all of it together
"""

from medmask.images.dicom.parsing import DICOM_SUFFIXES, is_dicom
from medmask.images.dicom.reading import (
    count_dicom_frames,
    read_dicom,
    read_dicom_size,
    read_dicom_values,
)
from medmask.images.dicom.spacing import read_dicom_spacing

__all__ = [
    "DICOM_SUFFIXES",
    "count_dicom_frames",
    "is_dicom",
    "read_dicom",
    "read_dicom_size",
    "read_dicom_spacing",
    "read_dicom_values",
]
