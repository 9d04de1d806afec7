"""The breast in a mammogram: finding it, cropping to it, and its gray levels."""

from medmask.data.breast.finding import Breast, find_breast
from medmask.data.breast.preprocessing import (
    BreastPreprocessing,
    crops_to_breast,
    sets_window,
)

__all__ = ["Breast", "BreastPreprocessing", "crops_to_breast", "find_breast", "sets_window"]
