"""Checking what a checkpoint holds besides the weights before a run goes on from it."""

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from medmask.errors import InputError
from medmask.modeling.weights import name_first
from medmask.utils.finite import find_non_finite

_ADVICE = (
    "resume from another checkpoint of that run by its name in last_checkpoint, or start a new run "
    "from its weights (train.init_checkpoint)"
)


def check_training_state(
    content: Mapping[str, Any], checkpointables: Mapping[str, Any], source: str
) -> None:
    """Check that a file holds the state of every checkpointable, and numbers that are finite.

    Args:
        content: of the file.
        checkpointables: by name; of an optimizer the state is compared with its parameters.
        source: of the content, as the beginning of error messages.

    Raises:
        InputError: a state is missing or damaged.
    """
    for name, checkpointable in checkpointables.items():
        if not isinstance(content.get(name), dict):
            raise InputError(f"{source} has no state of the {name} to go on from: {_ADVICE}")
        faulty = find_non_finite(content[name])
        fault = f"has values that are not finite ({name_first(faulty)})" if faulty else None
        if fault is None and isinstance(checkpointable, torch.optim.Optimizer):
            fault = _find_optimizer_fault(content[name], checkpointable)
        elif fault is None:
            fault = find_difference(content[name], checkpointable.state_dict())
        if fault is not None:
            raise InputError(f"{source} (entry '{name}') {fault}: {_ADVICE}")
    if "iteration" in content:
        _check_iteration(content["iteration"], source)
    if "trainer" in checkpointables:
        _check_iteration(content["trainer"].get("iteration"), f"{source} (entry 'trainer')")


def restore(checkpointable: Any, state: dict[str, Any], source: str) -> None:
    """Load a state into its checkpointable; the errors of a damaged one become a sentence.

    Raises:
        InputError: the state is not one of this checkpointable.
    """
    try:
        checkpointable.load_state_dict(state)
    except InputError:
        raise
    except Exception as error:  # of any kind: the file may hold anything there
        reason = name_first([str(error)])
        raise InputError(
            f"{source} does not fit this run ({type(error).__name__}: {reason}): {_ADVICE}"
        ) from None


def _check_iteration(value: Any, source: str) -> None:
    if type(value) is not int or value < 0:
        raise InputError(f"{source} has no number of iterations done: {_ADVICE}")


def find_difference(state: Any, ours: Any, name: str = "") -> str | None:
    """Describe how a state differs in build from ours at the start; the end of a sentence.

    A state may have more keys, and anything where ours has nothing yet.
    """
    if isinstance(ours, Mapping):
        if not isinstance(state, Mapping):
            return f"has no values of {name}"
        for key, value in ours.items():
            path = f"{name}.{key}" if name else str(key)
            if key not in state:
                return f"lacks {path}"
            fault = find_difference(state[key], value, path)
            if fault:
                return fault
        return None
    return None if _is_alike(state, ours) else f"has {_kind(state)} as {name}"


def _kind(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a Tensor of {value.dtype} and shape {tuple(value.shape)}"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return f"a {type(value).__name__}"


def _find_optimizer_fault(state: dict[str, Any], optimizer: torch.optim.Optimizer) -> str | None:
    """Describe how an optimizer's state misfits its parameters; the end of a sentence."""
    groups = state.get("param_groups")
    ours = optimizer.param_groups
    if not isinstance(groups, list) or not all(isinstance(group, dict) for group in groups):
        return "has no parameter groups"
    sizes = [len(g["params"]) if isinstance(g.get("params"), list) else -1 for g in groups]
    if sizes != [len(group["params"]) for group in ours]:
        return (
            f"has parameter groups of {sizes} parameters, but this run's config makes groups of "
            f"{[len(group['params']) for group in ours]}"
        )
    for group, our_group in zip(groups, ours, strict=True):
        for key, value in our_group.items():
            if key != "params" and not _is_option(group.get(key), value):
                return f"has {key} = {name_first([str(group.get(key))])} in a parameter group"
    return _find_moment_fault(state, groups, optimizer)


def _is_option(value: Any, ours: Any) -> bool:
    """Tell whether a value of the file can be an optimizer's option: alike, of the same sign."""
    if isinstance(ours, bool) or ours is None:
        return value is None or isinstance(value, bool)
    if isinstance(ours, float) and ours < 0:
        return _is_alike(value, ours) and value < 0
    parts = value if isinstance(value, (list, tuple)) else [value]
    return _is_alike(value, ours) and all(not isinstance(x, float) or x >= 0 for x in parts)


def _is_alike(value: Any, ours: Any) -> bool:
    """Tell whether a value of the file is like ours: of its shape, of its type, finite."""
    if ours is None:
        return True
    if isinstance(ours, Tensor):
        is_tensor = isinstance(value, Tensor)
        return is_tensor and value.shape == ours.shape and value.dtype == ours.dtype
    if isinstance(ours, (int, float)) and not isinstance(ours, bool):
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return is_number and (math.isfinite(value) or not math.isfinite(ours))
    if isinstance(ours, (tuple, list)):
        return isinstance(value, (tuple, list)) and all(
            _is_alike(*pair) for pair in zip(value, ours, strict=False)
        )
    return type(value) is type(ours)


def _find_moment_fault(
    state: dict[str, Any], groups: list[dict], optimizer: torch.optim.Optimizer
) -> str | None:
    moments = state.get("state")
    if not isinstance(moments, dict):
        return "has no moments of the parameters"
    indices = [index for group in groups for index in group["params"]]
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    if not all(type(index) is int for index in indices) or len(set(indices)) < len(indices):
        return "has parameter groups that do not number the parameters"
    by_index = dict(zip(indices, parameters, strict=True))
    kinds: defaultdict[str, set[str]] = defaultdict(set)
    for index, values in moments.items():
        if index not in by_index or not isinstance(values, dict):
            return "has moments of unknown parameters"
        for key, value in values.items():
            if isinstance(value, Tensor):
                kinds[key].add(_kind_of_moment(value.shape, by_index[index].shape))
    for key, found in kinds.items():
        if "" in found or len(found - {"any"}) > 1:
            return f"has a moment {name_first([str(key)])} of another shape than its parameter"
    is_factored = any("factor" in found for found in kinds.values())  # of matrices, not of vectors
    names: dict[bool, set[str]] = {}
    for index, values in moments.items():
        is_matrix = is_factored and by_index[index].dim() > 1
        if names.setdefault(is_matrix, set(values)) != set(values):
            return "lacks a moment of a parameter"
    return None


def _kind_of_moment(shape: torch.Size, parameter: torch.Size) -> str:
    """Name what a moment of a shape can be to its parameter; an optimizer has one kind of each.

    Returns:
        ``"whole"``: a value of each weight, as Adam's; ``"factor"``: one of each row or column, as
        Adafactor's; ``"number"``: one of all, as a count of steps; ``"any"``: cannot be told;
        ``""``: none of these.
    """
    if shape == parameter:
        return "any" if len(shape) == 0 or (len(shape) > 1 and 1 in shape) else "whole"
    if len(shape) == 0:
        return "number"
    is_factor = len(shape) == len(parameter) > 1 and all(
        size in (1, whole) for size, whole in zip(shape, parameter, strict=True)
    )
    return "factor" if is_factor else ""
