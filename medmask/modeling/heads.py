"""Class and box heads on decoder queries and encoder tokens."""

import math

from torch import nn

from medmask.layers import MLP

PRIOR_PROBABILITY = 0.01
"""Probability that a fresh class head gives every class (RetinaNet, Lin et al., 2017)."""


def build_class_head(embed_dim: int, num_classes: int) -> nn.Linear:
    """(..., C) -> (..., num_classes) logits."""
    head = nn.Linear(embed_dim, num_classes)
    nn.init.constant_(head.bias, -math.log((1 - PRIOR_PROBABILITY) / PRIOR_PROBABILITY))
    return head


def build_box_head(embed_dim: int, initial_size_logit: float) -> MLP:
    """(..., C) -> (..., 4): what is added to the logits of a reference (cx, cy, w, h).

    Args:
        embed_dim: C.
        initial_size_logit: what a fresh head adds to width and height. Where the reference is a
            point, -2 starts with boxes of 0.12 of the image; where it is a box, 0 leaves it alone.
    """
    head = MLP(embed_dim, embed_dim, 4, num_layers=3)
    last = head.layers[-1]
    assert isinstance(last, nn.Linear)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    nn.init.constant_(last.bias[2:], initial_size_logit)
    return head
