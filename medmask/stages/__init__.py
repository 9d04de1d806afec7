"""Stages of the method, each with all that it adds to a detector."""

from medmask.stages.adabn import adapt_batchnorm
from medmask.stages.loss_hook import LossHook

__all__ = ["LossHook", "adapt_batchnorm"]
