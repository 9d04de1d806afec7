"""A moving average of the weights, evaluated and saved beside those that are trained."""

from detectron2.config import LazyCall as L

from medmask.stages import WeightAveragingHook

weight_averaging = L(WeightAveragingHook)(decay=0.998)
