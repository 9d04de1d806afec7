"""The implementations of the operators that can be timed against each other."""

import importlib
from collections.abc import Callable

import torch
from torch import Tensor

from medmask.layers import (
    available_implementations,
    ms_deform_attn,
    ms_deform_attn_fused,
    ms_deform_attn_fused_pytorch,
    ms_deform_attn_pytorch,
)

Operator = Callable[..., Tensor]


def implementations(entry: str, device: torch.device) -> dict[str, Operator]:
    given: dict[str, Operator] = {"plain PyTorch": ms_deform_attn_pytorch}
    if device.type in available_implementations():
        given = {"MedMask": ms_deform_attn, **given}
    given |= _peers(device)
    if entry == "given":
        return given
    projected = {name: _from_projections(operator) for name, operator in given.items()}
    projected["plain PyTorch"] = ms_deform_attn_fused_pytorch
    if "MedMask" in projected:
        projected["MedMask, given entry"] = projected.pop("MedMask")
        projected = {"MedMask": ms_deform_attn_fused, **projected}
    return projected


def _peers(device: torch.device) -> dict[str, Operator]:
    """The packages that are installed."""
    found = {}
    try:
        operator = importlib.import_module("torch_ms_deform_attn").ms_deform_attn
        found["torch-ms-deform-attn"] = _widened(operator)
    except ImportError:
        pass
    if device.type == "cuda":
        try:
            registry = importlib.import_module("deformops.registry")
            found["deformops"] = _with_weights_as_value(registry.msda)
            in_float32 = {"backend": registry.Backend.TRITON, "fp32acc": True}
            found["deformops, float32 sums"] = _with_weights_as_value(registry.msda, **in_float32)
        except ImportError:
            pass
    return found


def _with_weights_as_value(operator: Operator, **options: object) -> Operator:
    """For an operator that wants attention weights in value's dtype."""

    def run(value: Tensor, *others: Tensor) -> Tensor:
        *geometry, weights = others
        return operator(value, *geometry, weights.to(value.dtype), **options)

    return run


def _widened(operator: Operator) -> Operator:
    """For an operator that wants one dtype for all: half precision would blur the locations."""

    def run(value: Tensor, *others: Tensor) -> Tensor:
        wide = torch.promote_types(value.dtype, torch.float32)
        return operator(value.to(wide), *others).to(value.dtype)

    return run


def _from_projections(operator: Operator) -> Operator:
    """An operator for given samples, after what PyTorch needs to make these."""

    def run(
        value: Tensor,
        spatial_shapes: Tensor,
        level_start_index: Tensor,
        reference_points: Tensor,
        sampling_offsets: Tensor,
        attention_logits: Tensor,
    ) -> Tensor:
        N, Q, M, L, P, _ = sampling_offsets.shape
        # Loops over two numbers are slow: points are unrolled first.
        cell = (1 / spatial_shapes.flip(-1).to(reference_points.dtype)).repeat_interleave(P, 0)
        centers = reference_points[..., None, :].expand(-1, -1, -1, P, -1).flatten(2)[:, :, None]
        locations = centers + sampling_offsets.flatten(3).to(centers.dtype) * cell.flatten()
        weights = attention_logits.flatten(3).to(centers.dtype).softmax(-1)
        return operator(
            value,
            spatial_shapes,
            level_start_index,
            locations.view(N, Q, M, L, P, 2),
            weights.view(N, Q, M, L, P),
        )

    return run
