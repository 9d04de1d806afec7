"""Layers: the deformable-attention operator and what is built around it."""

from medmask.layers.blocks import MLP, FeedForward, inverse_sigmoid
from medmask.layers.deformable_attention.attention import MultiScaleDeformableAttention
from medmask.layers.deformable_attention.functional import ms_deform_attn, ms_deform_attn_fused
from medmask.layers.deformable_attention.operator import available_implementations
from medmask.layers.deformable_attention.pytorch import (
    ms_deform_attn_fused_pytorch,
    ms_deform_attn_pytorch,
)
from medmask.layers.position_encoding import SinePositionEncoding, box_position_encoding

__all__ = [
    "MLP",
    "FeedForward",
    "MultiScaleDeformableAttention",
    "SinePositionEncoding",
    "available_implementations",
    "box_position_encoding",
    "inverse_sigmoid",
    "ms_deform_attn",
    "ms_deform_attn_fused",
    "ms_deform_attn_fused_pytorch",
    "ms_deform_attn_pytorch",
]
