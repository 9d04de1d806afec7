"""MedMask: lesion detection in mammograms from few annotations, as a Detectron2 project."""

__version__ = "0.1.0"
