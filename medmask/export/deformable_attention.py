"""Deformable attention in the operations of ONNX: gathers and products, no operator of its own.

Shape suffixes: N images, S tokens, Q queries, M heads, D channels a head, L levels, P points.
"""

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

from medmask.layers import MultiScaleDeformableAttention

Model = TypeVar("Model", bound=nn.Module)

_CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))
"""(y, x) of the four pixels around a sampling location, from the upper left one."""


def sample_by_gathers(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    reference_points: Tensor,
    sampling_offsets: Tensor,
    attention_logits: Tensor,
) -> Tensor:
    """Compute :func:`medmask.layers.ms_deform_attn_fused`, of whose arguments these are.

    Heights, widths and numbers of tokens stay variables of a traced graph.

    Returns:
        (N, Q, M*D).
    """
    N, S, M, D = value.shape
    Q, P = sampling_offsets.shape[1], sampling_offsets.shape[-2]
    centers = reference_points[:, :, None, :, None]  # (N, Q, 1, L, 1, 2 or 4)
    sizes = spatial_shapes.flip(-1)[:, None]  # (L, 1, 2) as (w, h)
    pixels = centers[..., :2] * sizes - 0.5
    if reference_points.shape[-1] == 2:
        pixels = pixels + sampling_offsets
    else:
        pixels = pixels + sampling_offsets * (centers[..., 2:] * (0.5 / P) * sizes)
    # What is outside, or not finite, samples nothing; a location of -1 has no weight in the map.
    pixels = torch.where((pixels > -1) & (pixels < sizes), pixels, -1.0)
    corner = pixels.floor()
    fraction = pixels - corner
    corner = corner.long()

    weights = attention_logits.flatten(-2).softmax(-1).view(attention_logits.shape)
    rows = value.reshape(-1, D)  # of a head of a token, after each other
    image = torch.arange(N, device=value.device).view(-1, 1, 1, 1, 1) * S
    head = torch.arange(M, device=value.device).view(-1, 1, 1)
    output = value.new_zeros(())
    for y, x in _CORNERS:
        at = corner + corner.new_tensor([x, y])
        inside = ((at >= 0) & (at < sizes)).all(-1)
        share = (fraction if x else 1 - fraction)[..., 0] * (fraction if y else 1 - fraction)[
            ..., 1
        ]
        token = level_start_index[:, None] + at[..., 1] * sizes[..., 0] + at[..., 0]
        index = torch.where(inside, (image + token) * M + head, 0)
        weight = torch.where(inside, share * weights, 0.0)
        samples = rows.index_select(0, index.flatten()).view(N, Q, M, -1, D)
        output = output + weight.flatten(-2)[..., None, :] @ samples
    return output.reshape(N, Q, M * D)


def with_gathering_attention(model: Model) -> Model:
    """A copy of a model in which every deformable attention samples by gathers."""
    model = copy.deepcopy(model)
    for module in model.modules():
        if isinstance(module, MultiScaleDeformableAttention):
            module.sample = sample_by_gathers
    return model
