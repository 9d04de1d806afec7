"""Check that weights fill a detector: every parameter, of its shape, with finite numbers.

``load_state_dict(strict=True)`` compares names and shapes, but takes NaN and integers; Detectron2's
checkpointer turns even missing names and other shapes into warnings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from medmask.errors import InputError

TRAINING_MODULES = "training_modules."
"""Begins the names of parameters that only training uses; inference passes them over."""

CLASS_HEADS = "transformer.decoder.class_heads."

COUNTER = ".num_batches_tracked"
"""Ends the names of BatchNorm's counters, which frozen ones do without."""

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_MOST_NAMES_SHOWN = 3
_LONGEST_SHOWN = 200  # characters


@dataclass(frozen=True)
class WeightFaults:
    """Faults that keep weights from filling a model."""

    missing: list[str]
    """names of the model that the weights lack"""
    misfits: dict[str, str]
    """name -> why its value cannot be taken, as the end of a sentence"""
    unknown: list[str]
    """names that the model lacks"""

    def __bool__(self) -> bool:
        return bool(self.missing or self.misfits or self.unknown)

    @property
    def names(self) -> list[str]:
        return [*self.missing, *self.misfits, *self.unknown]


def find_faults(weights: Mapping[str, Any], expected: Mapping[str, Tensor]) -> WeightFaults:
    """Compare weights with what a model expects.

    Args:
        weights: name -> value; nothing is assumed about the values.
        expected: name -> tensor of the model.
    """
    misfits = {}
    for name, value in weights.items():
        reason = why_not(name, value, expected[name]) if name in expected else None
        if reason:
            misfits[name] = reason
    return WeightFaults(
        missing=[name for name in expected if name not in weights],
        misfits=misfits,
        unknown=[n for n in weights if n not in expected and not _counts_batches(n, expected)],
    )


def _counts_batches(name: str, expected: Mapping[str, Tensor]) -> bool:
    """Tell whether ``name`` is the counter of a BatchNorm, which frozen ones do without."""
    return name.endswith(COUNTER) and f"{name.removesuffix(COUNTER)}.running_mean" in expected


def check_weights(weights: Mapping[str, Any], expected: Mapping[str, Tensor], source: str) -> None:
    """Check that weights fill all of ``expected`` and hold nothing else.

    Args:
        weights: name -> value.
        expected: name -> tensor of the model.
        source: of the weights, as the beginning of the error message.

    Raises:
        InputError: they do not; the message counts the faults and names the first of each kind.
    """
    faults = find_faults(weights, expected)
    if faults:
        raise InputError(f"{source} {describe_faults(faults, len(expected))}")


def check_inference_weights(model: nn.Module, weights: Mapping[str, Any], source: str) -> None:
    """Check that weights hold all that inference needs; parts that only training uses are ignored.

    Raises:
        InputError: they do not, see :func:`check_weights`.
    """
    check_weights(without_training_modules(weights), inference_state(model), source)


def inference_state(model: nn.Module) -> dict[str, Tensor]:
    """The parameters and buffers that a model's inference depends on."""
    return without_training_modules(model.state_dict())


def without_training_modules(weights: Mapping[str, Any]) -> dict[str, Any]:
    return {name: x for name, x in weights.items() if not name.startswith(TRAINING_MODULES)}


def describe_faults(faults: WeightFaults, num_expected: int) -> str:
    """The end of a sentence that begins with the source of the weights."""
    if len(faults.missing) == num_expected:
        return (
            f"has no parameter of this model{_examples(faults.unknown)}: convert a published file "
            "with medmask convert-checkpoint, or choose the config that the weights were trained "
            "with"
        )
    parts = []
    if faults.missing:
        parts.append(
            f"{len(faults.missing)} of {num_expected} missing ({name_first(faults.missing)})"
        )
    if faults.misfits:
        reasons = [f"{name} {reason}" for name, reason in faults.misfits.items()]
        parts.append(f"{len(reasons)} cannot be taken ({name_first(reasons)})")
    if faults.unknown:
        parts.append(f"{len(faults.unknown)} unknown to the model ({name_first(faults.unknown)})")
    return f"does not fill the model's parameters: {'; '.join(parts)}: {_advice(faults)}"


def name_first(items: Sequence[str]) -> str:
    """The first few of a list, in a printable line; they may come from a file of any content."""
    more = len(items) - _MOST_NAMES_SHOWN
    shown = ", ".join(_printable(item) for item in items[:_MOST_NAMES_SHOWN])
    return f"{shown} and {more} more" if more > 0 else shown


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text[:_LONGEST_SHOWN])


def _advice(faults: WeightFaults) -> str:
    if all(name.startswith(CLASS_HEADS) for name in faults.names):
        return (
            "set model.transformer.num_classes (yacs: MODEL.MEDMASK.NUM_CLASSES) as in the file, "
            "choose its classes with medmask convert-checkpoint --class-rows, or, to train new "
            "class heads, set train.fresh_class_heads=True"
        )
    if all(name.startswith(TRAINING_MODULES) for name in faults.names):
        return (
            "set the options of the loss hook that they belong to as in the run of the file, or "
            "start from weights without them, such as its average_final.pth or teacher_final.pth"
        )
    return "name undamaged weights, and the config that they were trained with"


def _examples(names: Sequence[str]) -> str:
    return f" (its names are {name_first(names)})" if names else ""


def why_not(name: str, value: Any, expected: Tensor) -> str | None:
    """The reason why a value cannot stand where a model has ``expected``; None if it can.

    The shape comes first: a view may claim any number of elements.

    Args:
        name: of the parameter or buffer.
        value: of a file; nothing is assumed about it.
        expected: of the model.

    Returns:
        The end of a sentence about the value.
    """
    if not isinstance(value, Tensor):
        return "is no tensor"
    if type(value) not in (Tensor, nn.Parameter) or value.layout is not torch.strided:
        return "is no plain dense tensor"
    if value.is_meta:
        return "has no values"
    if value.is_quantized:
        return "is quantized"
    if value.shape != expected.shape:
        return f"is {_size(value)} in the file and {_size(expected)} in the model"
    if expected.is_floating_point():
        return _why_no_floats(name, value, expected)
    if value.dtype is not expected.dtype:
        return f"is of {_name(value.dtype)}, not of {_name(expected.dtype)}"
    return None


def _why_no_floats(name: str, value: Tensor, expected: Tensor) -> str | None:
    if value.dtype not in _FLOATS:
        return f"is of {_name(value.dtype)}, not of floating point"
    if _overlaps(value):
        return "is a view whose elements share their memory"
    if not value.to(expected.dtype).isfinite().all():
        return "has NaN or infinite values"
    if name.endswith("running_var") and bool((value < 0).any()):
        return "has negative variances"
    return None


def _overlaps(value: Tensor) -> bool:
    """Tell whether two elements may lie at one place in memory, as after ``expand``."""
    reach = 0
    for stride, size in sorted(zip(value.stride(), value.shape, strict=True)):
        if size > 1:
            if stride <= reach:
                return True
            reach += stride * (size - 1)
    return False


def _size(value: Tensor) -> str:
    return " x ".join(str(n) for n in value.shape) or "a single number"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
