"""Multi-scale deformable attention as a module (Deformable DETR, Zhu et al., 2021, equation 3)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from medmask.errors import InputError
from medmask.layers.deformable_attention.functional import ms_deform_attn_fused
from medmask.layers.visible_tokens import scatter_tokens


class MultiScaleDeformableAttention(nn.Module):
    """Attention of each query to a few learned points around its reference point, on every level.

    Shape suffixes below: N images, S tokens of all levels, Q queries, M heads, L levels, P points.

    Attributes:
        sample: :func:`ms_deform_attn_fused`, or another function of its arguments that computes the
            same.
    """

    def __init__(self, embed_dim: int, num_heads: int, num_levels: int, num_points: int):
        super().__init__()
        if embed_dim % num_heads:
            raise InputError(
                f"embed_dim must be divisible by num_heads, got {embed_dim} and {num_heads}"
            )
        self.num_heads = num_heads
        self.num_levels = num_levels
        self.num_points = num_points
        self.sample: Callable[..., Tensor] = ms_deform_attn_fused
        num_samples = num_heads * num_levels * num_points
        self.sampling_offsets = nn.Linear(embed_dim, num_samples * 2)
        self.attention_weights = nn.Linear(embed_dim, num_samples)
        self.value_proj = nn.Linear(embed_dim, embed_dim)
        self.output_proj = nn.Linear(embed_dim, embed_dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Have heads look in evenly spread directions, point p at a distance of p cells."""
        nn.init.zeros_(self.sampling_offsets.weight)
        angles = torch.arange(self.num_heads, dtype=torch.float32) * (2 * math.pi / self.num_heads)
        directions = torch.stack((angles.cos(), angles.sin()), dim=-1)
        directions = directions / directions.abs().amax(dim=-1, keepdim=True)  # onto a square
        distances = torch.arange(1, self.num_points + 1, dtype=torch.float32)
        offsets = directions[:, None, None, :] * distances[:, None]  # (M, 1, P, 2)
        offsets = offsets.expand(-1, self.num_levels, -1, -1)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(offsets.reshape(-1))
        nn.init.zeros_(self.attention_weights.weight)
        nn.init.zeros_(self.attention_weights.bias)
        for projection in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(projection.weight)
            nn.init.zeros_(projection.bias)

    def forward(
        self,
        query: Tensor,
        reference_points: Tensor,
        memory: Tensor,
        spatial_shapes: Tensor,
        level_start_index: Tensor,
        value_mask: Tensor | None = None,
        visible_indices: Tensor | None = None,
    ) -> Tensor:
        """Attend.

        Args:
            query: (N, Q, C), position included.
            reference_points: (N, Q, L, 2) as (x, y), or (N, Q, L, 4) as (cx, cy, w, h), in [0, 1]
                of the padded map of each level. Offsets are cells of the level around a point, and
                fractions of half the box divided by the number of points around a box.
            memory: (N, S, C), the flattened levels; or (N, V, C), the visible tokens of them.
            spatial_shapes: (L, 2) int64, (h, w) of each level.
            level_start_index: (L,) int64, index of the first token of each level.
            value_mask: (N, S) bool, True where a token gives no value: padding, or masked by the
                masked autoencoder.
            visible_indices: (N, V) from ``find_visible_tokens(value_mask)``, if ``memory`` holds
                these tokens only.

        Returns:
            (N, Q, C).
        """
        N, Q, C = query.shape
        M, L, P = self.num_heads, self.num_levels, self.num_points
        value = self.value_proj(memory)
        if visible_indices is not None:
            assert value_mask is not None  # as they were found in it
            value = value.masked_fill(value_mask.gather(1, visible_indices)[..., None], 0)
            value = scatter_tokens(value, visible_indices, value_mask.shape[1])
        elif value_mask is not None:
            value = value.masked_fill(value_mask[..., None], 0)
        # not unflatten, which makes the number of tokens a constant of a traced graph
        value = value.view(N, value.shape[1], M, C // M)
        output = self.sample(
            value,
            spatial_shapes,
            level_start_index,
            reference_points,
            self.sampling_offsets(query).view(N, Q, M, L, P, 2),
            self.attention_weights(query).view(N, Q, M, L, P),
        )
        return self.output_proj(output)
