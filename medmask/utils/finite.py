"""Finding NaN and infinite values in what is saved and what was loaded."""

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor


def find_non_finite(content: Any) -> list[str]:
    """Find tensors whose numbers are not all finite.

    Tensors without plain values (on the meta device, sparse, quantized, or views that claim more
    elements than their memory has) are taken for such.

    Args:
        content: a tensor, or containers of tensors and anything else, such as a checkpoint. They
            may be nested to any depth and hold one another.

    Returns:
        The tensors' names: keys and indices, joined by dots.
    """
    names = []
    tensors: dict[torch.device, dict[str, Tensor]] = defaultdict(dict)
    seen: set[int] = set()  # a file may share a container any number of times
    todo = [("", content)]
    while todo:
        name, x = todo.pop()
        if isinstance(x, Tensor):
            if not is_plain(x):
                names.append(name)
            elif x.is_floating_point() and x.numel():
                tensors[x.device][name] = x
        elif isinstance(x, (dict, list, tuple)) and id(x) not in seen:
            seen.add(id(x))
            items = x.items() if isinstance(x, dict) else enumerate(x)
            # reversed, so that the first is looked at first
            todo += reversed([(f"{name}.{key}" if name else str(key), item) for key, item in items])
    for named in tensors.values():
        # Stacked, so that a device is waited for once.
        are_finite = torch.stack([x.isfinite().all() for x in named.values()]).tolist()
        names += [n for n, is_finite in zip(named, are_finite, strict=True) if not is_finite]
    return names


def is_plain(x: Tensor) -> bool:
    """Tell whether a tensor is dense, has values, and has memory for each of them."""
    if x.is_meta or x.layout is not torch.strided or x.is_quantized:
        return False
    return x.numel() * x.element_size() <= x.untyped_storage().nbytes()
