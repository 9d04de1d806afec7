"""Multi-scale deformable attention (Deformable DETR, Zhu et al., 2021, equation 3).

For query q and head m, with x_qmlp the sampling location p on level l and A_qmlp its weight,

    output[q, m] = sum over l, p of  A_qmlp * value_l[m](x_qmlp)

where value_l[m](x) reads level l's map of head m at x by bilinear interpolation: pixel i of a row
of w pixels has its center at (i + 0.5) / w, and there are zeros outside the map.
"""

import torch
from torch import Tensor
from torch.autograd import forward_ad

from medmask.layers.deformable_attention import operator as ms_deform_attn_operator  # noqa: F401 - defines torch.ops.medmask
from medmask.layers.deformable_attention.pytorch import accumulation_dtype


def ms_deform_attn(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    """Sample ``value`` at ``sampling_locations`` and sum the samples with ``attention_weights``.

    The dtype of ``value`` is the dtype of the result; it may be float32, float64, bfloat16 or
    float16. Locations, weights and all sums are taken in float32 (float64 for a float64 value)
    whatever dtype they come in, so keep locations in float32 under autocast: half precision cannot
    tell neighboring pixels apart.

    A location that is not finite samples nothing and gets no gradient. The operator can be
    differentiated once, backwards, with respect to value, sampling_locations and attention_weights.
    It runs under torch.compile and torch.export. The transforms of torch.func that differentiate
    need :func:`ms_deform_attn_pytorch` instead.

    Args:
        value: (N, S, M, D), the flattened maps of all levels, M heads of D channels.
        spatial_shapes: (L, 2) int64, (h, w) of each level.
        level_start_index: (L,) int64, the index in S of each level's first token.
        sampling_locations: (N, Q, M, L, P, 2), (x, y) in [0, 1] of a level's map.
        attention_weights: (N, Q, M, L, P), taken as they are: not normalized here.

    Returns:
        (N, Q, M*D), of value's dtype.

    Raises:
        ValueError: A shape, dtype or device does not fit, or the levels do not fill the S tokens
            one after the other; the sentence names the argument. Compiled for a GPU, the operator
            does not wait for the levels' sizes: there, a level that is not within the S tokens
            fails a device-side assertion.
        NotImplementedError: A derivative in forward mode, or a second one, or one of torch.func is
            asked for.
    """
    _check_value(value, spatial_shapes, level_start_index, "sampling_locations", sampling_locations)
    shape = sampling_locations.shape[:-1]
    _check(value, "attention_weights", attention_weights, "(N, Q, M, L, P)", shape)
    dtype = accumulation_dtype(value.dtype)
    return _run(
        "ms_deform_attn",
        value,
        spatial_shapes,
        level_start_index,
        sampling_locations.to(dtype),
        attention_weights.to(dtype),
    )


def ms_deform_attn_fused(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    reference_points: Tensor,
    sampling_offsets: Tensor,
    attention_logits: Tensor,
) -> Tensor:
    """Compute :func:`ms_deform_attn` from the raw projections of the queries.

    Locations and normalized weights are made where they are used, and again in the backward pass,
    so that they take no memory and no time to move: a location lies at

        reference + offset / (width, height) of the level,          for a reference point, and at
        center + offset * (box width, box height) / (2 * P),        for a reference box

    and the weights of a head are the softmax of its logits over all levels and points. What is said
    of dtypes, non-finite locations, derivatives and compilation there holds here, too, where it is
    the offset that is not finite; offsets and logits may be in half precision as they are relative.

    Args:
        value: (N, S, M, D), the flattened maps of all levels, M heads of D channels.
        spatial_shapes: (L, 2) int64, (h, w) of each level.
        level_start_index: (L,) int64, the index in S of each level's first token.
        reference_points: (N, Q, L, 2), (x, y), or (N, Q, L, 4), (cx, cy, w, h), in [0, 1] of a
            level's map, in float32 unless value is in float64.
        sampling_offsets: (N, Q, M, L, P, 2), as (x, y), of value's dtype.
        attention_logits: (N, Q, M, L, P), of value's dtype.

    Returns:
        (N, Q, M*D), of value's dtype.

    Raises:
        ValueError, NotImplementedError: as :func:`ms_deform_attn`.
    """
    own = (value.dtype,)
    _check_value(
        value, spatial_shapes, level_start_index, "sampling_offsets", sampling_offsets, own
    )
    shape = sampling_offsets.shape[:-1]
    _check(value, "attention_logits", attention_logits, "(N, Q, M, L, P)", shape, own)
    _check_dimensions("reference_points", reference_points, "(N, Q, L, 2) or (N, Q, L, 4)", 4)
    N, Q, _, L, _ = shape
    size = 4 if reference_points.shape[-1] == 4 else 2
    _check(value, "reference_points", reference_points, f"(N, Q, L, {size})", (N, Q, L, size))
    return _run(
        "ms_deform_attn_fused",
        value,
        spatial_shapes,
        level_start_index,
        reference_points.to(accumulation_dtype(value.dtype)),
        sampling_offsets,
        attention_logits,
    )


def _run(name: str, *inputs: Tensor) -> Tensor:
    """Call an operator; say what to do where PyTorch cannot differentiate it."""
    operator = getattr(torch.ops.medmask, name)
    if torch.compiler.is_compiling():
        return operator(*inputs)
    try:
        return operator(*inputs)
    except RuntimeError as error:
        if "functorch transforms" not in str(error):
            raise
        raise NotImplementedError(
            f"{name} cannot be differentiated by torch.func, which knows no operators of one's "
            f"own: call medmask.layers.{name}_pytorch in its place (in "
            "MultiScaleDeformableAttention, set sample to ms_deform_attn_fused_pytorch), or "
            "differentiate by torch.autograd"
        ) from None


_FLOATING = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
_INDEX = (torch.int64,)

# All that is known without reading a value is checked, so that nothing waits for a GPU.


def _check_value(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    name: str,
    samples: Tensor,
    dtypes: tuple[torch.dtype, ...] = _FLOATING,
) -> None:
    """Check what both operators have; ``samples``, of that name, must be (N, Q, M, L, P, 2)."""
    _check_dimensions("value", value, "(N, S, M, D)", 4)
    _check_dimensions(name, samples, "(N, Q, M, L, P, 2)", 6)
    N, _, M, _ = value.shape
    _, Q, _, L, P, _ = samples.shape
    _check(value, "value", value, "(N, S, M, D)", value.shape)
    _check(value, "spatial_shapes", spatial_shapes, "(L, 2)", (L, 2), _INDEX)
    _check(value, "level_start_index", level_start_index, "(L,)", (L,), _INDEX)
    _check(value, name, samples, "(N, Q, M, L, P, 2)", (N, Q, M, L, P, 2), dtypes)


def _check(
    value: Tensor,
    name: str,
    tensor: Tensor,
    layout: str,
    shape: tuple[int, ...],
    dtypes: tuple[torch.dtype, ...] = _FLOATING,
) -> None:
    if tensor.shape != shape:
        raise ValueError(
            f"{name} must be {layout} = {tuple(shape)}, but its shape is {tuple(tensor.shape)}"
        )
    if tensor.dtype not in dtypes:
        names = " or ".join(str(dtype) for dtype in dtypes)
        raise ValueError(f"{name} must be {names}, but is {tensor.dtype}")
    if tensor.device != value.device:
        raise ValueError(
            f"{name} must be on value's device, {value.device}, but is on {tensor.device}"
        )
    if forward_ad.unpack_dual(tensor).tangent is not None:  # PyTorch would take it for zero
        raise NotImplementedError(
            f"ms_deform_attn has no derivative in forward mode, which {name} asks for: "
            "differentiate backwards"
        )


def _check_dimensions(name: str, tensor: Tensor, layout: str, dimensions: int) -> None:
    if tensor.dim() != dimensions:
        raise ValueError(f"{name} must be {layout}, but its shape is {tuple(tensor.shape)}")
