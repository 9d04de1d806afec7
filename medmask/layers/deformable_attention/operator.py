"""The operators behind :mod:`medmask.layers.ms_deform_attn`, as PyTorch's dispatcher sees them.

``torch.ops.medmask.ms_deform_attn`` and ``torch.ops.medmask.ms_deform_attn_fused`` are defined here
with what every device has: the plain PyTorch implementation, shape inference for torch.compile and
torch.export, and autograd, for which each has an operator ``..._backward``. The compiled extension
``medmask.layers._C``, where it was built, registers kernels for the CPU and for CUDA; the
dispatcher prefers them.

The operators want sampling_locations, attention_weights and reference_points in the accumulation
dtype: float32, or float64 for a value in float64; and sampling_offsets and attention_logits in
value's dtype.
"""

import functools
import importlib
import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from medmask.layers.deformable_attention.pytorch import (
    ms_deform_attn_fused_pytorch,
    ms_deform_attn_fused_pytorch_backward,
    ms_deform_attn_pytorch,
    ms_deform_attn_pytorch_backward,
)

logger = logging.getLogger(__name__)

FORWARD = "medmask::ms_deform_attn"
BACKWARD = "medmask::ms_deform_attn_backward"
FUSED_FORWARD = "medmask::ms_deform_attn_fused"
FUSED_BACKWARD = "medmask::ms_deform_attn_fused_backward"
_VALUE_INPUTS = "Tensor value, Tensor spatial_shapes, Tensor level_start_index"
_INPUTS = f"{_VALUE_INPUTS}, Tensor sampling_locations, Tensor attention_weights"
_FUSED_INPUTS = (
    f"{_VALUE_INPUTS}, Tensor reference_points, Tensor sampling_offsets, Tensor attention_logits"
)


def available_implementations() -> tuple[str, ...]:
    """Name the implementations that can run here: "pytorch", and "cpu" and "cuda" if built.

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
    except ImportError as error:  # built against another version of PyTorch, or of other sources
        return f"it does not load ({str(error).splitlines()[0]})"
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


def _with_notice(implementation: Callable) -> Callable:
    """Wrap a plain PyTorch implementation to tell, once, that it replaces a compiled one."""

    @functools.wraps(implementation)
    def run(tensor: Tensor, *others: Any) -> Any:
        _tell_that_fallback_is_used(tensor.device.type)
        return implementation(tensor, *others)

    return run


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
    return (
        value.new_empty(value.shape),
        sampling_locations.new_empty(sampling_locations.shape),
        attention_weights.new_empty(attention_weights.shape),
    )


def _save_inputs(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
    grads = torch.ops.medmask.ms_deform_attn_backward(grad_output, *ctx.saved_tensors)
    grad_value, grad_locations, grad_weights = grads
    return grad_value, None, None, grad_locations, grad_weights


def _fused_forward_fake(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    reference_points: Tensor,
    sampling_offsets: Tensor,
    attention_logits: Tensor,
) -> Tensor:
    N, _, M, D = value.shape
    return value.new_empty((N, sampling_offsets.shape[1], M * D))


def _fused_backward_fake(
    grad_output: Tensor,
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    reference_points: Tensor,
    sampling_offsets: Tensor,
    attention_logits: Tensor,
    reference_points_need_grad: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    references_shape = reference_points.shape if reference_points_need_grad else (0,)
    return (
        value.new_empty(value.shape),
        reference_points.new_empty(references_shape),
        sampling_offsets.new_empty(sampling_offsets.shape),
        attention_logits.new_empty(attention_logits.shape),
    )


def _fused_backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
    references_need_grad = ctx.needs_input_grad[3]
    grads = torch.ops.medmask.ms_deform_attn_fused_backward(
        grad_output, *ctx.saved_tensors, references_need_grad
    )
    grad_value, grad_references, grad_offsets, grad_logits = grads
    if not references_need_grad:
        grad_references = None
    return grad_value, None, None, grad_references, grad_offsets, grad_logits


def _double_backward(ctx: Any, *grad_grads: Tensor) -> None:
    raise NotImplementedError("ms_deform_attn can be differentiated once, not twice")


def _define(name: str, schema: str, implementation: Callable, fake: Callable) -> None:
    torch.library.define(name, schema, tags=(torch.Tag.pt2_compliant_tag,))
    torch.library.impl(name, "default", _with_notice(implementation))
    torch.library.register_fake(name, fake)


def _define_all() -> None:
    _define(FORWARD, f"({_INPUTS}) -> Tensor", ms_deform_attn_pytorch, _forward_fake)
    _define(
        BACKWARD,
        f"(Tensor grad_output, {_INPUTS}) -> (Tensor, Tensor, Tensor)",
        ms_deform_attn_pytorch_backward,
        _backward_fake,
    )
    _define(
        FUSED_FORWARD,
        f"({_FUSED_INPUTS}) -> Tensor",
        ms_deform_attn_fused_pytorch,
        _fused_forward_fake,
    )
    _define(
        FUSED_BACKWARD,
        f"(Tensor grad_output, {_FUSED_INPUTS}, bool reference_points_need_grad) "
        "-> (Tensor, Tensor, Tensor, Tensor)",
        ms_deform_attn_fused_pytorch_backward,
        _fused_backward_fake,
    )
    torch.library.register_autograd(FORWARD, _backward, setup_context=_save_inputs)
    torch.library.register_autograd(FUSED_FORWARD, _fused_backward, setup_context=_save_inputs)
    for name in (BACKWARD, FUSED_BACKWARD):
        torch.library.register_autograd(name, _double_backward)


_define_all()
_MISSING = _load_extension()
