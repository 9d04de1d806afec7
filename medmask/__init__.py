"""MedMask: lesion detection in mammograms from few annotations, as a Detectron2 project."""

# first, because it sets what is read when PyTorch is loaded
import medmask.utils.openmp  # noqa: F401

# Importing them registers the data sets and the meta-architecture with Detectron2.
from medmask import data, modeling
from medmask.modeling.yacs_config import add_medmask_config
from medmask.version import __version__

__all__ = ["__version__", "add_medmask_config", "data", "modeling"]
