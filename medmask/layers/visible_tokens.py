"""Gathering the visible tokens of a masked sequence, and scattering them back.

A masked autoencoder hides most tokens; encoding the visible ones alone saves most of the time.
"""

from torch import Tensor


def find_visible_tokens(value_mask: Tensor) -> Tensor:
    """Index the visible tokens of each image.

    Waits for a GPU once.

    Args:
        value_mask: (N, S) bool, True where a token gives no value: masked, or padding.

    Returns:
        (N, V) int64, token indices in ascending order, V being the most that an image has, and at
        least 1. The rows of other images are filled up with tokens that give no value.
    """
    is_visible = ~value_mask
    # Without a single token, the layers' parameters would get no gradient.
    most = max(int(is_visible.sum(1).max()), 1)
    return is_visible.byte().argsort(dim=1, descending=True, stable=True)[:, :most]


def gather_tokens(tokens: Tensor, indices: Tensor) -> Tensor:
    """Select the tokens at ``indices`` (N, V): (N, S, ...) -> (N, V, ...)."""
    flat = tokens.flatten(2)
    gathered = flat.gather(1, indices[..., None].expand(-1, -1, flat.shape[-1]))
    return gathered.unflatten(2, tokens.shape[2:])


def scatter_tokens(gathered: Tensor, indices: Tensor, num_tokens: int) -> Tensor:
    """Undo :func:`gather_tokens`: (N, V, C) -> (N, S, C) of ``num_tokens`` S, zero elsewhere."""
    tokens = gathered.new_zeros(len(gathered), num_tokens, gathered.shape[-1])
    return tokens.scatter(1, indices[..., None].expand_as(gathered), gathered)
