"""The deformable decoder: queries attend to each other, then to points of the memory."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from medmask.layers import FeedForward, MultiScaleDeformableAttention, inverse_sigmoid
from medmask.modeling.gradient_checkpointing import run_layer
from medmask.modeling.heads import build_box_head, build_class_head
from medmask.modeling.multi_scale_tokens import MultiScaleTokens


class DeformableDecoderLayer(nn.Module):
    """Self-attention, deformable cross-attention, feed-forward; all residual, post-norm."""

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        feed_forward_dim: int,
        dropout: float,
        num_levels: int,
        num_points: int,
    ):
        super().__init__()
        self.self_attention = nn.MultiheadAttention(
            embed_dim, num_heads, dropout=dropout, batch_first=True
        )
        self.self_dropout = nn.Dropout(dropout)
        self.self_norm = nn.LayerNorm(embed_dim)
        self.cross_attention = MultiScaleDeformableAttention(
            embed_dim, num_heads, num_levels, num_points
        )
        self.cross_dropout = nn.Dropout(dropout)
        self.cross_norm = nn.LayerNorm(embed_dim)
        self.feed_forward = FeedForward(embed_dim, feed_forward_dim, dropout)

    def forward(
        self,
        queries: Tensor,
        query_positions: Tensor,
        reference_points: Tensor,
        memory: Tensor,
        spatial_shapes: Tensor,
        level_start_index: Tensor,
        value_mask: Tensor | None,
        visible_indices: Tensor | None = None,
        attention_mask: Tensor | None = None,
        unseen_queries: Tensor | None = None,
    ) -> Tensor:
        """(N, Q, C) -> (N, Q, C).

        See :class:`MultiScaleDeformableAttention` for the arguments; ``attention_mask`` (N, Q, Q)
        bool is True where a query (row) must not see another, and ``unseen_queries`` (N, Q) bool
        where none must see a query.
        """
        placed = queries + query_positions
        if attention_mask is not None:  # of each head
            num_heads = self.self_attention.num_heads
            attention_mask = attention_mask.repeat_interleave(num_heads, dim=0)
        update = self.self_attention(
            placed,
            placed,
            queries,
            key_padding_mask=unseen_queries,
            need_weights=False,
            attn_mask=attention_mask,
        )[0]
        queries = self.self_norm(queries + self.self_dropout(update))
        update = self.cross_attention(
            queries + query_positions,
            reference_points,
            memory,
            spatial_shapes,
            level_start_index,
            value_mask,
            visible_indices,
        )
        queries = self.cross_norm(queries + self.cross_dropout(update))
        return self.feed_forward(queries)


@dataclass(frozen=True)
class DecoderOutput:
    """Predictions of every decoder layer (the last is the detector's answer)."""

    logits: Tensor
    """(layers, N, Q, classes)"""
    boxes: Tensor
    """(layers, N, Q, 4) as (cx, cy, w, h) in [0, 1] of the unpadded image"""
    queries: Tensor
    """(N, Q, C): the queries after the last layer"""


class DeformableDecoder(nn.Module):
    """A stack of :class:`DeformableDecoderLayer` with its class and box heads.

    With box refinement each layer corrects the boxes of the layer before and has heads of its own;
    without it, all layers share one pair of heads and start from the same reference.
    """

    def __init__(
        self,
        num_layers: int,
        gradient_checkpointing: bool,
        num_classes: int,
        box_refinement: bool,
        reference_is_box: bool,
        **layer: Any,
    ):
        """Create the stack.

        Args:
            num_layers: depth.
            gradient_checkpointing: recompute each layer in the backward pass to save memory.
            num_classes: classes of the detector, background not counted.
            box_refinement: iterative bounding box refinement (Zhu et al., 2021, section 4.2).
            reference_is_box: the first layer's references are boxes (two-stage), not points.
            layer: arguments of :class:`DeformableDecoderLayer`.
        """
        super().__init__()
        self.layers = nn.ModuleList(DeformableDecoderLayer(**layer) for _ in range(num_layers))
        self.gradient_checkpointing = gradient_checkpointing
        self.box_refinement = box_refinement
        num_heads = num_layers if box_refinement else 1
        embed_dim = layer["embed_dim"]
        self.class_heads = nn.ModuleList(
            build_class_head(embed_dim, num_classes) for _ in range(num_heads)
        )
        # Only a head that sees points has to make up a size.
        self.box_heads = nn.ModuleList(
            build_box_head(embed_dim, -2.0 if i == 0 and not reference_is_box else 0.0)
            for i in range(num_heads)
        )

    def forward(
        self,
        queries: Tensor,
        query_positions: Tensor,
        references: Tensor,
        memory: Tensor,
        features: MultiScaleTokens,
        attention_mask: Tensor | None = None,
    ) -> DecoderOutput:
        """Decode.

        Args:
            queries: (N, Q, C), content.
            query_positions: (N, Q, C).
            references: (N, Q, 2) points or (N, Q, 4) boxes in [0, 1] of the unpadded image.
            memory: (N, S, C) from the encoder.
            features: the levels that ``memory`` belongs to, for their shapes and padding.
            attention_mask: (N, Q, Q) bool, True where a query (row) must not see another; all see
                each other if None.
        """
        all_logits, all_boxes = [], []
        value_mask = features.padding_mask
        reference_points = references_on_levels(references, features.valid_ratios)
        for i, layer in enumerate(self.layers):
            queries = run_layer(
                layer,
                self.gradient_checkpointing,
                queries,
                query_positions,
                reference_points,
                memory,
                features.spatial_shapes,
                features.level_start_index,
                value_mask,
                None,
                attention_mask,
            )
            head = i if self.box_refinement else 0
            boxes = apply_box_deltas(references, self.box_heads[head](queries))
            all_logits.append(self.class_heads[head](queries))
            all_boxes.append(boxes)
            if self.box_refinement:
                references = boxes.detach()
                reference_points = references_on_levels(references, features.valid_ratios)
        return DecoderOutput(torch.stack(all_logits), torch.stack(all_boxes), queries)


def apply_box_deltas(references: Tensor, deltas: Tensor) -> Tensor:
    """Move references by what a box head says.

    Args:
        references: (..., 2) points or (..., 4) boxes in [0, 1].
        deltas: (..., 4), added to the references' logits (a point has no logits for its size).

    Returns:
        (..., 4) boxes (cx, cy, w, h) in [0, 1], float32.
    """
    logits = inverse_sigmoid(references.float())
    if references.shape[-1] == 2:
        logits = torch.cat((logits, torch.zeros_like(logits)), dim=-1)
    return (logits + deltas.float()).sigmoid()


def references_on_levels(references: Tensor, valid_ratios: Tensor) -> Tensor:
    """Move points from the unpadded image to each padded level: (N, Q, 2|4) -> (N, Q, L, 2|4)."""
    ratios = valid_ratios.repeat(1, 1, references.shape[-1] // 2)  # (N, L, 2|4)
    return references[:, :, None] * ratios[:, None]
