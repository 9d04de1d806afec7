"""The data that a supervised step of the detector leaves behind.

A discriminator judges the features, and distillation the queries, that the supervised losses need
anyway. So their losses are computed from these outputs instead of from another forward computation.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from medmask.modeling.boxes import DetectionTarget
from medmask.modeling.matcher import Matches
from medmask.modeling.transformer import TransformerOutput


class Domain(enum.Enum):
    """Origin of the images of a step."""

    SOURCE = "source"
    """labeled images"""
    TARGET = "target"
    """images of the hospital to adapt to, whose boxes are a teacher's guesses"""


@dataclass(frozen=True)
class SupervisedStep:
    """Losses and outputs of one batch, with the graph of their gradients."""

    losses: Mapping[str, Tensor]
    """weighted losses by name; their sum is to be minimized"""
    batched_inputs: list[dict[str, Any]]
    """the mapper's samples"""
    domain: Domain
    """of the images"""
    features: Mapping[str, Tensor]
    """the backbone's maps, {name: (N, C_i, h, w)}"""
    outputs: TransformerOutput
    targets: list[DetectionTarget]
    """one per image"""
    matches: Matches
    """pairs of a query of the last decoder layer and the target that it answers for"""
