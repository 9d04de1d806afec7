"""MedMask: lesion detection in mammograms from few annotations, as a Detectron2 project."""

# Importing them registers the data sets and the meta-architecture with Detectron2.
from medmask import data, modeling
from medmask.config import add_medmask_config

__version__ = "0.1.0"
__all__ = ["add_medmask_config", "data", "modeling"]
