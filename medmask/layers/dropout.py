"""Dropout (Srivastava et al., 2014) with masks that are cheap to draw on the CPU.

PyTorch draws each element's fate with a uniform number of its own and keeps it as a float until the
backward pass; at the size of a full image's tokens that takes as long as the matrix products. Here
16 random bits decide, and a byte, or with a ReLU nothing at all, is kept. The probability is that
of the module to within 2^-17, and the scale fits it exactly. On a GPU, where PyTorch's own dropout
is one fast kernel, it is used.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

_VALUES = 2**16
"""that 16 bits have"""


class Dropout(nn.Dropout):
    """``nn.Dropout`` with the masks of this module; the input is left as it is."""

    def forward(self, x: Tensor) -> Tensor:
        if not _is_drawn_here(self, x):
            return super().forward(x)
        return _Dropout.apply(x, *_draw(x.shape, self.p))


class ReLUDropout(nn.Dropout):
    """ReLU, then dropout, of which nothing but the result is kept for the backward pass."""

    def forward(self, x: Tensor) -> Tensor:
        if not _is_drawn_here(self, x):
            return super().forward(x.relu())
        return _ReLUDropout.apply(x, *_draw(x.shape, self.p))


def _is_drawn_here(module: nn.Dropout, x: Tensor) -> bool:
    return module.training and 0 < module.p < 1 and x.device.type == "cpu"


def _draw(shape: torch.Size, p: float) -> tuple[Tensor, float]:
    """Who is kept, a bool mask of that shape from the CPU's default generator, and the scale."""
    dropped = min(round(p * _VALUES), _VALUES - 1)
    count = shape.numel()
    words = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    # As signed numbers the 16 bits start at half of their values below zero.
    kept = words.view(torch.int16)[:count].view(shape) >= dropped - _VALUES // 2
    return kept, _VALUES / (_VALUES - dropped)


class _Dropout(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kept: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(kept)
        ctx.scale = scale
        return (x * kept).mul_(scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (kept,) = ctx.saved_tensors
        return (grad * kept).mul_(ctx.scale), None, None


class _ReLUDropout(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kept: Tensor, scale: float) -> Tensor:
        y = x.relu().mul_(kept).mul_(scale)
        ctx.save_for_backward(y)
        ctx.scale = scale
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        # What was dropped is zero, as is what the ReLU cut off: neither has a gradient.
        (y,) = ctx.saved_tensors
        return torch.ops.aten.threshold_backward(grad, y, 0).mul_(ctx.scale), None, None
