"""An auxiliary loss on the outlines of lesions, per pixel of a fine map."""

from medmask.stages.masks.hook import LesionMaskHook

__all__ = ["LesionMaskHook"]
