"""The operator behind :func:`medmask.layers.ms_deform_attn`, as PyTorch's dispatcher sees it.

``torch.ops.medmask.ms_deform_attn`` and ``torch.ops.medmask.ms_deform_attn_backward`` are defined
here with what every device has: the plain PyTorch implementation, shape inference for torch.compile
and torch.export, and autograd. The compiled extension ``medmask.layers._C``, where it was built,
registers kernels for the CPU and for CUDA; the dispatcher prefers them.

Both operators want sampling_locations and attention_weights in the accumulation dtype: float32, or
float64 for a value in float64.
"""

import functools
import importlib
import logging

import torch
from torch import Tensor

from medmask.layers.ms_deform_attn_pytorch import (
    ms_deform_attn_pytorch,
    ms_deform_attn_pytorch_backward,
)

logger = logging.getLogger(__name__)

FORWARD = "medmask::ms_deform_attn"
BACKWARD = "medmask::ms_deform_attn_backward"
_INPUTS = (
    "Tensor value, Tensor spatial_shapes, Tensor level_start_index, "
    "Tensor sampling_locations, Tensor attention_weights"
)


def available_implementations() -> tuple[str, ...]:
    """The implementations that this installation can run: "pytorch", and "cpu" and "cuda" if built.

    The fastest one for the device of the tensors is used. To choose the plain PyTorch one, call
    :func:`medmask.layers.ms_deform_attn_pytorch`.
    """
    compiled = [key for key in ("CPU", "CUDA") if _has_kernel(key)]
    return ("pytorch", *(key.lower() for key in compiled))


def _has_kernel(dispatch_key: str) -> bool:
    return torch._C._dispatch_has_kernel_for_dispatch_key(FORWARD, dispatch_key)


def _load_extension() -> str | None:
    """Load the compiled kernels; return why they are missing, or None."""
    try:
        importlib.import_module("medmask.layers._C")
    except ModuleNotFoundError:
        return "it is not built"
    except ImportError as error:  # built against another version of PyTorch
        return f"it does not load ({error})"
    return None


@functools.cache
def _tell_that_fallback_is_used(device_type: str) -> None:
    reason = _MISSING or f"it was built without support for {device_type}"
    logger.warning(
        "The compiled deformable-attention operator is not used, because %s: the slower "
        "pure-PyTorch one runs instead. Build the fast one with "
        "`pip install --no-build-isolation .`",
        reason,
    )


def _forward_fallback(value: Tensor, *inputs: Tensor) -> Tensor:
    _tell_that_fallback_is_used(value.device.type)
    return ms_deform_attn_pytorch(value, *inputs)


def _backward_fallback(grad_output: Tensor, *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    _tell_that_fallback_is_used(grad_output.device.type)
    return ms_deform_attn_pytorch_backward(grad_output, *inputs)


def _forward_fake(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    N, _, M, D = value.shape
    return value.new_empty((N, sampling_locations.shape[1], M * D))


def _backward_fake(
    grad_output: Tensor,
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    return tuple(x.new_empty(x.shape) for x in (value, sampling_locations, attention_weights))


def _save_inputs(ctx, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx, grad_output: Tensor) -> tuple[Tensor | None, ...]:
    grads = torch.ops.medmask.ms_deform_attn_backward(grad_output, *ctx.saved_tensors)
    grad_value, grad_locations, grad_weights = grads
    return grad_value, None, None, grad_locations, grad_weights


def _double_backward(ctx, *grad_grads: Tensor) -> None:
    raise NotImplementedError("ms_deform_attn can be differentiated once, not twice")


def _define() -> None:
    tags = (torch.Tag.pt2_compliant_tag,)
    torch.library.define(FORWARD, f"({_INPUTS}) -> Tensor", tags=tags)
    torch.library.define(
        BACKWARD, f"(Tensor grad_output, {_INPUTS}) -> (Tensor, Tensor, Tensor)", tags=tags
    )
    torch.library.impl(FORWARD, "default", _forward_fallback)
    torch.library.impl(BACKWARD, "default", _backward_fallback)
    torch.library.register_fake(FORWARD, _forward_fake)
    torch.library.register_fake(BACKWARD, _backward_fake)
    torch.library.register_autograd(FORWARD, _backward, setup_context=_save_inputs)
    torch.library.register_autograd(BACKWARD, _double_backward)


_define()
_MISSING = _load_extension()
