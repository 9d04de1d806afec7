"""Gradient reversal (Ganin and Lempitsky, 2015, section 3).

The layers behind it learn to tell two domains apart; those before it learn to make that impossible,
in the same backward pass.
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
    """Return ``x``, unchanged, whose gradient is that of ``-x``: any shape and type."""
    return _GradientReversal.apply(x)
