"""MedMask: lesion detection in mammograms from few annotations, as a Detectron2 project."""

# first, because it sets what is read when PyTorch is loaded
import medmask.utils.openmp  # noqa: F401

# Importing them registers the data sets and the meta-architecture with Detectron2.
from medmask import data, modeling
from medmask.modeling.yacs_config import add_medmask_config

__version__ = "0.1.0"
__all__ = ["add_medmask_config", "data", "modeling"]
