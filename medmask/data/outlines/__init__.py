"""Outlines of lesions, and maps of the pixels that lie in them.

::

    reading         polygons and run lengths of an annotation's ``segmentation``
    drawing         polygons, bitmaps and ellipses on the pixels of an augmented image
    lesion_map      all annotations of an image in one map
    check           all outlines of an annotation file
"""

from medmask.data.outlines.check import outline_problems
from medmask.data.outlines.lesion_map import (
    BACKGROUND,
    IGNORED,
    LESION,
    LesionMapDrawer,
)
from medmask.data.outlines.reading import has_outline

__all__ = ["BACKGROUND", "IGNORED", "LESION", "LesionMapDrawer", "has_outline", "outline_problems"]
