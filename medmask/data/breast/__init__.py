"""The breast in a mammogram: finding it, and cropping to it."""

from medmask.data.breast.cropping import BreastCrop
from medmask.data.breast.finding import Breast, find_breast

__all__ = ["Breast", "BreastCrop", "find_breast"]
