"""Trade time for memory: keep a layer's inputs only, and run it again in the backward pass."""

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def run_layer(layer: nn.Module, gradient_checkpointing: bool, *inputs: Tensor | None) -> Tensor:
    """``layer(*inputs)``, recomputed in the backward pass if asked for and gradients are on."""
    if gradient_checkpointing and torch.is_grad_enabled():
        return checkpoint(layer, *inputs, use_reentrant=False)
    return layer(*inputs)
