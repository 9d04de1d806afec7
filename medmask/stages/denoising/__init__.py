"""Denoising of boxes: the decoder learns from noised ground truth, too, without any matching."""

from medmask.stages.denoising.hook import DenoisingHook
from medmask.stages.denoising.noised_boxes import BoxNoise

__all__ = ["BoxNoise", "DenoisingHook"]
