"""Training by labels of whole images, without boxes."""

from medmask.stages.image_labels.hook import ImageLabelHook
from medmask.stages.image_labels.pooling import BagPooling, LogSumExpPooling, NoisyOrPooling

__all__ = ["BagPooling", "ImageLabelHook", "LogSumExpPooling", "NoisyOrPooling"]
