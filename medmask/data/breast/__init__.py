"""The breast in a mammogram: finding it, cropping to it, its gray levels and its landmarks."""

from medmask.data.breast.finding import Breast, find_breast
from medmask.data.breast.frame import BreastFrame, find_breast_frame, read_breast_frames
from medmask.data.breast.preprocessing import (
    BreastPreprocessing,
    crops_to_breast,
    sets_window,
)

__all__ = [
    "Breast",
    "BreastFrame",
    "BreastPreprocessing",
    "crops_to_breast",
    "find_breast",
    "find_breast_frame",
    "read_breast_frames",
    "sets_window",
]
