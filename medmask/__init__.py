"""MedMask: lesion detection in mammograms from few annotations, as a Detectron2 project."""

from medmask import data as _data  # registers the data sets
from medmask import modeling as _modeling  # registers the meta-architecture
from medmask.config import add_medmask_config

__version__ = "0.1.0"
__all__ = ["add_medmask_config"]
