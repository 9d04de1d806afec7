"""Stages of the method, each with all that it adds to a detector."""

from medmask.stages.adabn import adapt_batchnorm
from medmask.stages.loss_hook import LossHook
from medmask.stages.weight_averaging import WeightAveragingHook

__all__ = ["LossHook", "WeightAveragingHook", "adapt_batchnorm"]
