"""Multi-scale deformable attention (Deformable DETR, Zhu et al., 2021, equation 3).

For query q and head m, with x_qmlp the sampling location p on level l and A_qmlp its weight,

    output[q, m] = sum over l, p of  A_qmlp * value_l[m](x_qmlp)

where value_l[m](x) reads level l's map of head m at x by bilinear interpolation: pixel i of a row
of w pixels has its centre at (i + 0.5) / w, and there are zeros outside the map.
"""

import torch
from torch import Tensor

from medmask.layers import ms_deform_attn_operator  # noqa: F401 - defines torch.ops.medmask
from medmask.layers.ms_deform_attn_pytorch import accumulation_dtype


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
    tell neighbouring pixels apart.

    A location that is not finite samples nothing and gets no gradient. The operator can be
    differentiated once, with respect to value, sampling_locations and attention_weights. It runs
    under torch.compile and torch.export.

    Args:
        value: (N, S, M, D), the flattened maps of all levels, M heads of D channels.
        spatial_shapes: (L, 2) int64, (h, w) of each level.
        level_start_index: (L,) int64, the index in S of each level's first token.
        sampling_locations: (N, Q, M, L, P, 2), (x, y) in [0, 1] of a level's map.
        attention_weights: (N, Q, M, L, P), taken as they are: not normalised here.

    Returns:
        (N, Q, M*D), of value's dtype.

    Raises:
        ValueError: A shape, dtype or device does not fit, or the levels do not fill the S tokens
            one after the other; the sentence names the argument. Compiled for a GPU, the operator
            does not wait for the levels' sizes: there, a level that is not within the S tokens
            fails a device-side assertion.
    """
    inputs = (value, spatial_shapes, level_start_index, sampling_locations, attention_weights)
    _check(*inputs)
    dtype = accumulation_dtype(value.dtype)
    return torch.ops.medmask.ms_deform_attn(
        value,
        spatial_shapes,
        level_start_index,
        sampling_locations.to(dtype),
        attention_weights.to(dtype),
    )


_FLOATING = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
_INDEX = (torch.int64,)


def _check(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> None:
    """Check all that is known without reading a value, so that nothing waits for a GPU."""
    _check_dimensions("value", value, "(N, S, M, D)", 4)
    _check_dimensions("sampling_locations", sampling_locations, "(N, Q, M, L, P, 2)", 6)
    N, S, M, D = value.shape
    _, Q, _, L, P, _ = sampling_locations.shape
    for name, tensor, layout, shape, dtypes in (
        ("value", value, "(N, S, M, D)", (N, S, M, D), _FLOATING),
        ("spatial_shapes", spatial_shapes, "(L, 2)", (L, 2), _INDEX),
        ("level_start_index", level_start_index, "(L,)", (L,), _INDEX),
        (
            "sampling_locations",
            sampling_locations,
            "(N, Q, M, L, P, 2)",
            (N, Q, M, L, P, 2),
            _FLOATING,
        ),
        ("attention_weights", attention_weights, "(N, Q, M, L, P)", (N, Q, M, L, P), _FLOATING),
    ):
        if tensor.shape != shape:
            raise ValueError(
                f"{name} must be {layout} = {shape}, but its shape is {tuple(tensor.shape)}"
            )
        if tensor.dtype not in dtypes:
            names = " or ".join(str(dtype) for dtype in dtypes)
            raise ValueError(f"{name} must be {names}, but is {tensor.dtype}")
        if tensor.device != value.device:
            raise ValueError(
                f"{name} must be on value's device, {value.device}, but is on {tensor.device}"
            )


def _check_dimensions(name: str, tensor: Tensor, layout: str, dimensions: int) -> None:
    if tensor.dim() != dimensions:
        raise ValueError(f"{name} must be {layout}, but its shape is {tuple(tensor.shape)}")
