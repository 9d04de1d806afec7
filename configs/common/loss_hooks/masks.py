"""Outlines of lesions per pixel, beside detection; the stage has the mapper draw them."""

from detectron2.config import LazyCall as L

from medmask.data import LesionMapDrawer
from medmask.stages.masks import LesionMaskHook

masks = L(LesionMaskHook)(
    weight=1.0,
    stride=4,  # of the map, in pixels: the encoder's finest level's, or a power of two finer
    channels=64,
    num_levels=2,  # the finest of the encoder
)

# For dataloader.train.mapper.lesion_map.
lesion_map = L(LesionMapDrawer)(
    without_outline="ignore",  # or "ellipse": lesions of a box alone are the ellipse in it
)
