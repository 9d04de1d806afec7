"""Gradient reversal (Ganin and Lempitsky, 2015, section 3).

What stands behind it learns to tell two domains apart; what stands before it learns to make that
impossible, in the same backward pass.
"""

from torch import Tensor, autograd


class _GradientReversal(autograd.Function):
    @staticmethod
    def forward(ctx: autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        return -gradient


def reverse_gradient(x: Tensor) -> Tensor:
    """The identity, whose gradient is that of ``-x``: any shape and type."""
    return _GradientReversal.apply(x)
