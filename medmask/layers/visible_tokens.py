"""Which tokens give values, where most do not: those that a masked autoencoder sees."""

from torch import Tensor


def find_value_places(value_mask: Tensor) -> Tensor:
    """Where the tokens are that give values.

    Waits for a GPU once.

    Args:
        value_mask: (N, S) bool, True where a token gives no value.

    Returns:
        (N, V) int64, indices of tokens, V being the most that an image has, and at least 1. The
        rows of other images are filled up with tokens that give none.
    """
    gives_value = ~value_mask
    # Without a single token, the layers' parameters would get no gradient.
    most = max(int(gives_value.sum(1).max()), 1)
    return gives_value.byte().argsort(dim=1, descending=True, stable=True)[:, :most]


def take(tokens: Tensor, places: Tensor) -> Tensor:
    """What lies at the places (N, V): (N, S, ...) -> (N, V, ...)."""
    flat = tokens.flatten(2)
    taken = flat.gather(1, places[..., None].expand(-1, -1, flat.shape[-1]))
    return taken.unflatten(2, tokens.shape[2:])


def put_back(taken: Tensor, places: Tensor, num_tokens: int) -> Tensor:
    """The inverse: (N, V, C) -> (N, S, C) of ``num_tokens`` S, zero elsewhere."""
    tokens = taken.new_zeros(len(taken), num_tokens, taken.shape[-1])
    return tokens.scatter(1, places[..., None].expand_as(taken), taken)
