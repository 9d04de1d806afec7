"""The data sets that can be converted; none of them is imported before it is asked for."""

import importlib

from medmask.data.converters.contract import Converter
from medmask.errors import InputError

CONVERTERS = (
    "cbis_ddsm",
    "cdd_cesm",
    "cmmd",
    "csaw_cc",
    "ddsm",
    "inbreast",
    "mini_mias",
    "rsna",
    "rsna_bsd1k",
    "embed",
    "vindr_mammo",
    "coco_tree",
    "dicom_folder",
)
"""Name of each set, which is that of its module beside this one."""


def find_converter(name: str) -> Converter:
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
    return importlib.import_module(f"medmask.data.converters.{module}").CONVERTER
