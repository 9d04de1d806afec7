"""The data sets that can be converted; none of them is imported before it is asked for."""

import importlib
from typing import TYPE_CHECKING

from medmask.errors import InputError

if TYPE_CHECKING:
    from medmask.converters.contract import Converter

CONVERTERS = {
    "cbis_ddsm": "CBIS-DDSM: 3,103 scanned films with masks (four CSV tables, DICOM)",
    "cdd_cesm": "CDD-CESM: 1,003 low-energy images with regions (XLSX, CSV, JPEG)",
    "cmmd": "CMMD: 5,202 images with the biopsy of breasts, no boxes (XLSX, DICOM)",
    "csaw_cc": "CSAW-CC: 98,788 screening images, some with masks (CSV, DICOM, PNG)",
    "ddsm": "DDSM: 2,620 cases of scanned films with outlines (ICS, OVERLAY, decoded LJPEG)",
    "inbreast": "INbreast release 1.0: 410 digital images (AllDICOMs, AllXML, INbreast.csv)",
    "mini_mias": "mini-MIAS: 322 scanned films (PGM and Info.txt)",
    "rsna": "RSNA screening mammography 2022: labels of breasts, no boxes (train.csv, DICOM)",
    "rsna_bsd1k": "RSNA-BSD1K: 1,000 images of the RSNA set with boxes (COCO, PNG)",
    "embed": "EMBED, AWS Open Data release: digital mammograms with marked regions (CSV, DICOM)",
    "vindr_mammo": "VinDr-Mammo: 5,000 exams (two CSV tables, DICOM)",
    "coco_tree": "your own COCO tree, to split by patient or reduce in size (JSON and images)",
    "dicom_folder": "any folder of DICOM mammograms, without lesions",
}
"""Line of the help on each set, by its name, which is that of its module beside this one."""


def find_converter(name: str) -> "Converter":
    """Find the converter of a data set; hyphens in the name mean underscores.

    Raises:
        InputError: no set has this name; lists those that have.
    """
    module = name.replace("-", "_")
    if module not in CONVERTERS:
        raise InputError(
            f"data set '{name}' has no converter; known are {', '.join(CONVERTERS)}; a COCO set of "
            "your own is converted as coco_tree, any folder of DICOM files as dicom_folder"
        )
    return importlib.import_module(f"medmask.converters.{module}").CONVERTER
