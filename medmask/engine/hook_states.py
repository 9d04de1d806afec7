"""States of loss hooks that a run could not be resumed from, found while it trains."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from medmask.checkpoint.training_state import find_difference
from medmask.errors import InputError
from medmask.stages.loss_hook import LossHook

_PLAIN = {type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device}
_DICTS = {dict, OrderedDict}
_LISTS = {list, tuple, set, torch.Size}


class HookStates:
    """Checks that a resumed run would take what the loss hooks keep.

    A checkpoint is read without running code from it, so it may hold nothing but tensors, numbers,
    texts and their containers; and what it holds is compared with a hook's state before the first
    step.
    """

    def __init__(self) -> None:
        """Create it without any hook."""
        self._at_start: dict[str, Any] = {}

    def begin(self, hooks: Sequence[LossHook]) -> None:
        """Remember of what kind the states are before the first step, or before they are loaded."""
        for hook in hooks:
            name = type(hook).__qualname__
            if name not in self._at_start:
                self._at_start[name] = _without_values(hook.state_dict())

    def check(self, hooks: Sequence[LossHook]) -> None:
        """Check the states after a step.

        Raises:
            InputError: the state of a hook is none that a run could be resumed from.
        """
        for hook in hooks:
            name, state = type(hook).__qualname__, hook.state_dict()
            unreadable = _find_unreadable(state)
            if unreadable:
                raise InputError(
                    f"{name}.state_dict gives {unreadable}, which cannot be read from a "
                    "checkpoint: give tensors, numbers, texts, and lists and dicts of them"
                )
            fault = find_difference(state, self._at_start.get(name))
            if fault:
                raise InputError(
                    f"{name}.state_dict is no longer of the kind that it was before the first step "
                    f"({fault}), so that no run could be resumed from it: keep names, types, and "
                    "shapes of tensors as they are at the start; what grows goes into a list"
                )


def _without_values(state: Any) -> Any:
    """A copy that takes no memory, and does not change with the hook."""
    if isinstance(state, Tensor):
        return torch.empty_like(state, device="meta")
    if isinstance(state, Mapping):
        return {key: _without_values(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        values = [_without_values(value) for value in state]
        return values if isinstance(state, list) else tuple(values)
    return state


def _find_unreadable(state: Any, name: str = "") -> str | None:
    """Name the first value that no checkpoint can be read with, and its type."""
    if isinstance(state, Tensor) or type(state) in _PLAIN:
        return None
    if type(state) in _DICTS:
        items = state.items()
    elif type(state) in _LISTS:
        items = enumerate(state)
    else:
        kind = f"{type(state).__module__}.{type(state).__qualname__}".removeprefix("builtins.")
        return f"{name or 'its state'} as a {kind}"
    found = (_find_unreadable(value, f"{name}.{key}" if name else str(key)) for key, value in items)
    return next(filter(None, found), None)
