"""Multi-scale deformable attention in plain PyTorch, built on ``grid_sample``.

It needs no compiler, runs on every device and defines what the compiled kernels must compute.
Shape suffixes: N images, S tokens, Q queries, M heads, D channels a head, L levels, P points.
"""

from collections.abc import Iterator

import torch
from torch import Tensor


def accumulation_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype of sums, locations and weights for a value of ``dtype``: at least float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def ms_deform_attn_pytorch(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    """Multi-scale deformable attention, differentiable by PyTorch's own autograd.

    Arguments, result and conventions are those of :func:`medmask.layers.ms_deform_attn`, which
    also checks them; this function does not.
    """
    N, _, M, D = value.shape
    Q = sampling_locations.shape[1]
    output = value.new_zeros((N * M, D, Q), dtype=accumulation_dtype(value.dtype))
    levels = _levels(
        value, spatial_shapes, level_start_index, sampling_locations, attention_weights
    )
    for _, value_map, grid, weights in levels:
        output = output + (_sample(value_map, grid) * weights[:, None]).sum(-1)
    return output.view(N, M * D, Q).transpose(1, 2).to(value.dtype).contiguous()


def ms_deform_attn_pytorch_backward(
    grad_output: Tensor,
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of :func:`ms_deform_attn_pytorch`, without building an autograd graph.

    ``grad_output`` is (N, Q, M*D), of value's dtype; the others are the forward's arguments.

    Returns:
        The gradients of value, sampling_locations and attention_weights, each of the shape and
        dtype of its tensor.
    """
    N, _, M, D = value.shape
    Q = sampling_locations.shape[1]
    grad_output = grad_output.to(accumulation_dtype(value.dtype))
    grad_output = grad_output.transpose(1, 2).reshape(N * M, D, Q, 1)
    grad_value, grad_locations, grad_weights = (
        torch.zeros_like(tensor, memory_format=torch.contiguous_format)
        for tensor in (value, sampling_locations, attention_weights)
    )
    levels = _levels(
        value, spatial_shapes, level_start_index, sampling_locations, attention_weights
    )
    for level, (tokens, value_map, grid, weights) in enumerate(levels):
        by_weight = (_sample(value_map, grid) * grad_output).sum(1)  # (N*M, Q, P)
        by_map, by_grid = torch.ops.aten.grid_sampler_2d_backward(
            grad_output * weights[:, None], value_map, grid, *_GRID_SAMPLER_MODE, (True, True)
        )
        grad_value[:, tokens] = by_map.flatten(2).unflatten(0, (N, M)).permute(0, 3, 1, 2)
        grad_locations[:, :, :, level] = 2 * by_grid.unflatten(0, (N, M)).transpose(1, 2)
        grad_weights[:, :, :, level] = by_weight.unflatten(0, (N, M)).transpose(1, 2)
    return grad_value, grad_locations, grad_weights


def ms_deform_attn_fused_pytorch(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    reference_points: Tensor,
    sampling_offsets: Tensor,
    attention_logits: Tensor,
) -> Tensor:
    """Multi-scale deformable attention from raw projections, differentiable by PyTorch's autograd.

    Arguments, result and conventions are those of :func:`medmask.layers.ms_deform_attn_fused`,
    which also checks them; this function does not.
    """
    projected = _Projected(reference_points, sampling_offsets, attention_logits, spatial_shapes)
    return ms_deform_attn_pytorch(
        value, spatial_shapes, level_start_index, projected.locations, projected.weights
    )


def ms_deform_attn_fused_pytorch_backward(
    grad_output: Tensor,
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    reference_points: Tensor,
    sampling_offsets: Tensor,
    attention_logits: Tensor,
    reference_points_need_grad: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of :func:`ms_deform_attn_fused_pytorch`, without building an autograd graph.

    ``grad_output`` is (N, Q, M*D), of value's dtype; the others are the forward's arguments.

    Returns:
        The gradients of value, reference_points (empty unless wanted), sampling_offsets and
        attention_logits, each of the shape and dtype of its tensor.
    """
    projected = _Projected(reference_points, sampling_offsets, attention_logits, spatial_shapes)
    weights = projected.weights
    grad_value, grad_locations, grad_weights = ms_deform_attn_pytorch_backward(
        grad_output, value, spatial_shapes, level_start_index, projected.locations, weights
    )
    grad_references = reference_points.new_empty(0)
    if reference_points_need_grad:
        parts = [grad_locations.sum((2, 4))]  # over heads and points
        if reference_points.shape[-1] == 4:
            by_size = (grad_locations * projected.offsets).sum((2, 4))
            parts.append(by_size * _share_of_box(sampling_offsets))
        grad_references = torch.cat(parts, dim=-1)
    weighted = weights * grad_weights
    grad_logits = weighted - weights * weighted.sum((-2, -1), keepdim=True)
    return (
        grad_value,
        grad_references,
        (grad_locations * projected.extent).to(sampling_offsets.dtype),
        grad_logits.to(attention_logits.dtype),
    )


class _Projected:
    """Sampling locations and attention weights, computed from the raw projections.

    Attributes:
        offsets: (N, Q, M, L, P, 2), 0 where one is not finite.
        extent: size of an offset of 1 in the map, (N or 1, Q or 1, 1, L, 1, 2) as (x, y).
        locations: (N, Q, M, L, P, 2), NaN where an offset is not finite.
        weights: (N, Q, M, L, P), the softmax of the logits over levels and points.
    """

    def __init__(
        self,
        reference_points: Tensor,
        sampling_offsets: Tensor,
        attention_logits: Tensor,
        spatial_shapes: Tensor,
    ):
        dtype = reference_points.dtype
        impossible = ~sampling_offsets.isfinite()
        self.offsets = sampling_offsets.to(dtype).masked_fill(impossible, 0)
        if reference_points.shape[-1] == 2:
            extent = (1 / spatial_shapes.flip(-1).to(dtype))[None, None]
        else:
            extent = reference_points[..., 2:] * _share_of_box(sampling_offsets)
        self.extent = extent[:, :, None, :, None]
        centers = reference_points[:, :, None, :, None, :2]
        self.locations = (centers + self.offsets * self.extent).masked_fill(impossible, torch.nan)
        logits = attention_logits.to(dtype)
        self.weights = logits.flatten(-2).softmax(-1).view(logits.shape)


def _share_of_box(sampling_offsets: Tensor) -> float:
    """The share of a box that an offset of 1 is: of its half, divided by the number of points."""
    return 0.5 / max(1, sampling_offsets.shape[-2])  # without points there is no offset


_GRID_SAMPLER_MODE = (0, 0, False)  # bilinear, zeros outside, align_corners=False


def _sample(value_map: Tensor, grid: Tensor) -> Tensor:
    """(N*M, D, h, w), (N*M, Q, P, 2) -> (N*M, D, Q, P)."""
    return torch.ops.aten.grid_sampler_2d(value_map, grid, *_GRID_SAMPLER_MODE)


def _levels(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Iterator[tuple[slice, Tensor, Tensor, Tensor]]:
    """Yield each level as ``grid_sample`` wants it.

    Yields:
        The level's slice of the tokens, its map (N*M, D, h, w), its sampling grid in [-1, 1]
        (N*M, Q, P, 2) and its attention weights (N*M, Q, P).
    """
    dtype = accumulation_dtype(value.dtype)
    locations = sampling_locations.to(dtype).transpose(1, 2).flatten(0, 1)  # (N*M, Q, L, P, 2)
    # A location that is not finite samples nothing. Any location that far outside does so too, and
    # clamping keeps huge ones from overflowing integer pixel coordinates.
    locations = locations.nan_to_num(nan=-1.0, posinf=-1.0, neginf=-1.0).clamp(-1.0, 2.0)
    weights = attention_weights.to(dtype).transpose(1, 2).flatten(0, 1)  # (N*M, Q, L, P)
    sizes, starts = spatial_shapes.tolist(), level_start_index.tolist()
    _check_levels(sizes, starts, value.shape[1])
    for level, ((height, width), start) in enumerate(zip(sizes, starts, strict=True)):
        tokens = slice(start, start + height * width)
        value_map = value[:, tokens].to(dtype).permute(0, 2, 3, 1).flatten(0, 1)
        value_map = value_map.unflatten(-1, (height, width))
        yield tokens, value_map, 2 * locations[:, :, level] - 1, weights[:, :, level]


def _check_levels(sizes: list[list[int]], starts: list[int], num_tokens: int) -> None:
    """Raise ValueError unless the levels fill the tokens one after the other."""
    end = 0
    for level, ((height, width), start) in enumerate(zip(sizes, starts, strict=True)):
        if height <= 0 or width <= 0:
            raise ValueError(f"spatial_shapes[{level}] must be positive, but is {height} x {width}")
        if start != end:
            raise ValueError(
                f"level_start_index[{level}] must be {end}, where the level before it ends, "
                f"but is {start}"
            )
        end += height * width
    if end != num_tokens:
        raise ValueError(
            f"spatial_shapes must hold as many cells as value has tokens, {num_tokens}, "
            f"but holds {end}"
        )
