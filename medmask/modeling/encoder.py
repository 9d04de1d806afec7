"""The deformable encoder: every token attends to a few points on every level."""

from typing import Any

from torch import Tensor, nn

from medmask.layers import FeedForward, MultiScaleDeformableAttention
from medmask.layers.visible_tokens import find_visible_tokens, gather_tokens, scatter_tokens
from medmask.modeling.gradient_checkpointing import run_layer
from medmask.modeling.multi_scale_tokens import MultiScaleTokens


class DeformableEncoderLayer(nn.Module):
    """Deformable self-attention, then a feed-forward network; both residual, post-norm."""

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
        self.self_attention = MultiScaleDeformableAttention(
            embed_dim, num_heads, num_levels, num_points
        )
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(embed_dim)
        self.feed_forward = FeedForward(embed_dim, feed_forward_dim, dropout)

    def forward(
        self,
        tokens: Tensor,
        positions: Tensor,
        reference_points: Tensor,
        spatial_shapes: Tensor,
        level_start_index: Tensor,
        value_mask: Tensor | None,
        visible_indices: Tensor | None,
    ) -> Tensor:
        """(N, Q, C) -> (N, Q, C); see :class:`MultiScaleDeformableAttention` for the arguments."""
        update = self.self_attention(
            tokens + positions,
            reference_points,
            tokens,
            spatial_shapes,
            level_start_index,
            value_mask,
            visible_indices,
        )
        tokens = self.norm(tokens + self.dropout(update))
        return self.feed_forward(tokens)


class DeformableEncoder(nn.Module):
    """A stack of :class:`DeformableEncoderLayer`."""

    def __init__(self, num_layers: int, gradient_checkpointing: bool, **layer: Any):
        """Create the stack.

        Args:
            num_layers: depth.
            gradient_checkpointing: recompute each layer in the backward pass to save memory.
            layer: arguments of :class:`DeformableEncoderLayer`.
        """
        super().__init__()
        self.layers = nn.ModuleList(DeformableEncoderLayer(**layer) for _ in range(num_layers))
        self.gradient_checkpointing = gradient_checkpointing

    def forward(
        self,
        features: MultiScaleTokens,
        value_mask: Tensor | None = None,
        visible_indices: Tensor | None = None,
    ) -> Tensor:
        """Encode.

        Args:
            features: the tokens of all levels. Reference points come from its padding.
            value_mask: (N, S) bool, True where a token gives no value to attention: padding, and
                masked tokens of masked autoencoding. Such tokens are not encoded, which saves most
                of the time where most are masked; whoever reads the memory must mask them, too. If
                None, padding gives no value, and all tokens are encoded.
            visible_indices: ``find_visible_tokens(value_mask)``, if that is known.

        Returns:
            The memory, (N, S, C).
        """
        tokens, positions = features.tokens, features.positions
        # A token's center, in the coordinates of each padded level.
        reference_points = features.centers[:, :, None] * features.valid_ratios[:, None]
        if value_mask is None:
            value_mask = features.padding_mask
        else:
            if visible_indices is None:
                visible_indices = find_visible_tokens(value_mask)
            tokens, positions, reference_points = (
                gather_tokens(x, visible_indices) for x in (tokens, positions, reference_points)
            )
        for layer in self.layers:
            tokens = run_layer(
                layer,
                self.gradient_checkpointing,
                tokens,
                positions,
                reference_points,
                features.spatial_shapes,
                features.level_start_index,
                value_mask,
                visible_indices,
            )
        if visible_indices is None:
            return tokens
        return scatter_tokens(tokens, visible_indices, value_mask.shape[1])
